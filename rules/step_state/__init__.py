"""Rules about promise C3: nothing that a dropped guard protected changes between steps."""
