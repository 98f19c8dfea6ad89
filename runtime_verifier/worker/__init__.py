"""What runs in worker processes only: capture, replay, and the server that forks them."""
