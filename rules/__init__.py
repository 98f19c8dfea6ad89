"""The rule catalogue: one file a rule, in a folder a family."""
