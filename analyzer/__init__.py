"""The static half: reads source and reports where it breaks vLLM's torch.compile contract.

Nothing here imports torch or vLLM, and none of the code that is read is ever run.
"""
