"""VL101."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, TensorTruth
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.lifecycle import Lifecycle
from vllm_lint.analyzer.rule import Meta, Report, offered
from vllm_lint.rules.graph_break.family import GraphBreakRule
from vllm_lint.rules.wording import construct


class TensorTruthValue(GraphBreakRule):
    """Python control flow on the value of a tensor.

    ## What it flags

    A tensor where Python asks for a truth value: `if`, `while`, a conditional expression, `and`, `or`, `not`, a chained
    comparison, `in`, the builtins `any` and `all`, and an `assert` whose message formats a tensor. Comparisons and
    reductions of tensors are tensors, so `x.max() > 1` counts, and so does a buffer that is used as a flag.

    It does not flag `x is None`, questions about dtype, device, rank or type, the truth of a list of tensors, operators
    that stay in the tensor program (`&`, `|`, `~`, `torch.where`, `torch.cond`), or an `assert` of nothing but a tensor
    without message or with a constant one, which becomes a check inside the graph. (`assert not x.any()` does not.)
    Numbers and booleans that are read out of a tensor, such as `bool(x)`, `x.item()` and `torch.equal(x, y)`, are
    matters of `data-dependent-branch`.

    ## Why it matters

    While TorchDynamo captures a forward, tensors have shapes and types and no values. Asked for one, it breaks the
    graph (GB0170), and vLLM, which needs the forward as one full graph, does not start. Under plain `torch.compile` the
    code runs, in two graphs, and waits for the device in between.

    ## Example

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.isinf(x).any():
            x = torch.clamp(x, -65504.0, 65504.0)
        return x
    ```

    ## Use instead

    Apply the operation always where it does nothing to the other values:

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.clamp(x, -65504.0, 65504.0)
    ```

    Choose between two results inside the tensor program, element by element with `torch.where`, or between two
    computations with `torch.cond`:

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scale = torch.where(x.abs().max() > 1.0, 0.5, 1.0)
        return x * scale
    ```

    A flag that does not change while the model runs belongs into a Python attribute. A decision that must be made in
    Python belongs into a custom operator, which TorchDynamo does not look into.

    ## Fix safety

    Unsafe: where both sides are computed from one tensor element by element, the statement becomes `torch.where`. It
    computes both sides, and gives a tensor of its own where the code may have gone on with the one it had. What stands
    in front of `and` and asks no tensor stays an `if`. None is offered for loops, for sides that call anything else,
    and where shape or type of the sides may differ.

    ## References

    - [Graph break GB0170](https://meta-pytorch.github.io/compile-graph-break-site/gb/gb0170.html)
    - [torch.cond](https://docs.pytorch.org/docs/stable/cond.html)
    """

    meta = Meta(
        code="VL101",
        name="tensor-truth-value",
        promise=Promise.CAPTURE,
        severity=Severity.ERROR,
        proof="graph-break, data-dependent",
        fix="unsafe",
        lifecycle=Lifecycle(stable="0.1.0"),
        graph_breaks=(
            "GB0034",
            "GB0170",
        ),
    )
    events: ClassVar[tuple[type[Event], ...]] = (TensorTruth,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report every decision, save an assertion that becomes part of the graph."""
        assert isinstance(event, TensorTruth)
        if event.form == "assert":
            return
        asks = construct(event.form)
        if event.form == "assert with message":
            advice = "with a constant message the assertion becomes a check inside the graph"
        else:
            advice = "choose inside the tensor program, with `torch.where` or `torch.cond`, or in a custom operator"
        yield Report(
            f"{asks} on the value of tensor `{event.text}`, which is not known while the graph is captured",
            help=advice,
            fixes=offered("choose with `torch.where`", "unsafe", event.chosen),
        )
