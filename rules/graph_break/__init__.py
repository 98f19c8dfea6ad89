"""Rules about promise C1: everything that a compiled forward reaches can be captured as one full graph."""
