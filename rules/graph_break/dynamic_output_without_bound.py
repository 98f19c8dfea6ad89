"""VL111."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, LibraryCall
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report
from vllm_lint.analyzer.untraceable import kind_of
from vllm_lint.rules.graph_break.family import GraphBreakRule, report_call


class DynamicOutputWithoutBound(GraphBreakRule):
    """An operation whose output is sized by data, and that TorchDynamo cannot capture even so.

    ## What it flags

    `torch.nn.functional.one_hot` without `num_classes` (or with -1), and `tolist()` of a tensor of floats.

    It does not flag `nonzero`, `unique`, `masked_select`, `bincount` or `repeat_interleave`, which are captured with
    a size that is not known yet. (On a GPU they make the host wait, and deciding on such a size is a matter of
    `data-dependent-branch`.)

    ## Why it matters

    Without a number of classes `one_hot` looks for the largest value, and the width of its result depends on the data
    (GB0246). TorchDynamo breaks the graph, and vLLM does not start.

    ## Example

    ```python
    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.one_hot(ids).float()
    ```

    ## Use instead

    ```python
    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.one_hot(ids, num_classes=self.num_experts).float()
    ```

    ## Fix safety

    There is no automatic fix: the number of classes is not in the source of the call.

    ## References

    - [Graph break GB0246](https://meta-pytorch.github.io/compile-graph-break-site/gb/gb0246.html)
    """

    meta = Meta(
        code="VL111",
        name="dynamic-output-without-bound",
        promise=Promise.CAPTURE,
        severity=Severity.ERROR,
        proof="data-dependent, graph-break",
        graph_breaks=("GB0109", "GB0246"),
    )
    events: ClassVar[tuple[type[Event], ...]] = (LibraryCall,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report every event of its kind."""
        assert isinstance(event, LibraryCall)
        if kind_of(event.name) == "data-sized":
            reason = (
                "reads numbers into Python" if event.name.endswith("tolist") else "has a width that only the data tells"
            )
            yield report_call(
                event,
                f"`{event.text}` {reason}, which TorchDynamo cannot capture",
                "give the size, such as `num_classes`",
            )
