"""Builds what is captured. Only worker processes build; `shapes` alone is read outside."""
