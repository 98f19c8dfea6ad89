"""VL303."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, OperatorRegistered
from vllm_lint.analyzer.findings import Promise, Severity, Step
from vllm_lint.analyzer.rule import Meta, Report, Rule


class FakeWithoutBody(Rule):
    """A fake implementation that returns nothing although the operator returns a result.

    ## What it flags

    A fake implementation whose body is `pass`, `...`, a docstring or a lone `raise`, of an operator that returns
    something.

    It does not flag the same of an operator that returns nothing.

    ## Why it matters

    The fake implementation is all that TorchDynamo knows of the result. Where it returns None the compiled forward goes
    on with None; where it raises the graph breaks (GB0087), and vLLM does not start.

    ## Example

    ```python
    @torch.library.custom_op("kernels::rotate", mutates_args=())
    def rotate(x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
        return kernels.rotate(x, angles)


    @rotate.register_fake
    def _(x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
        pass
    ```

    ## Use instead

    ```python
    @rotate.register_fake
    def _(x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
        return torch.empty_like(x)
    ```

    ## Fix safety

    There is no automatic fix: only the operator's author knows what it returns.

    ## References

    - [Graph break GB0087](https://meta-pytorch.github.io/compile-graph-break-site/gb/gb0087.html)
    - [torch.library.register_fake](https://docs.pytorch.org/docs/stable/library.html#torch.library.register_fake)
    """

    meta = Meta(
        code="VL303",
        name="fake-without-body",
        promise=Promise.HONEST_OPERATORS,
        severity=Severity.ERROR,
        proof="graph-break",
        graph_breaks=("GB0087",),
    )
    events: ClassVar[tuple[type[Event], ...]] = (OperatorRegistered,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report each fake implementation that does nothing."""
        assert isinstance(event, OperatorRegistered)
        if not event.returns:
            return
        for fake in event.fakes:
            if fake.is_empty or fake.raises:
                does = "raises" if fake.raises else "returns nothing"
                yield Report(
                    f"the fake implementation of `{event.name}` {does}, and the operator returns a result",
                    span=fake.span,
                    steps=(Step(event.span, f"registers `{event.name}`"),),
                    help="return an empty tensor of the right shape, dtype and device",
                )
