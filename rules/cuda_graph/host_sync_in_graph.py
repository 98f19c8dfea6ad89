"""VL401."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, HostSync
from vllm_lint.analyzer.findings import Confidence, Contract, Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report, Rule

_REASONS = {
    "scalar": ("reads a number out of a tensor", "keep the number in the tensor, which operations take as well"),
    "list": ("reads a tensor into a list", "keep the numbers in the tensor, and index it"),
    "copy": ("copies a tensor to the CPU", "compute on the device, or copy behind the compiled forward"),
    "length": (
        "gives as many elements as the data says",
        "keep all elements and weigh them with a mask, or say the length (`nonzero_static`, `output_size`)",
    ),
    "mask": ("picks as many elements as the mask has true ones", "use `torch.where`, or multiply with the mask"),
    "mask write": ("writes a tensor where the mask is true", "use `torch.where`, or `masked_scatter`"),
}


class HostSyncInGraph(Rule):
    """An operation for which the host has to wait for the GPU, which a CUDA graph cannot record.

    ## What it flags

    - numbers read out of a tensor: `x.item()`, `x.tolist()`, `int(x)`, `float(x)`, `bool(x)`
    - copies to the CPU: `x.cpu()`, `x.to("cpu")`
    - results whose length comes from data: `nonzero`, `argwhere`, `torch.where` with one argument, `masked_select`,
      `unique`, `bincount`, `repeat_interleave` by a tensor without `output_size`
    - `x[mask]` with a mask of truth values, and `x[mask] = rows`

    It does not flag tensors that are known to be on the CPU, `x[mask] = 0.0`, `masked_fill`, or code behind a custom
    operator. A number that decides something is `data-dependent-branch`.

    A float that `item()` or `float()` reads is reported with low confidence: where it does nothing but scale or shift a
    tensor the compiler keeps it on the GPU, and where it is an argument (`clamp(max=...)`, `torch.full`) or a result it
    does not. Where the type of the number is not known the finding has medium confidence.

    ## Why it matters

    TorchDynamo captures these without a word, so a clean capture is no proof. vLLM then records the compiled code as a
    CUDA graph, in which the host must not wait: CUDA refuses ("operation not permitted when stream is capturing"), and
    the server does not start. With CUDA graphs turned off it starts, and the GPU idles at that line in every step.

    ## Example

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        used = (x.abs().sum(-1) > 0).sum().item()
        return x.sum(0) / used
    ```

    ## Use instead

    Keep the number on the device:

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        used = (x.abs().sum(-1) > 0).sum()
        return x.sum(0) / used
    ```

    `torch.where`, a product with the mask, `torch.nonzero_static` and `output_size=` take the place of operations whose
    length comes from data. What the host has to know is best computed with the metadata of the step, before the model
    is called.

    ## Fix safety

    There is no automatic fix: the code has to be written another way.

    ## References

    - [CUDA graphs in vLLM](https://docs.vllm.ai/en/latest/design/cuda_graphs.html)
    - [Debugging vLLM's torch.compile integration](https://docs.vllm.ai/en/latest/design/debug_vllm_compile.html)
    """

    meta = Meta(
        code="VL401",
        name="host-sync-in-graph",
        promise=Promise.REPLAYABLE,
        severity=Severity.ERROR,
        proof="graph-sync",
        contracts=frozenset({Contract.VLLM}),
    )
    events: ClassVar[tuple[type[Event], ...]] = (HostSync,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report every sync, with what is known of the number that is read."""
        assert isinstance(event, HostSync)
        what, advice = _REASONS[event.form]
        confidence, severity = event.confidence, None
        if event.form == "scalar" and event.number == "float":
            confidence, severity = Confidence.LOW, Severity.WARNING
        elif event.form == "scalar" and not event.number:
            confidence = Confidence.MEDIUM
        yield Report(
            f"`{event.text}` {what}: the host waits for the GPU, which a CUDA graph cannot record",
            confidence=confidence,
            severity=severity,
            help=advice,
        )
