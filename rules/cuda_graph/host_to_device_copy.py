"""VL402."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, HostCopy
from vllm_lint.analyzer.findings import Contract, Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report, Rule


class HostToDeviceCopy(Rule):
    """A copy to the GPU of a tensor that is kept in ordinary memory of the CPU.

    ## What it flags

    `x.to(device)`, `x.to(other)` and `x.cuda()` in a compiled forward, where `x` was made before and is known to be on
    the CPU: a tensor of a module (`TABLE = torch.tensor([...])`), an attribute made with `device="cpu"`, an array of
    numpy that is not made in the forward (`torch.from_numpy(self.table)`), and what is computed from these. Indexing a
    tensor of the device with one of these, `x[TABLE]`, copies it too.

    It does not flag tensors made in the forward, such as `torch.tensor([1, 2], device=x.device)` or
    `torch.arange(n).to(x.device)`: measured on a GPU, the compiler makes them where they are used. Pinned memory and
    registered buffers are fine too.

    ## Why it matters

    A copy from memory that is not pinned goes through the host, and a CUDA graph cannot record it: "Cannot copy between
    CPU and CUDA tensors during CUDA graph capture unless the CPU tensor is pinned". TorchDynamo captures it without a
    word. With CUDA graphs turned off it is made anew in every step.

    ## Example

    ```python
    def __init__(self) -> None:
        self.slopes = torch.linspace(0, 1, 64, device="cpu")


    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.slopes.to(x.device)
    ```

    ## Use instead

    Keep it on the device. vLLM builds a model with the device as default, and moves buffers along with it:

    ```python
    def __init__(self) -> None:
        self.register_buffer("slopes", torch.linspace(0, 1, 64), persistent=False)


    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.slopes
    ```

    What changes from step to step is copied into such a buffer before the model is called.

    ## Fix safety

    There is no automatic fix: the tensor may be kept on the CPU because something else uses it there.

    ## References

    - [CUDA graphs in vLLM](https://docs.vllm.ai/en/latest/design/cuda_graphs.html)
    """

    meta = Meta(
        code="VL402",
        name="host-to-device-copy",
        promise=Promise.REPLAYABLE,
        severity=Severity.ERROR,
        proof="static only, because on a machine without a GPU nothing is copied",
        contracts=frozenset({Contract.VLLM}),
    )
    events: ClassVar[tuple[type[Event], ...]] = (HostCopy,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report every copy."""
        assert isinstance(event, HostCopy)
        yield Report(
            f"`{event.text}` copies from memory of the CPU that is not pinned, which a CUDA graph cannot record",
            help="keep the tensor on the device, as a buffer, or write it to one before the model is called",
        )
