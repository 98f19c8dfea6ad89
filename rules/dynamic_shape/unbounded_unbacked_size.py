"""VL209."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, UnboundedSize
from vllm_lint.analyzer.findings import Contract, Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report, Rule

_PIECES = "keep all rows and weigh them with a mask, so that the length is that of the input"
_ADVICE = {
    "roll": "bound the length before, with `torch._check(y.shape[0] >= 1)`",
    "split": "bound the length before from both sides, with `torch._check`",
}


class UnboundedUnbackedSize(Rule):
    """An operation that has to know something of a length that comes out of data.

    ## What it flags

    `chunk`, `tensor_split`, `split` by a number, `unbind` and `roll` along a dimension whose length only the data
    tells, such as that of `x[mask]`, `nonzero()` and `unique()`: how many pieces there are, or whether there is
    anything to roll, depends on it.

    It does not flag what is captured with such a length: arithmetic, `view`, `reshape`, `cat`, reductions, matrix
    products, indexing and `split` by a list of lengths. A function that calls `torch._check` is taken to bound what it
    works with.

    ## Why it matters

    While TorchDynamo captures a forward, the length is a symbol without a value. These operations ask whether it is
    zero, or how many pieces it makes, and the capture fails with a data-dependent error. vLLM does not start.

    ## Example

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = x[x[:, 0] > 0]
        return x + kept.roll(1, 0).sum(0)
    ```

    ## Use instead

    Say what is known of the length:

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = x[x[:, 0] > 0]
        torch._check(kept.shape[0] >= 1)
        return x + kept.roll(1, 0).sum(0)
    ```

    That makes it captured, and still the host waits for the length in every step (`host-sync-in-graph`). Better keep
    all rows and multiply them with the mask.

    ## Fix safety

    There is no automatic fix: what bounds the length is for the author to say.

    ## References

    - [Dealing with data-dependent errors](https://docs.pytorch.org/docs/stable/user_guide/torch_compiler/compile/programming_model.dynamic_shapes.html)
    """

    meta = Meta(
        code="VL209",
        name="unbounded-unbacked-size",
        promise=Promise.ALL_SIZES,
        severity=Severity.ERROR,
        proof="data-dependent",
        contracts=frozenset({Contract.VLLM, Contract.FULLGRAPH}),
    )
    events: ClassVar[tuple[type[Event], ...]] = (UnboundedSize,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report every such operation."""
        assert isinstance(event, UnboundedSize)
        yield Report(
            f"`{event.text}` depends on a length that comes out of data: it is not known while the graph is captured",
            help=_ADVICE.get(event.form, _PIECES),
        )
