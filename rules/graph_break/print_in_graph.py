"""VL103."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, LibraryCall
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.lifecycle import Lifecycle
from vllm_lint.analyzer.rule import Meta, Report
from vllm_lint.analyzer.untraceable import kind_of
from vllm_lint.rules.graph_break.family import GraphBreakRule, report_call

_UNKNOWN = "whose value is not known while the graph is captured"
#: What is said where it is neither a tensor nor a size.
_WHAT = {
    "builtins.repr.closure": "a function that uses a tensor of the function around it",
    **dict.fromkeys(
        ("decimal.Decimal.__str__", "decimal.Decimal.__repr__"),
        "an object that is written in C, into which TorchDynamo cannot look",
    ),
}


class PrintInGraph(GraphBreakRule):
    """Printing, opening files, and turning tensors or token counts into text.

    ## What it flags

    `print`, `open`, `input`, and writing to `sys.stdout` or `sys.stderr`, with any arguments; `str`, `repr`
    and `%` of a tensor, of something that contains the number of tokens, or of a container that holds either; `repr`
    of a nested function that uses a tensor of the function around it, and `str` and `repr` of a `Decimal`.

    It does not flag text made of configuration and static sizes, output under `not torch.compiler.is_compiling()`, and
    output outside compiled regions. An f-string with the number of tokens is `batch-size-specialization`: it is
    captured, for one number.

    ## Why it matters

    TorchDynamo cannot put output into a graph (GB0059, GB0156), so vLLM does not start. Under plain `torch.compile` the
    graph is split in two. Even where printing is captured in some way, it happens while the model is captured and never
    again.

    ## Example

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        print("hidden", x.shape)
        return x * 2
    ```

    ## Use instead

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not torch.compiler.is_compiling():
            print("hidden", x.shape)
        return x * 2
    ```

    To look at values of a model that is compiled, run it with `--enforce-eager`, or print in a custom operator.

    ## Fix safety

    Safe where one full graph is promised: a call that is a statement of its own is put under `if not
    torch.compiler.is_compiling()`, so that it happens without compilation as before, and compiled code, which could
    not be captured before, leaves it out. Under plain `torch.compile`, where the call does happen, it counts as unsafe.

    ## References

    - [Graph break GB0059](https://meta-pytorch.github.io/compile-graph-break-site/gb/gb0059.html)
    """

    meta = Meta(
        code="VL103",
        name="print-in-graph",
        promise=Promise.CAPTURE,
        severity=Severity.ERROR,
        proof="graph-break",
        fix="safe",
        lifecycle=Lifecycle(stable="0.1.0"),
        graph_breaks=(
            "GB0005",
            "GB0059",
            "GB0088",
            "GB0156",
            "GB0208",
            "GB0459",
            "GB0569",
            "GB1275",
            "GB1584",
            "GB2852",
            "GB5380",
            "GB6053",
            "GB7968",
            "GB8315",
            "GB9198",
            "GB9493",
        ),
    )
    events: ClassVar[tuple[type[Event], ...]] = (LibraryCall,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report output, and text of what has no value while it is captured."""
        assert isinstance(event, LibraryCall)
        kind = kind_of(event.name)
        if kind == "output":
            message = f"`{event.text}` does input or output, which cannot be part of a graph"
        elif kind == "text":
            what = _WHAT.get(event.name) or f"{'a tensor' if event.tensor else 'the number of tokens'}, {_UNKNOWN}"
            message = f"`{event.text}` makes a text of {what}"
        else:
            return
        yield report_call(event, message, "remove it, or put it under `if not torch.compiler.is_compiling()`")
