"""VL114."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, LibraryCall
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report
from vllm_lint.analyzer.untraceable import kind_of
from vllm_lint.rules.graph_break.family import GraphBreakRule, report_call

_SAYS = {
    "torch.Tensor.data_ptr": "`{text}` computes with the address of a tensor",
    "torch.Tensor.as_subclass": "`{text}` makes a tensor of one of torch's own classes",
    "torch.Tensor.data.dtype": "`{text}` gets data of another type, if it does not have that type already",
    "torch.Tensor.out.several": "`{text}` writes to tensors without elements, which have to grow",
    "torch.Tensor.out": "`{text}` writes to a tensor that is not contiguous",
    "torch.Tensor.random_": "`{text}` draws random numbers in place",
    "torch.Tensor.uniform_": "`{text}` draws random numbers in place",
}


class UntraceableTensorMethod(GraphBreakRule):
    """A method that changes what a tensor is, or reads where it lies, instead of what it holds.

    ## What it flags

    `resize_`, `resize_as_`, `set_` to a storage, `share_memory_` and `is_shared`; `.data = ...` on a tensor
    computed in the forward; `unsqueeze_`, `squeeze_`, `t_` and `transpose_` on an argument of the forward;
    arithmetic on or comparison of `data_ptr()`; `storage_offset`; `apply_` and `map_`; `random_` and
    `uniform_(from=...)`; `out=` a tensor that is not contiguous, and several ones that are empty; `.data = ...` of
    another type on an argument (of medium confidence, for it may have that type already); `as_subclass` of a class
    of torch's.

    It does not flag in-place arithmetic (`add_`, `copy_`, `masked_fill_`), `.data = ...` of the same type on a
    parameter or an argument, the in-place views on computed tensors, `data_ptr()` that is only handed on, or `out=`
    a contiguous tensor.

    ## Why it matters

    In the captured graph a tensor's shape, storage and address are not things that change. TorchDynamo breaks the
    graph (GB0126, GB0056, GB5976), and vLLM does not start.

    ## Example

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x.unsqueeze_(0)
        return self.layer(x)
    ```

    ## Use instead

    Make a new tensor:

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.unsqueeze(0))
    ```

    Check alignment of memory where it is allocated, or in a custom operator, which sees real tensors.

    ## Fix safety

    There is no automatic fix: the new tensor has to be used in place of the old one everywhere.

    ## References

    - [Graph break GB0126](https://meta-pytorch.github.io/compile-graph-break-site/gb/gb0126.html)
    - [Graph break GB0056](https://meta-pytorch.github.io/compile-graph-break-site/gb/gb0056.html)
    """

    meta = Meta(
        code="VL114",
        name="untraceable-tensor-method",
        promise=Promise.CAPTURE,
        severity=Severity.ERROR,
        proof="graph-break",
        graph_breaks=(
            "GB0001",
            "GB0055",
            "GB0056",
            "GB0058",
            "GB0072",
            "GB0088",
            "GB0107",
            "GB0110",
            "GB0117",
            "GB0126",
            "GB0127",
            "GB0128",
            "GB0129",
            "GB0130",
            "GB0148",
            "GB0208",
            "GB0220",
            "GB0240",
            "GB0241",
            "GB0242",
            "GB0247",
            "GB4197",
            "GB5976",
        ),
    )
    events: ClassVar[tuple[type[Event], ...]] = (LibraryCall,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report every event of its kind."""
        assert isinstance(event, LibraryCall)
        if kind_of(event.name) == "tensor method":
            says = _SAYS.get(event.name, "`{text}` changes the shape or storage of a tensor in place").format(
                text=event.text
            )
            yield report_call(
                event, f"{says}, which TorchDynamo cannot trace", "make a new tensor, or do it in a custom operator"
            )
