"""Rules about promise C5: what a compiled forward does can be recorded and replayed as a CUDA graph."""
