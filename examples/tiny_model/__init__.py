"""A model that vLLM serves without a complaint, and that answers wrongly."""
