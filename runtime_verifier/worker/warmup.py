"""Pays torch's one-off costs before the server forks."""

from __future__ import annotations

import logging

import torch

from vllm_lint.runtime_verifier.worker import devices
from vllm_lint.runtime_verifier.worker import work as worker


def warm_up() -> None:
    """Import what a capture needs and compile once, single-threaded so that forking is safe."""
    torch.set_num_threads(1)
    logging.getLogger("torch").setLevel(logging.CRITICAL)  # failures are outcomes, not log lines
    assert worker.run is not None
    with devices.hidden():
        _compile("eager")


def warm_up_inductor() -> None:
    """The same for Inductor, which probes the C++ compiler and precompiles headers: 10 s instead of 1 s a compile."""
    if not torch.cuda.is_available():  # it would remember that there is no GPU, or use it
        _compile("inductor")


def warm_up_vllm() -> None:
    """Import vLLM and what builds its models, which takes 7 s, once for all children."""
    try:
        from vllm_lint.runtime_verifier.targets import vllm_regions
    except ImportError:
        return  # said by the job, which meets the same error
    assert vllm_regions.regions is not None


def warm_up_transformers() -> None:
    """Import what every model of transformers imports, which takes 2 s."""
    try:
        import transformers.generation
        import transformers.modeling_utils
        from transformers import AutoModel
    except ImportError:
        return  # said by the job, which meets the same error
    assert transformers.generation and transformers.modeling_utils and AutoModel


def _compile(backend: str) -> None:
    compiled = torch.compile(lambda x: x.cumsum(0) * 2, fullgraph=True, dynamic=False, backend=backend)
    x = torch.randn(16, 8)
    torch._dynamo.mark_dynamic(x, 0)
    with torch.no_grad():
        compiled(x)
    torch._dynamo.reset()
