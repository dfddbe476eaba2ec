"""Decide with values only: no I/O, no clock, no log."""
