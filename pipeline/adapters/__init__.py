"""Kafka, Redis and metrics, and the in-memory twins of what they stand for."""
