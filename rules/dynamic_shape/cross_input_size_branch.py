"""VL207."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, SizeDecision
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report, Rule
from vllm_lint.rules.dynamic_shape.family import ONLY_VLLM, report_decision
from vllm_lint.rules.wording import quoted


class CrossInputSizeBranch(Rule):
    """A Python decision on which of two inputs is longer, of which vLLM keeps the answer it got during capture.

    ## What it flags

    `if`, `while`, a conditional expression, `assert` and the like, where the condition compares a dynamic size of one
    argument with that of another: `x.shape[0] < y.shape[0]`, `ids.numel() != embeds.shape[0]`, also through helpers and
    arithmetic. That two arguments have different lengths is taken from what the root declares: from different shape
    ids, from other dimensions than the first, and in multimodal encoders from any two arguments.

    A condition that guards nothing but a `raise`, and an `assert`, is a warning: no answer is wrong, but the check is
    made for the captured batch and for no other.

    It does not flag sizes that are one by declaration, such as those of `input_ids` and `positions`: what depends on
    them is decided for every batch, or it is `batch-size-branch`.

    ## Why it matters

    TorchDynamo follows one side of the branch and leaves a guard, such as `s77 < s27`. vLLM drops all guards and
    replays the one graph for every batch. In the profiling run all inputs have their largest size, which is seldom the
    relation that they have in a step.

    ## Example

    ```python
    def forward(self, hidden: torch.Tensor, requests: torch.Tensor) -> torch.Tensor:
        if requests.shape[0] < hidden.shape[0]:
            return self.prefill(hidden)
        return self.decode(hidden)
    ```

    ## Use instead

    Compute what is right for both:

    ```python
    def forward(self, hidden: torch.Tensor, requests: torch.Tensor) -> torch.Tensor:
        return self.mixed(hidden)
    ```

    or make the decision where it is made anew for every batch: inside a custom operator, or outside the compiled
    region. Where both lengths are always equal, give the arguments one shape id in `dynamic_arg_dims`.

    ## Fix safety

    There is no automatic fix: the two sides may differ in speed only, or in what they compute.

    ## References

    - [Dynamic shapes and vLLM's guards](https://docs.vllm.ai/en/latest/design/torch_compile.html)
    """

    meta = Meta(
        code="VL207",
        name="cross-input-size-branch",
        promise=Promise.ALL_SIZES,
        severity=Severity.ERROR,
        proof="wrong-answer, check-lost",
        contracts=ONLY_VLLM,
    )
    events: ClassVar[tuple[type[Event], ...]] = (SizeDecision,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report decisions in which sizes of several inputs meet."""
        assert isinstance(event, SizeDecision)
        if event.across_inputs:
            names = quoted([name.removeprefix("#") for name in event.across_inputs])
            yield report_decision(event, f"lengths of {names}", "either may be longer in a step")
