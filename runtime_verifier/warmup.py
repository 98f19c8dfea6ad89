"""Pays torch's one-off costs before the server forks."""

from __future__ import annotations

import logging
import os

import torch

from vllm_lint.runtime_verifier import worker


def warm_up() -> None:
    """Import what a capture needs and compile one trivial function, single-threaded so that forking is safe."""
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    torch.set_num_threads(1)
    logging.getLogger("torch").setLevel(logging.CRITICAL)  # failures are outcomes, not log lines
    assert worker.run is not None
    compiled = torch.compile(torch.nn.Linear(8, 8).forward, fullgraph=True, dynamic=False, backend="eager")
    x = torch.randn(16, 8)
    torch._dynamo.mark_dynamic(x, 0)
    with torch.no_grad():
        compiled(x)
    torch._dynamo.reset()
