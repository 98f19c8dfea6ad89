"""VL309."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, OperatorRegistered
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report, Rule

_NUMBERS = ("float", "bool", "Scalar", "str")


class ScalarReturningOperator(Rule):
    """A custom operator that returns a Python number.

    ## What it flags

    An operator that returns a `float`, `bool` or `str`, and one that returns an `int` for which its fake implementation
    gives a constant.

    It does not flag an `int` that the fake implementation computes from sizes or takes from
    `torch.library.get_ctx().new_dynamic_size()`, since that stays a symbol, or a tensor with one element.

    ## Why it matters

    TorchDynamo computes the number once, with the fake implementation. A float is baked into the graph as it came out
    there, so each later step computes with that, without a word; with a bool or a constant int the graph breaks
    (GB0208).

    ## Example

    ```python
    @torch.library.custom_op("kernels::amax", mutates_args=())
    def amax(x: torch.Tensor) -> float:
        return x.abs().max().item()


    @amax.register_fake
    def _(x: torch.Tensor) -> float:
        return 1.0
    ```

    ## Use instead

    ```python
    @torch.library.custom_op("kernels::amax", mutates_args=())
    def amax(x: torch.Tensor) -> torch.Tensor:
        return x.abs().max()


    @amax.register_fake
    def _(x: torch.Tensor) -> torch.Tensor:
        return x.new_empty(())
    ```

    ## Fix safety

    There is no automatic fix: callers of the operator change with it.

    ## References

    - [Graph break GB0208](https://meta-pytorch.github.io/compile-graph-break-site/gb/gb0208.html)
    """

    meta = Meta(
        code="VL309",
        name="scalar-returning-operator",
        promise=Promise.HONEST_OPERATORS,
        severity=Severity.ERROR,
        proof="wrong-answer, graph-break",
        graph_breaks=("GB0208",),
    )
    events: ClassVar[tuple[type[Event], ...]] = (OperatorRegistered,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report a result that cannot stay a symbol."""
        assert isinstance(event, OperatorRegistered)
        for kind in event.returns or ():
            constant = kind == "int" and bool(event.fakes) and not event.measured
            if kind in _NUMBERS or constant:
                name = "a number" if kind == "Scalar" else f"a Python {kind}"
                yield Report(
                    f"operator `{event.name}` returns {name}, and compiled code keeps the one that its fake "
                    "implementation gives",
                    help="return a tensor with one element",
                )
                return
