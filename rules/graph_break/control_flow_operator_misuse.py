"""VL117."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, LibraryCall
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report
from vllm_lint.analyzer.untraceable import kind_of
from vllm_lint.rules.graph_break.family import GraphBreakRule, report_call


class ControlFlowOperatorMisuse(GraphBreakRule):
    """A function given to `torch.cond` or a checkpoint that is not a function of tensors alone.

    ## What it flags

    Branches of `torch.cond` that return something else than tensors or integers, or not as many tensors, or tensors
    of another rank, as the other branch; and branches and checkpointed functions that change an object from outside:
    fill a list, or set an attribute.

    It does not flag branches that return the same structure of tensors, lists that the branch makes itself, layers as
    branches, or what the functions compute.

    ## Why it matters

    These functions are traced into graphs of their own, of which one runs, or runs again in the backward. What they
    do beside computing tensors would be lost, or be done whichever branch is taken, so TorchDynamo refuses (GB0067,
    GB0313, GB0314).

    ## Example

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scale = torch.cond(x.sum() > 0, lambda y: 1.5, lambda y: 2.5, (x,))
        return x * scale
    ```

    ## Use instead

    Return tensors from both branches, or choose between numbers without branching:

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.where(x.sum() > 0, 1.5, 2.5)
    ```

    Return what is to be kept, instead of appending it to a list.

    ## Fix safety

    There is no automatic fix: what the branches are to return is a matter of design.

    ## References

    - [Graph break GB0313](https://meta-pytorch.github.io/compile-graph-break-site/gb/gb0313.html)
    - [torch.cond](https://docs.pytorch.org/docs/stable/cond.html)
    """

    meta = Meta(
        code="VL117",
        name="control-flow-operator-misuse",
        promise=Promise.CAPTURE,
        severity=Severity.ERROR,
        proof="graph-break",
        graph_breaks=("GB0067", "GB0313", "GB0314", "GB0350", "GB4315", "GB4413"),
    )
    events: ClassVar[tuple[type[Event], ...]] = (LibraryCall,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report every event of its kind."""
        assert isinstance(event, LibraryCall)
        if kind_of(event.name) == "operator function":
            if event.name == "torch.cond.write":
                says = "`{text}` is changed in a function that is traced into a graph of its own"
            else:
                says = "the branches of `{text}` return no tensors, or not the same"
            yield report_call(
                event,
                f"{says.format(text=event.text)}, which TorchDynamo cannot trace",
                "compute and return tensors only",
            )
