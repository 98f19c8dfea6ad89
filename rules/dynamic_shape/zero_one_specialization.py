"""VL203."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, SizeDecision
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.lifecycle import Lifecycle
from vllm_lint.analyzer.rule import Meta, Report, Rule
from vllm_lint.rules.dynamic_shape.family import ONLY_VLLM, condition, only_one_token
from vllm_lint.rules.wording import construct


class ZeroOneSpecialization(Rule):
    """A decision that only a batch of one token answers differently.

    ## What it flags

    Conditions such as `n == 1`, `n != 1`, `n <= 1`, `n > 1` and `n < 2` on the number of tokens or something computed
    from it, `x.shape == (1, 8)`, `case 1`, the truth of `n - 1`, and contiguity of a transposed view. Typically they
    choose a fast path for decoding one sequence.

    A condition that guards nothing but a `raise`, and an `assert`, is a warning: no answer is wrong, but the check is
    lost. Contiguity is a warning too: code for views that are not contiguous is mostly right for all.

    It does not flag `n == 0` and `n > 0`: a step without tokens never reaches the model. Conditions that other sizes
    answer differently too are `batch-size-branch`.

    ## Why it matters

    TorchDynamo takes every dynamic size to be at least two, so it answers the question without even leaving a guard.
    A capture looks clean in every log, `torch.compile` itself would compile anew for one token, and vLLM does
    not. The batch of one token, which is what a single user's decoding is, runs the path for larger batches.

    ## Example

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[0] == 1:
            return self.decode(x)
        return self.prefill(x)
    ```

    ## Use instead

    Use the general path for one token too if it is right for one token:

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.prefill(x)
    ```

    Otherwise make the decision in a custom operator, or on the attention metadata of the step, in code that is not
    compiled.

    ## Fix safety

    There is no automatic fix: only the author knows whether the general path is right for one token.

    ## References

    - [Zero-one specialization](https://docs.pytorch.org/docs/stable/user_guide/torch_compiler/torch.compiler_dynamic_shapes.html)
    - [Debugging vLLM's torch.compile integration](https://docs.vllm.ai/en/latest/design/debug_vllm_compile.html)
    """

    meta = Meta(
        code="VL203",
        name="zero-one-specialization",
        promise=Promise.ALL_SIZES,
        severity=Severity.ERROR,
        proof="wrong-answer",
        lifecycle=Lifecycle(stable="0.1.0"),
        contracts=ONLY_VLLM,
    )
    events: ClassVar[tuple[type[Event], ...]] = (SizeDecision,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report decisions that every batch but that of one token answers alike."""
        assert isinstance(event, SizeDecision)
        if event.across_inputs or not only_one_token(event):
            return
        if event.only_raises:
            yield Report(
                f"check {condition(event)} is lost for a batch of one token, without a guard",
                severity=Severity.WARNING,
                help="check where the inputs are prepared, or with `torch._check`",
            )
        elif event.layout:
            yield Report(
                f"{construct(event.form)} on {condition(event)}: a view of one token is contiguous, "
                "and gets the answer for views of more tokens, which are not",
                severity=Severity.WARNING,
                help="no harm is done if the path for other views is right for contiguous ones too",
            )
        else:
            yield Report(
                f"{construct(event.form)} on {condition(event)}: "
                "TorchDynamo answers it for two or more tokens, and a batch of one token gets that answer too",
                help="use one path for all sizes, or decide in a custom operator",
            )
