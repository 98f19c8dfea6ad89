"""Rules about promise C4: a custom operator does what it declares, and its fake implementation agrees with it."""
