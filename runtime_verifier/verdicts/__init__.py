"""Turns evidence into findings and verdicts: no torch needed."""
