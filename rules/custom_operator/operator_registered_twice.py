"""VL312."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, OperatorRegistered
from vllm_lint.analyzer.findings import Promise, Severity, Step
from vllm_lint.analyzer.rule import Meta, Report, Rule


class OperatorRegisteredTwice(Rule):
    """Two custom operators of one name.

    ## What it flags

    A second definition of an operator under the same namespace and name in one file, where both are certain to run.

    It does not flag definitions in arms of a condition, of which one runs.

    ## Why it matters

    `direct_register_custom_op` and `Library.define` raise when the module is imported. `torch.library.custom_op`
    replaces the first operator without a word, so code that was written for one runs the other.

    ## Example

    ```python
    direct_register_custom_op(op_name="scaled", op_func=_scaled, fake_impl=_scaled_fake)
    direct_register_custom_op(op_name="scaled", op_func=_scaled_rows, fake_impl=_scaled_rows_fake)
    ```

    ## Use instead

    ```python
    direct_register_custom_op(op_name="scaled", op_func=_scaled, fake_impl=_scaled_fake)
    direct_register_custom_op(op_name="scaled_rows", op_func=_scaled_rows, fake_impl=_scaled_rows_fake)
    ```

    ## Fix safety

    There is no automatic fix: callers name the operator.

    ## References

    - [torch.library](https://docs.pytorch.org/docs/stable/library.html)
    """

    meta = Meta(
        code="VL312",
        name="operator-registered-twice",
        promise=Promise.HONEST_OPERATORS,
        severity=Severity.ERROR,
        proof="decorator-error",
    )
    events: ClassVar[tuple[type[Event], ...]] = (OperatorRegistered,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report each further definition."""
        assert isinstance(event, OperatorRegistered)
        for span in event.again:
            yield Report(
                f"operator `{event.name}` is registered a second time",
                span=span,
                steps=(Step(event.span, f"registers `{event.name}`"),),
                help="give it a name of its own, or register one of the two",
            )
