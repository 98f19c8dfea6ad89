"""VL304."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, OperatorWrites
from vllm_lint.analyzer.findings import Confidence, Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report, Rule, offered


class UndeclaredMutation(Rule):
    """A custom operator that writes to an argument and does not say so.

    ## What it flags

    A statement in the implementation of an operator, or in a function that it calls, that writes to an argument or to a
    view of one: item assignment, `+=`, methods with a trailing underscore, `out=`, a Triton kernel that stores to it,
    operators of vLLM's extensions and collectives of `torch.distributed` that write to it. The argument is neither in
    `mutates_args` nor marked in the schema. Where a condition decides whether it is written, the finding is a warning.

    It does not flag writes to copies, to arguments that are declared, and to state that is not passed as an argument.

    ## Why it matters

    The compiler moves, merges and drops calls by what they declare. A call that returns nothing and declares no
    mutation is deleted; after one that returns a tensor, code may go on with the value that the argument had before.
    Nothing fails, and the numbers are wrong, from AOTAutograd on.

    ## Example

    ```python
    def _scaled_(x: torch.Tensor, scale: float) -> None:
        x.mul_(scale)


    direct_register_custom_op(op_name="scaled_", op_func=_scaled_)
    ```

    ## Use instead

    ```python
    def _scaled_(x: torch.Tensor, scale: float) -> None:
        x.mul_(scale)


    direct_register_custom_op(op_name="scaled_", op_func=_scaled_, mutates_args=["x"])
    ```

    ## Fix safety

    Safe: where the write is certain, the argument is put into `mutates_args`, which changes nothing without
    compilation. None is offered for a schema that is given as text, for `mutates_args` that is no list of names, and
    where a condition decides about the write.

    ## References

    - [torch.library.custom_op](https://docs.pytorch.org/docs/stable/library.html#torch.library.custom_op)
    """

    meta = Meta(
        code="VL304",
        name="undeclared-mutation",
        promise=Promise.HONEST_OPERATORS,
        severity=Severity.ERROR,
        proof="undeclared-mutation",
        fix="safe",
    )
    events: ClassVar[tuple[type[Event], ...]] = (OperatorWrites,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report each argument once."""
        assert isinstance(event, OperatorWrites)
        certain = event.confidence is Confidence.HIGH
        does = "writes" if certain else "may write"
        yield Report(
            f"`{event.name}` {does} to its argument `{event.argument}`, by {event.how}, and does not declare it",
            severity=None if certain else Severity.WARNING,
            help=f"name `{event.argument}` in `mutates_args` or mark it in the schema, or write to a copy",
            fixes=offered(f"name `{event.argument}` in `mutates_args`", "safe", event.declared),
        )
