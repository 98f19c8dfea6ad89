"""VL306."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, FakeDisagrees
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report, Rule


class FakeDisagreesRule(Rule):
    """A fake implementation that returns something else than the operator.

    ## What it flags

    A fake implementation whose result has another number of dimensions, another multiple of a size, another dtype, or
    lies on the default device instead of that of an argument, or that returns another number of results. Both
    implementations are read, through functions of the program that they call; it is flagged only if no path of the one
    agrees with any path of the other, since backends differ.

    It does not flag what only configuration or the arguments tell: two dtypes of which one is that of an argument,
    sizes of different arguments, results of kernels that are not written in Python, and strides.

    ## Why it matters

    Compiled code is planned with what the fake implementation says. A wrong shape changes sizes that the model computes
    with, without a word, and the memory that results are read from; a wrong dtype is never checked and its bits are
    taken for another type; a wrong device is an error wherever the result meets another tensor.

    ## Example

    ```python
    @torch.library.custom_op("kernels::gated", mutates_args=())
    def gated(x: torch.Tensor) -> torch.Tensor:
        out = torch.empty(x.shape[0], x.shape[1] // 2, dtype=x.dtype, device=x.device)
        kernels.gate(out, x)
        return out


    @gated.register_fake
    def _(x: torch.Tensor) -> torch.Tensor:
        return torch.empty(x.shape[0], x.shape[1], dtype=x.dtype, device=x.device)
    ```

    ## Use instead

    ```python
    @torch.library.custom_op("kernels::gated", mutates_args=())
    def gated(x: torch.Tensor) -> torch.Tensor:
        out = torch.empty(x.shape[0], x.shape[1] // 2, dtype=x.dtype, device=x.device)
        kernels.gate(out, x)
        return out


    @gated.register_fake
    def _(x: torch.Tensor) -> torch.Tensor:
        return torch.empty(x.shape[0], x.shape[1] // 2, dtype=x.dtype, device=x.device)
    ```

    `torch.library.opcheck` compares the two for given arguments.

    ## Fix safety

    There is no automatic fix: either of the two may be wrong.

    ## References

    - [torch.library.opcheck](https://docs.pytorch.org/docs/stable/library.html#torch.library.opcheck)
    - [torch.library.register_fake](https://docs.pytorch.org/docs/stable/library.html#torch.library.register_fake)
    """

    meta = Meta(
        code="VL306",
        name="fake-disagrees",
        promise=Promise.HONEST_OPERATORS,
        severity=Severity.ERROR,
        proof="fake-disagrees, wrong-answer",
    )
    events: ClassVar[tuple[type[Event], ...]] = (FakeDisagrees,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report each aspect of each result."""
        assert isinstance(event, FakeDisagrees)
        yield Report(
            f"the fake implementation of `{event.name}` disagrees with the operator on {event.aspect}: {event.fake}, "
            f"where the operator has {event.real}",
            help="have the fake implementation return what the operator does",
        )
