"""Rules about promise C2: what a compiled forward computes is right for every number of tokens."""
