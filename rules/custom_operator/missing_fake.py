"""VL301."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, OperatorRegistered
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report, Rule, offered


class MissingFake(Rule):
    """A custom operator without a fake implementation.

    ## What it flags

    An operator that a file defines and implements, through `direct_register_custom_op`, `torch.library.custom_op` or a
    `torch.library.Library`, and gives no fake implementation.

    It does not flag an operator that returns nothing and declares what it writes to, since torch makes up a fake
    implementation for it; one that is implemented for `CompositeExplicitAutograd` or `CompositeImplicitAutograd`, or
    with `triton_op`, since that runs on fake tensors as well; and one whose registration cannot be read.

    ## Why it matters

    TorchDynamo does not look into a custom operator. The fake implementation tells it shape and type of the result.
    Without one, a compiled forward that calls the operator breaks the graph (GB0090) or fails on a fake tensor, and
    vLLM does not start.

    ## Example

    ```python
    def _scaled(x: torch.Tensor, scale: float) -> torch.Tensor:
        return kernels.scale(x, scale)


    direct_register_custom_op(op_name="scaled", op_func=_scaled)
    ```

    ## Use instead

    ```python
    def _scaled(x: torch.Tensor, scale: float) -> torch.Tensor:
        return kernels.scale(x, scale)


    def _scaled_fake(x: torch.Tensor, scale: float) -> torch.Tensor:
        return torch.empty_like(x)


    direct_register_custom_op(op_name="scaled", op_func=_scaled, fake_impl=_scaled_fake)
    ```

    ## Fix safety

    Safe: a fake implementation is written where the real one shows how its result is made, by one
    `torch.empty_like(x)`, `x.new_empty(...)`, `x.clone()` or the like of nothing but arguments. Without compilation
    nothing changes. In all other cases only the operator's author knows what it returns.

    ## References

    - [Graph break GB0090](https://meta-pytorch.github.io/compile-graph-break-site/gb/gb0090.html)
    - [torch.library.register_fake](https://docs.pytorch.org/docs/stable/library.html#torch.library.register_fake)
    """

    meta = Meta(
        code="VL301",
        name="missing-fake",
        promise=Promise.HONEST_OPERATORS,
        severity=Severity.ERROR,
        proof="graph-break",
        fix="safe",
        graph_breaks=("GB0037", "GB0090"),
    )
    events: ClassVar[tuple[type[Event], ...]] = (OperatorRegistered,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report an operator that is known to have none, and to need one."""
        assert isinstance(event, OperatorRegistered)
        if event.fakes or event.composite or event.undecided or not event.defined or not event.real:
            return
        makes_do = event.returns == () and any(p.written for p in event.parameters or ())
        if event.returns is None or makes_do:
            return
        yield Report(
            f"operator `{event.name}` has no fake implementation, so calling it in compiled code breaks the graph",
            help="register one that returns an empty tensor of the right shape, dtype and device",
            fixes=offered("write a fake implementation", "safe", *event.faked),
        )
