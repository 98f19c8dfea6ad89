"""VL302."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, OperatorRegistered, Parameter
from vllm_lint.analyzer.findings import Confidence, Promise, Severity, Step
from vllm_lint.analyzer.rule import Meta, Report, Rule


class FakeSignatureMismatch(Rule):
    """A fake implementation that cannot be called as the operator is, or takes its arguments for others.

    ## What it flags

    A fake implementation that requires more arguments than the operator has, takes fewer, has no default where the
    operator has one, has another default, does not know an argument that is passed by keyword, or has the names of the
    operator's parameters in another order.

    It does not flag names that differ: arguments are passed by position. A default that only the fake implementation
    has does no harm either.

    ## Why it matters

    TorchDynamo calls the fake implementation with the operator's arguments, and torch leaves out trailing ones that
    have their default value. So a missing parameter or default raises a TypeError while capturing, in some calls only.
    A different default or order may raise nothing and give a result of the wrong shape or type;
    it is a warning, since the fake implementation may not use the argument.

    ## Example

    ```python
    @torch.library.custom_op("kernels::scaled", mutates_args=())
    def scaled(x: torch.Tensor, factor: float, rows: int = 1) -> torch.Tensor:
        return kernels.scale(x, factor, rows)


    @scaled.register_fake
    def _(x: torch.Tensor, factor: float, rows: int) -> torch.Tensor:
        return torch.empty_like(x)
    ```

    ## Use instead

    ```python
    @torch.library.custom_op("kernels::scaled", mutates_args=())
    def scaled(x: torch.Tensor, factor: float, rows: int = 1) -> torch.Tensor:
        return kernels.scale(x, factor, rows)


    @scaled.register_fake
    def _(x: torch.Tensor, factor: float, rows: int = 1) -> torch.Tensor:
        return torch.empty_like(x)
    ```

    ## Fix safety

    There is no automatic fix: which of the two is right is for the author to say.

    ## References

    - [torch.library.register_fake](https://docs.pytorch.org/docs/stable/library.html#torch.library.register_fake)
    """

    meta = Meta(
        code="VL302",
        name="fake-signature-mismatch",
        promise=Promise.HONEST_OPERATORS,
        severity=Severity.ERROR,
        proof="graph-break, fake-disagrees",
    )
    events: ClassVar[tuple[type[Event], ...]] = (OperatorRegistered,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report each fake implementation once, by the first thing that is wrong."""
        assert isinstance(event, OperatorRegistered)
        if event.parameters is None or event.undecided:
            return
        for fake in event.fakes:
            if fake.parameters is None:
                continue
            found = _mismatch(event.parameters, fake.parameters)
            if found is not None:
                message, raises, confidence = found
                yield Report(
                    f"the fake implementation of `{event.name}` {message}",
                    span=fake.span,
                    confidence=confidence,
                    severity=None if raises else Severity.WARNING,
                    steps=(Step(event.span, f"registers `{event.name}`"),),
                    help="give the fake implementation the operator's parameters, in the same order and with the same "
                    "defaults",
                )


def _mismatch(operator: tuple[Parameter, ...], fake: tuple[Parameter, ...]) -> tuple[str, bool, Confidence] | None:
    """What is wrong with the parameters of a fake implementation, whether it raises, and how certain that is."""
    known = {p.name for p in fake}
    for parameter in operator:
        if parameter.by_keyword and parameter.name not in known:
            return f"has no parameter `{parameter.name}`, which is passed by keyword", True, Confidence.HIGH
    given = [p for p in operator if not p.by_keyword]
    named = {p.name for p in operator if p.by_keyword}
    taken = [p for p in fake if not p.by_keyword and p.name not in named]
    required = [p for p in taken[len(given) :] if p.default is None]
    if required:
        return f"requires `{required[0].name}`, which the operator does not have", True, Confidence.HIGH
    if len(taken) < len(given):
        return f"takes {len(taken)} arguments, and the operator has {len(given)}", True, Confidence.HIGH
    names = [p.name for p in given]
    for position, (own, other) in enumerate(zip(given, taken, strict=False)):
        if other.name != own.name and other.name in names:
            moved = given[names.index(other.name)]
            types_tell = own.type and moved.type and own.type != moved.type
            message = f"has `{other.name}` as argument {position + 1}, where the operator has `{own.name}`"
            return message, False, Confidence.HIGH if types_tell else Confidence.MEDIUM
    for own, other in zip(given, taken, strict=False):
        if own.default is not None and other.default is None:
            return (
                f"has no default for `{other.name}`, and torch leaves out arguments that have theirs",
                True,
                Confidence.HIGH,
            )
        if own.default is not None and other.default is not None and _differ(own.default, other.default):
            return (
                f"has {other.default} as default of `{other.name}`, and the operator {own.default}",
                False,
                Confidence.HIGH,
            )
    return None


def _differ(one: str, other: str) -> bool:
    """Whether two defaults are known to be different."""
    try:
        return bool(ast.literal_eval(one) != ast.literal_eval(other))
    except (ValueError, SyntaxError):
        return False
