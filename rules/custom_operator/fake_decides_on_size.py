"""VL307."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, ImplementationDecides
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report, Rule


class FakeDecidesOnSize(Rule):
    """A fake implementation that decides by the number of tokens.

    ## What it flags

    `if`, `while`, a conditional expression, `int()` and `range()` on the number of rows of an argument in a fake
    implementation, where the result has a row for each of these. How an argument is used in the result tells which
    dimension that is.

    It does not flag checks that raise, decisions on other dimensions, which do not change from batch to batch, and
    comparisons with zero.

    ## Why it matters

    The fake implementation runs once, while capturing, with a symbol for the number of tokens. A decision adds a guard
    on it, and vLLM drops guards, so the shape of the result is right on one side of the condition only. `int()` makes
    the number a constant, and the capture fails (ConstraintViolationError); with
    `dynamic_shapes_config.type=unbacked` every decision fails.

    ## Example

    ```python
    @sorted_tokens.register_fake
    def _(x: torch.Tensor) -> torch.Tensor:
        if x.shape[0] > 64:
            return x.new_empty(x.shape[0] * 2, x.shape[1])
        return x.new_empty(x.shape[0], x.shape[1])
    ```

    ## Use instead

    Let the operator return the same shape for every number of tokens, computed with arithmetic:

    ```python
    @sorted_tokens.register_fake
    def _(x: torch.Tensor) -> torch.Tensor:
        return x.new_empty(x.shape[0] * 2, x.shape[1])
    ```

    ## Fix safety

    There is no automatic fix: the operator changes with it.

    ## References

    - [torch.library.register_fake](https://docs.pytorch.org/docs/stable/library.html#torch.library.register_fake)
    """

    meta = Meta(
        code="VL307",
        name="fake-decides-on-size",
        promise=Promise.HONEST_OPERATORS,
        severity=Severity.ERROR,
        proof="shape-guard, wrong-answer, specialized, unbacked-error",
    )
    events: ClassVar[tuple[type[Event], ...]] = (ImplementationDecides,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report decisions of fake implementations."""
        assert isinstance(event, ImplementationDecides)
        if event.fake:
            construct = event.form if event.form.endswith("()") else f"`{event.form}`"
            yield Report(
                f"the fake implementation of `{event.name}` decides by the number of tokens: {construct} on "
                f"`{event.text}`",
                help="compute the shape with arithmetic that holds for every number of tokens",
            )
