"""VL404."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, StateChange
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report, Rule
from vllm_lint.rules.step_state.family import DROPS_GUARDS, judged


class TensorCachedOnHostState(Rule):
    """A tensor that compiled code keeps in a list or dict for a later step.

    ## What it flags

    Compiled code that puts a tensor into a list or dict which outlives the call, whether an attribute, a global or a
    closure holds it: `self.history.append(x)`, `self.cache[name] = x`. An error where a list grows, and where the new
    tensor is computed from the entry before; else a warning.

    It does not flag containers that the forward makes or empties itself, `functools.lru_cache`, which TorchDynamo looks
    through, or entries that are made once from constants (`if name not in self.masks: ...`).

    ## Why it matters

    The container is Python's, and no Python runs when a CUDA graph is replayed: what it holds are tensors of the
    recording, whose memory the next graph uses again. Before that the capture already goes wrong: TorchDynamo puts the
    container back to what the first step made of it, so that a list never has more than one item.

    ## Example

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.history.append(x.mean(0))
        return x - torch.stack(self.history).mean(0)
    ```

    ## Use instead

    A buffer of a fixed size, written in place:

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.history.copy_(torch.cat((self.history[1:], x.mean(0, keepdim=True))))
        return x - self.history.mean(0)
    ```

    ## Fix safety

    There is no automatic fix.

    ## References

    - [CUDA graphs: constraints](https://docs.pytorch.org/docs/stable/notes/cuda.html#constraints)
    - [vLLM's CUDA graphs](https://docs.vllm.ai/en/latest/design/cuda_graphs.html)
    """

    meta = Meta(
        code="VL404",
        name="tensor-cached-on-host-state",
        promise=Promise.REPLAYABLE,
        severity=Severity.ERROR,
        proof="wrong-answer, state-guard",
        contracts=DROPS_GUARDS,
    )
    events: ClassVar[tuple[type[Event], ...]] = (StateChange,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report tensors that are put away."""
        assert isinstance(event, StateChange)
        if event.value != "tensor" or event.change not in ("grow", "store") or event.lazy:
            return
        yield judged(
            event,
            f"`{event.text}` keeps a tensor of this step, whose memory a CUDA graph uses again in the next",
            "copy it into a buffer, or return it",
            Severity.ERROR if event.change == "grow" or event.derived else Severity.WARNING,
        )
