"""VL407."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, StateChange
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report, Rule
from vllm_lint.rules.step_state.family import DROPS_GUARDS


class GrowableBufferCaptured(Rule):
    """A buffer that compiled code replaces by a larger one when it is too small.

    ## What it flags

    Compiled code that asks how large the tensor of an attribute or global is, and binds another one in its place:
    `if self.workspace.shape[0] < n: self.workspace = torch.empty(n, ...)`.

    ## Why it matters

    A CUDA graph goes on with the address of its recording. When a larger batch has the buffer replaced, the memory of
    the old one is free for others, and every graph that was recorded before reads and writes it. Under TorchDynamo the
    question is answered once, for the batch of the capture: later batches never grow the buffer, or always do.

    ## Example

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.workspace.shape[0] < x.shape[0]:
            self.workspace = x.new_empty(x.shape)
        ...
    ```

    ## Use instead

    Make it as large as the largest batch while the model is built:

    ```python
    def __init__(self, vllm_config: VllmConfig) -> None:
        tokens = vllm_config.scheduler_config.max_num_batched_tokens
        self.register_buffer("workspace", torch.empty(tokens, hidden), persistent=False)
    ```

    Or allocate in the forward: `torch.empty` within a recording takes memory that belongs to the graph.

    ## Fix safety

    There is no automatic fix: what the largest size is, configuration says.

    ## References

    - [CUDA graphs: constraints](https://docs.pytorch.org/docs/stable/notes/cuda.html#constraints)
    - [vLLM's CUDA graphs](https://docs.vllm.ai/en/latest/design/cuda_graphs.html)
    """

    meta = Meta(
        code="VL407",
        name="growable-buffer-captured",
        promise=Promise.REPLAYABLE,
        severity=Severity.ERROR,
        proof="rebound, shape-guard, wrong-answer",
        contracts=DROPS_GUARDS,
    )
    events: ClassVar[tuple[type[Event], ...]] = (StateChange,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report tensors that are replaced for their size."""
        assert isinstance(event, StateChange)
        if event.change == "bind" and event.value == "tensor" and event.resized:
            yield Report(
                f"`{event.text}` is replaced when it is too small, and CUDA graphs go on with the old one's memory",
                help="make it as large as the largest batch in `__init__`",
            )
