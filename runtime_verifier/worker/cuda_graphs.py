"""Replays a compiled forward from a CUDA graph with other data than it was captured with. Needs a GPU.

vLLM does so for every size in `cudagraph_capture_sizes`: it captures with input buffers of zeros, and each step copies
its batch into them. What the host does in forward, such as Python code and copies, happens at the capture alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from vllm_lint.runtime_verifier.outcomes import Backend
from vllm_lint.runtime_verifier.worker import devices
from vllm_lint.runtime_verifier.worker.snapshot import Snapshot

#: What compiles the forward that the graph is captured from.
COMPILER: Backend = "inductor"


class NotCaptured(Exception):
    """A CUDA graph cannot record the forward; the message is CUDA's. The process should record no other."""


class CudaGraphs:
    """Calls `call`, compiled from the forward of `module`, by capture and replay: one CUDA graph a call."""

    def __init__(self, module: torch.nn.Module, call: Callable[..., Any]) -> None:
        self._module, self._call = module, call
        self._graph: torch.cuda.CUDAGraph | None = None  # owns the memory of the output

    def __call__(self, **inputs: Any) -> Any:
        """Replay with `inputs`; they and the module get what the GPU writes to them.

        Raises:
            NotCaptured: something in it synchronises, or cannot be captured for another reason.
        """
        buffers = devices.copied(inputs)
        for tensor in devices.tensors(buffers):
            tensor.zero_()
        start = Snapshot(self._module)
        self._warm_up(buffers)
        start.restore()
        output = self._capture(buffers)
        start.restore()
        assert self._graph is not None
        pairs = list(zip(devices.tensors(buffers), devices.tensors(inputs), strict=True))
        for buffer, given in pairs:
            buffer.copy_(given)
        self._graph.replay()
        for buffer, given in pairs:
            given.copy_(buffer)
        return output

    def _warm_up(self, buffers: dict[str, Any]) -> None:
        """Kernels are built and tuned, and libraries make their workspaces, on a stream beside the current one."""
        current, other = torch.cuda.current_stream(), torch.cuda.Stream()
        other.wait_stream(current)
        with torch.cuda.stream(other):
            self._call(**buffers)
        current.wait_stream(other)
        torch.cuda.synchronize()

    def _capture(self, buffers: dict[str, Any]) -> Any:
        self._graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(self._graph):
                return self._call(**buffers)
        except Exception as error:
            # The end of the failed capture raises too; what failed first says why.
            while isinstance(error.__context__, Exception):
                error = error.__context__
            raise NotCaptured(str(error).partition("\n")[0]) from error
