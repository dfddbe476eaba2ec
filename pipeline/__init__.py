"""Masswatch: mass Required assignments in Microsoft Intune, watched as a stream."""
