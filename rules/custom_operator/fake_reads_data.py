"""VL308."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, FakeReadsData
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report, Rule


class FakeReadsDataRule(Rule):
    """A fake implementation that asks for the values of a tensor.

    ## What it flags

    `.item()`, `.tolist()`, `.numpy()`, `.data_ptr()`, `int()`, `float()`, `bool()` and control flow on a tensor in a
    fake implementation.

    It does not flag questions about shape, dtype or device, or sizes from
    `torch.library.get_ctx().new_dynamic_size()`.

    ## Why it matters

    A fake tensor has no values. The capture fails with a data-dependent error, or the value becomes a symbol that the
    shape of the result then depends on.

    ## Example

    ```python
    @packed.register_fake
    def _(x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return x.new_empty(int(lengths.sum()), x.shape[1])
    ```

    ## Use instead

    ```python
    @packed.register_fake
    def _(x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        rows = torch.library.get_ctx().new_dynamic_size()
        return x.new_empty(rows, x.shape[1])
    ```

    Better still, pass the number that the caller knows, or return as many rows for every batch.

    ## Fix safety

    There is no automatic fix: what the size depends on is for the author to say.

    ## References

    - [torch.library.get_ctx](https://docs.pytorch.org/docs/stable/library.html#torch.library.get_ctx)
    """

    meta = Meta(
        code="VL308",
        name="fake-reads-data",
        promise=Promise.HONEST_OPERATORS,
        severity=Severity.ERROR,
        proof="data-dependent",
    )
    events: ClassVar[tuple[type[Event], ...]] = (FakeReadsData,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report each question."""
        assert isinstance(event, FakeReadsData)
        yield Report(
            f"the fake implementation of `{event.name}` asks for the value of a tensor: `{event.text}`",
            help="use a size that the arguments tell, or `torch.library.get_ctx().new_dynamic_size()`",
        )
