"""VL110."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, LibraryCall
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report
from vllm_lint.analyzer.untraceable import kind_of
from vllm_lint.rules.graph_break.family import GraphBreakRule, report_call


class UnsupportedTensorKind(GraphBreakRule):
    """A kind of tensor or layer that TorchDynamo does not support.

    ## What it flags

    `nn.LSTM`, `nn.GRU` and `nn.RNN` called in compiled code; sparse tensors (`to_sparse`, `torch.sparse_coo_tensor`,
    `torch.sparse.mm`), quantized ones (`torch.quantize_per_tensor`), nested ones in the strided layout, and
    MKL-DNN's; also reading a sparse, quantized or nested tensor that the module holds.

    It does not flag the cells (`nn.LSTMCell`), nested tensors in the jagged layout, complex tensors, or quantization
    that keeps integers in ordinary tensors, as vLLM's does.

    ## Why it matters

    For these kinds there is no fake tensor, or TorchDynamo is told not to trace them (GB0014, GB0090, GB0015), so
    there is no full graph and vLLM does not start.

    ## Example

    ```python
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(64, 64)


    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rnn(x)[0]
    ```

    ## Use instead

    Wrap it in a custom operator with a fake implementation, or keep the data in a dense tensor: indices and values
    side by side, a mask, or a padded batch.

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight.masked_fill(self.mask, 0.0)
    ```

    ## Fix safety

    There is no automatic fix: the data has to be kept another way.

    ## References

    - [Graph break GB0014](https://meta-pytorch.github.io/compile-graph-break-site/gb/gb0014.html)
    - [Graph break GB0090](https://meta-pytorch.github.io/compile-graph-break-site/gb/gb0090.html)
    """

    meta = Meta(
        code="VL110",
        name="unsupported-tensor-kind",
        promise=Promise.CAPTURE,
        severity=Severity.ERROR,
        proof="graph-break",
        graph_breaks=(
            "GB0007",
            "GB0014",
            "GB0015",
            "GB0016",
            "GB0044",
            "GB0064",
            "GB0090",
            "GB0233",
            "GB0245",
            "GB0277",
            "GB0374",
        ),
    )
    events: ClassVar[tuple[type[Event], ...]] = (LibraryCall,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report every event of its kind."""
        assert isinstance(event, LibraryCall)
        if kind_of(event.name) == "tensor kind":
            yield report_call(
                event,
                f"`{event.text}` needs a kind of tensor or layer that TorchDynamo does not support",
                "keep the data in dense tensors, or wrap it in a custom operator with a fake implementation",
            )
