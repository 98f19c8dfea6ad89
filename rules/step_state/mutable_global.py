"""VL604."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, StateChange
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report, Rule
from vllm_lint.rules.step_state.family import ATTRIBUTES, DROPS_GUARDS, changed, changes_between_steps


class MutableGlobal(Rule):
    """A global or closure variable that compiled code both reads and changes.

    ## What it flags

    Compiled code that changes a variable of a module (`global steps; steps += 1`), a variable of an enclosing function
    (`nonlocal`), a list or dict that one of them holds, or an attribute of `threading.local` storage, and reads it
    before. The finding stands where the value is read.

    It does not flag a function's own closures, flags that only say whether something was set up
    (`if _ready: return`), or variables that get the same value in every step. Where a condition decides, the finding
    has medium confidence and is a warning; it is one too where nothing but the change itself reads the variable.

    ## Why it matters

    TorchDynamo takes the value for a constant and guards it; vLLM drops the guard. Each step computes with the value
    that the variable had during the capture. On the path of vLLM's ahead-of-time compilation writes to globals do not
    even reach the module.

    ## Example

    ```python
    _STEPS = 0


    def scaled(x: torch.Tensor) -> torch.Tensor:
        global _STEPS
        _STEPS += 1
        return x * _STEPS
    ```

    ## Use instead

    State that the graph itself carries on, in a buffer of the module:

    ```python
    def scaled(x: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        steps.add_(1)
        return x * steps
    ```

    ## Fix safety

    There is no automatic fix: who reads the variable besides decides what takes its place.

    ## References

    - [Guards in torch.compile](https://docs.pytorch.org/docs/stable/torch.compiler_dynamo_deepdive.html)
    - [vLLM's integration of torch.compile](https://docs.vllm.ai/en/latest/design/torch_compile.html)
    """

    meta = Meta(
        code="VL604",
        name="mutable-global",
        promise=Promise.NO_STEP_STATE,
        severity=Severity.ERROR,
        proof="wrong-answer, state-guard",
        contracts=DROPS_GUARDS,
    )
    events: ClassVar[tuple[type[Event], ...]] = (StateChange,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report variables that a step leaves with another value."""
        assert isinstance(event, StateChange)
        if event.holder not in ATTRIBUTES and changes_between_steps(event):
            names = {"global": "the global", "closure": "the closure variable"}
            yield changed(event, names.get(event.holder, f"the {event.holder}"))
