"""VL0xx: what the tool itself could not do, and its own comments."""
