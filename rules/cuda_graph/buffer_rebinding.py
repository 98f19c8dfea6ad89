"""VL403."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

from vllm_lint.analyzer.events import Event, StateChange
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report, Rule, offered
from vllm_lint.rules.step_state.family import DROPS_GUARDS, judged


class BufferRebinding(Rule):
    """An attribute or global that compiled code binds to another tensor.

    ## What it flags

    Assignments of a tensor to an attribute, a global or a closure variable in compiled code: `self.state = ...`,
    `setattr(self, "state", ...)`, a buffer or parameter that is replaced. An error where the forward reads the tensor
    before it replaces it, so that a step goes on from the one before, and for registered buffers and parameters; else a
    warning.

    It does not flag writing into a tensor: `copy_`, `self.state[:n] = x`, `self.state += x`; nor a tensor that is made
    once from constants (`if self.mask is None: self.mask = ...`).

    ## Why it matters

    A CUDA graph reads and writes the addresses of its recording, and no Python runs when it is replayed: the
    attribute stays bound to a tensor of the recording, whose memory the next graph uses again, and the old tensor is
    read for ever. Graphs of several sizes each have a tensor of their own. vLLM refuses to start where a compiled
    forward replaces a buffer, unless the graph comes out of its cache.

    ## Example

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.state = self.state * 0.9 + x.sum(0)
        return x + self.state
    ```

    ## Use instead

    Write into the tensor that is there:

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.state.copy_(self.state * 0.9 + x.sum(0))
        return x + self.state
    ```

    Return what others need of a step.

    ## Fix safety

    Unsafe: `self.buffer = value` becomes `self.buffer.copy_(value)` where both are known to be tensors of one fixed
    shape. Whoever holds the tensor that is there then sees it change. None is offered where the method itself returns
    the tensor or gives it to something else, and where the value is a name that somebody has.

    ## References

    - [CUDA graphs: constraints](https://docs.pytorch.org/docs/stable/notes/cuda.html#constraints)
    - [vLLM's CUDA graphs](https://docs.vllm.ai/en/latest/design/cuda_graphs.html)
    """

    meta = Meta(
        code="VL403",
        name="buffer-rebinding",
        promise=Promise.REPLAYABLE,
        severity=Severity.ERROR,
        proof="rebound",
        fix="unsafe",
        contracts=DROPS_GUARDS,
    )
    events: ClassVar[tuple[type[Event], ...]] = (StateChange,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report tensors that are bound in every step."""
        assert isinstance(event, StateChange)
        if event.change != "bind" or event.value != "tensor" or event.lazy or event.resized:
            return
        is_carried = event.registered or event.read is not None
        found = judged(
            event,
            f"`{event.text}` is bound to another tensor in every step, and a CUDA graph goes on with the one of its "
            "recording",
            f"write into the tensor: `{event.text}.copy_(...)`" if is_carried else "return the tensor instead",
            Severity.ERROR if is_carried else Severity.WARNING,
        )
        yield replace(found, fixes=offered("write into the tensor", "unsafe", event.written))
