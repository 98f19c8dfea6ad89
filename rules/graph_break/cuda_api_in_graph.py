"""VL109."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, LibraryCall
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report
from vllm_lint.analyzer.untraceable import kind_of
from vllm_lint.rules.graph_break.family import GraphBreakRule, report_call


class CudaApiInGraph(GraphBreakRule):
    """A call of the CUDA API that TorchDynamo cannot trace.

    ## What it flags

    Questions about memory (`memory_allocated`, `memory_reserved`, `memory_stats`), devices (`device_count`,
    `get_device_name`, `can_device_access_peer`) and capture (`is_current_stream_capturing`); `nvtx` ranges;
    `synchronize`, `set_device`, `default_stream`, `CUDAGraph`, the elapsed time of events, and `pin_memory`.

    It does not flag what TorchDynamo traces on a GPU: `current_stream`, `Stream`, `Event`, their `record` and `wait`,
    `current_device`, `get_device_properties`, `get_device_capability`, `is_available`, `empty_cache`. (Some of them
    are matters of CUDA graphs.)

    ## Why it matters

    These calls return Python numbers or act on the driver, and TorchDynamo breaks the graph on them (GB0208, GB0007),
    so vLLM does not start. What they do could not be part of a graph that is replayed either. Measured on an H200.

    ## Example

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.cuda.memory_allocated() > self.limit:
            return self.small(x)
        return self.large(x)
    ```

    ## Use instead

    Ask while the model is built, and keep the answer:

    ```python
    def __init__(self, limit: int) -> None:
        super().__init__()
        self.is_small = torch.cuda.memory_allocated() > limit
    ```

    `torch.profiler.record_function` marks a range for profilers and is traced. What must happen in each step belongs
    around the call of the compiled model.

    ## Fix safety

    There is no automatic fix: where the call belongs is a matter of design.

    ## References

    - [Graph break GB0208](https://meta-pytorch.github.io/compile-graph-break-site/gb/gb0208.html)
    """

    meta = Meta(
        code="VL109",
        name="cuda-api-in-graph",
        promise=Promise.CAPTURE,
        severity=Severity.ERROR,
        proof="graph-break",
        graph_breaks=("GB0007", "GB0146", "GB0208", "GB4315"),
    )
    events: ClassVar[tuple[type[Event], ...]] = (LibraryCall,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report every event of its kind."""
        assert isinstance(event, LibraryCall)
        if kind_of(event.name) == "cuda":
            yield report_call(
                event,
                f"`{event.text}` calls `{event.name}`, which TorchDynamo cannot trace",
                "call it while the model is built, or around the compiled call",
            )
