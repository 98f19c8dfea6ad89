"""VL310."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, ImplementationDecides
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report, Rule


class CompositeDecidesOnSize(Rule):
    """A composite operator that decides by the number of tokens.

    ## What it flags

    `if`, `while`, a conditional expression, `int()` and `range()` on the number of rows of an argument in the
    implementation of an operator that is registered for `CompositeImplicitAutograd` or `CompositeExplicitAutograd`, or
    with `triton_op`.

    It does not flag the same in an operator that is registered for CPU or CUDA and has a fake implementation, checks
    that raise, and comparisons with zero.

    ## Why it matters

    A custom operator is a good place for such a decision because compiled code does not look into it. Into these
    operators it does: they are run on fake tensors while capturing, and the side that was taken then is the one that is
    compiled. The guard on it is dropped, so the other side never runs.

    ## Example

    ```python
    library.define("scaled(Tensor x) -> Tensor")
    library.impl("scaled", lambda x: large(x) if x.shape[0] > 64 else small(x), "CompositeImplicitAutograd")
    ```

    ## Use instead

    ```python
    library.define("scaled(Tensor x) -> Tensor")
    library.impl("scaled", lambda x: large(x) if x.shape[0] > 64 else small(x), "CUDA")
    library._register_fake("scaled", lambda x: torch.empty_like(x))
    ```

    ## Fix safety

    There is no automatic fix: an operator that is opaque needs a fake implementation.

    ## References

    - [torch.library.impl](https://docs.pytorch.org/docs/stable/library.html#torch.library.impl)
    """

    meta = Meta(
        code="VL310",
        name="composite-decides-on-size",
        promise=Promise.HONEST_OPERATORS,
        severity=Severity.ERROR,
        proof="shape-guard, unbacked-error",
    )
    events: ClassVar[tuple[type[Event], ...]] = (ImplementationDecides,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report decisions of real implementations."""
        assert isinstance(event, ImplementationDecides)
        if not event.fake:
            construct = event.form if event.form.endswith("()") else f"`{event.form}`"
            yield Report(
                f"`{event.name}` is traced through, and decides by the number of rows: {construct} on `{event.text}`",
                help="register it for CPU or CUDA with a fake implementation, so that it decides in every step",
            )
