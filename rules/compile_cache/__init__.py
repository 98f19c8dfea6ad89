"""Rules about promise C6: everything that changes the compiled code is in the key of vLLM's compile cache."""
