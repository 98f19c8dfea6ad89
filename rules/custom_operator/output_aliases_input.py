"""VL305."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, OperatorReturnsArgument
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report, Rule, offered


class OutputAliasesInput(Rule):
    """A custom operator that returns an argument, a view of one, or one tensor twice.

    ## What it flags

    A `return` in the implementation of an operator that gives back an argument or a view of it, whether the operator
    declares to write to the argument or not; one that gives one tensor as two results; and one in a fake implementation
    that does so where the real one does not. Operations that copy only sometimes, such as `contiguous`, `reshape` and
    `to`, and values that are an argument on one path only, make it a warning.

    It does not flag copies.

    ## Why it matters

    The compiler takes results of a custom operator for memory of their own. It may reuse the argument's memory while
    the result is in use, and a later write to one of them shows in the other in eager only. `torch.library.custom_op`
    raises at run time; `direct_register_custom_op` and `Library` do not check, and the numbers are wrong.

    ## Example

    ```python
    def _scaled(x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        torch.mul(x, 2, out=out)
        return out


    direct_register_custom_op(op_name="scaled", op_func=_scaled, mutates_args=["out"], fake_impl=_scaled_fake)
    ```

    ## Use instead

    Return nothing, and let the caller go on with the argument that it passed:

    ```python
    def _scaled(x: torch.Tensor, out: torch.Tensor) -> None:
        torch.mul(x, 2, out=out)


    direct_register_custom_op(op_name="scaled", op_func=_scaled, mutates_args=["out"])
    ```

    Where nothing is to be done, return a copy (`x.clone()`), or decide before the call.

    ## Fix safety

    Unsafe: a `return` of an argument itself gives `argument.clone()`, so that a caller who writes to the result no
    longer writes to the argument; and a copy costs time. None is offered for an argument that the operator declares to
    write to, which had better not be returned, and for views, tuples and fake implementations.

    ## References

    - [torch.library.custom_op](https://docs.pytorch.org/docs/stable/library.html#torch.library.custom_op)
    """

    meta = Meta(
        code="VL305",
        name="output-aliases-input",
        promise=Promise.HONEST_OPERATORS,
        severity=Severity.ERROR,
        proof="output-aliases-input",
        fix="unsafe",
    )
    events: ClassVar[tuple[type[Event], ...]] = (OperatorReturnsArgument,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report each `return` once."""
        assert isinstance(event, OperatorReturnsArgument)
        who = f"the fake implementation of `{event.name}`" if event.fake else f"`{event.name}`"
        if not event.argument:
            message = f"{who} returns one tensor as two results"
        else:
            does = "may return" if event.maybe else "returns"
            message = f"{who} {does} memory of its argument `{event.argument}`"
        yield Report(
            message,
            severity=Severity.WARNING if event.maybe else None,
            help="return a copy, or return nothing and let the caller go on with the argument",
            fixes=offered("return a copy", "unsafe", event.copied),
        )
