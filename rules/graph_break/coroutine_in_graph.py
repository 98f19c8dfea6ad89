"""VL116."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, LibraryCall
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report
from vllm_lint.analyzer.untraceable import kind_of
from vllm_lint.rules.graph_break.family import GraphBreakRule, report_call


class CoroutineInGraph(GraphBreakRule):
    """A compiled forward that is a generator, or awaits.

    ## What it flags

    A compiled forward with `yield` in it, and `await` in compiled code.

    It does not flag generators that compiled code defines or iterates over, or generator expressions, which are
    traced.

    ## Why it matters

    A generator or a coroutine hands control back in the middle of the function. A graph runs from its inputs to its
    outputs, so TorchDynamo does not trace it (GB0003, GB0082), and vLLM does not start.

    ## Example

    ```python
    def forward(self, x: torch.Tensor) -> Iterator[torch.Tensor]:
        for layer in self.layers:
            x = layer(x)
            yield x
    ```

    ## Use instead

    ```python
    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        outputs = []
        for layer in self.layers:
            x = layer(x)
            outputs.append(x)
        return outputs
    ```

    ## Fix safety

    There is no automatic fix: callers have to change as well.

    ## References

    - [Graph break GB0003](https://meta-pytorch.github.io/compile-graph-break-site/gb/gb0003.html)
    """

    meta = Meta(
        code="VL116",
        name="coroutine-in-graph",
        promise=Promise.CAPTURE,
        severity=Severity.ERROR,
        proof="graph-break",
        graph_breaks=("GB0003", "GB0082"),
    )
    events: ClassVar[tuple[type[Event], ...]] = (LibraryCall,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report every event of its kind."""
        assert isinstance(event, LibraryCall)
        if kind_of(event.name) == "coroutine":
            says = "is a generator" if event.name == "generator.forward" else "awaits"
            yield report_call(
                event,
                f"`{event.text}` {says}, which TorchDynamo cannot trace",
                "return all results together, at the end",
            )
