"""VL102."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import DataDecision, Event
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.lifecycle import Lifecycle
from vllm_lint.analyzer.rule import Meta, Report
from vllm_lint.rules.graph_break.family import GraphBreakRule
from vllm_lint.rules.wording import construct

_REASONS = {
    "range": "the number of rounds of `{text}` comes out of a tensor",
    "iteration": "the number of rounds over `{text}` comes out of a tensor",
    "index": "the list index `{text}` comes out of a tensor",
    "dict key": "the key `{text}` comes out of a tensor",
}
#: Calls that need the number themselves.
_CALLS = ("math.", "equal()", "allclose()", "is_nonzero()")


class DataDependentBranch(GraphBreakRule):
    """Python control flow on a number that was read out of a tensor.

    ## What it flags

    A branch, a loop bound, a list index or a dict key that needs a number which only the data tells: the results of
    `.item()`, `.tolist()`, `int(t)`, `float(t)` and `bool(t)`, and the length of `nonzero()`, `unique()`,
    `masked_select()` and `x[mask]`. Calls that need such a number themselves count too: `torch.equal`,
    `torch.allclose`, `is_nonzero`, and functions of `math` on a tensor.

    It does not flag reading the number. TorchDynamo captures `.item()` as an unknown number that may be used in
    arithmetic and as an operand. (On a GPU it makes the host wait, which is a matter of CUDA graphs.)

    ## Why it matters

    While TorchDynamo captures a forward, the number is a symbol without a value. Deciding on it raises a
    data-dependent error, and vLLM does not start. It is the fate of mixture-of-experts layers that were written for
    training: "for each expert that was hit".

    ## Example

    ```python
    def forward(self, x: torch.Tensor, expert_ids: torch.Tensor) -> torch.Tensor:
        out = torch.zeros_like(x)
        for expert in expert_ids.unique():
            out = out + self.experts[expert](x)
        return out
    ```

    ## Use instead

    Let the loop or the branch be the same for every batch, and leave the choice to a mask:

    ```python
    def forward(self, x: torch.Tensor, expert_ids: torch.Tensor) -> torch.Tensor:
        out = torch.zeros_like(x)
        for i, expert in enumerate(self.experts):
            out = out + expert(x) * (expert_ids == i)[:, None]
        return out
    ```

    Use vLLM's `FusedMoE` for experts. Index a tensor or a buffer instead of a list, choose with `torch.where` or
    `torch.cond`, or move the whole decision into a custom operator. A number that is known before the step, such as the
    longest sequence, belongs into the metadata that is prepared outside the compiled region.

    ## Fix safety

    There is no automatic fix: the code has to be written another way.

    ## References

    - [Dealing with data-dependent errors](https://docs.pytorch.org/docs/stable/user_guide/torch_compiler/compile/programming_model.dynamic_shapes.html)
    """

    meta = Meta(
        code="VL102",
        name="data-dependent-branch",
        promise=Promise.CAPTURE,
        severity=Severity.ERROR,
        proof="data-dependent, graph-break",
        lifecycle=Lifecycle(stable="0.1.0"),
        graph_breaks=("GB0033",),
    )
    events: ClassVar[tuple[type[Event], ...]] = (DataDecision,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report every decision, save an assertion that becomes part of the graph."""
        assert isinstance(event, DataDecision)
        if event.form == "assert":
            return
        if event.form.startswith(_CALLS):
            reason = "`{text}` computes with the values of a tensor in Python"
        else:
            reason = _REASONS.get(event.form, f"{construct(event.form)} on `{{text}}`, which comes out of a tensor")
        yield Report(
            f"{reason.format(text=event.text)}: its value is not known while the graph is captured",
            help="make the same computation for every batch and choose with a mask, `torch.where` or `torch.cond`, "
            "or decide in a custom operator",
        )
