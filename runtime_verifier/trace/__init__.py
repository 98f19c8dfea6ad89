"""Reads torch's structured trace: no torch needed."""
