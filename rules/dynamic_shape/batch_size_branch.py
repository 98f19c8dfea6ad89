"""VL201."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, SizeDecision
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.lifecycle import Lifecycle
from vllm_lint.analyzer.rule import Meta, Report, Rule
from vllm_lint.rules.dynamic_shape.family import ONLY_VLLM, only_one_token, report_decision, sizes_in_words


class BatchSizeBranch(Rule):
    """A Python decision on the number of tokens, of which vLLM keeps the answer it got during capture.

    ## What it flags

    `if`, `while`, a conditional expression, `match`, `in`, `any`, `all`, `assert` and arithmetic on a comparison,
    where the condition depends on the number of tokens: on a dynamic dimension, or on anything computed from one (`n
    // 128 > 1`, `x.numel() > k`, `len(x)`, strides), also when it went through helpers in other modules, dataclasses,
    attributes or cached functions. The finding lists the way from the argument to the decision.

    A condition that guards nothing but a `raise`, and an `assert`, is a warning: no answer is wrong, but the check is
    made for the captured batch and for no other.

    It does not flag conditions on static dimensions, ranks and configuration, arithmetic, `min` and `max` of sizes, or
    conditions with one answer for every number of tokens. Conditions that only a batch of one token answers differently
    are `zero-one-specialization`, and those that compare the lengths of two inputs are `cross-input-size-branch`.

    ## Why it matters

    TorchDynamo follows one side of the branch and leaves a guard, such as `n % 128 == 0`. vLLM drops all guards and
    replays the one graph for every batch. Nothing fails: batches on the other side get results of the wrong branch. A
    kernel or tile that is chosen this way stays the one for the profiling batch, which has been seen to make decoding
    20 to 30 times slower.

    ## Example

    ```python
    def forward(self, data: torch.Tensor) -> torch.Tensor:
        if data.size(0) % 128 == 0:
            return self.aligned(data)
        return self.general(data)
    ```

    ## Use instead

    Use a form that is right for every size, such as padding always, by an amount that may be zero:

    ```python
    def forward(self, data: torch.Tensor) -> torch.Tensor:
        padded = F.pad(data, (0, 0, 0, -data.size(0) % 128))
        return self.aligned(padded)[: data.size(0)]
    ```

    or make the decision where it is made anew for every batch: inside a custom operator, which receives the real
    size. Decide on limits (`max_num_batched_tokens`) while the model is built. Put checks of the input where
    the input is prepared, or use `torch._check`.

    ## Fix safety

    There is no automatic fix: the two sides may differ in speed only, or in what they compute.

    ## References

    - [Dynamic shapes and vLLM's guards](https://docs.vllm.ai/en/latest/design/torch_compile.html)
    - [Debugging vLLM's torch.compile integration](https://docs.vllm.ai/en/latest/design/debug_vllm_compile.html)
    """

    meta = Meta(
        code="VL201",
        name="batch-size-branch",
        promise=Promise.ALL_SIZES,
        severity=Severity.ERROR,
        proof="wrong-answer, check-lost",
        lifecycle=Lifecycle(stable="0.1.0"),
        contracts=ONLY_VLLM,
    )
    events: ClassVar[tuple[type[Event], ...]] = (SizeDecision,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report decisions that some batch of two or more tokens answers differently."""
        assert isinstance(event, SizeDecision)
        if not event.across_inputs and not only_one_token(event):
            yield report_decision(event, "the number of tokens", sizes_in_words(event))
