"""VL602."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, StateChange
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report, Rule
from vllm_lint.rules.step_state.family import ATTRIBUTES, DROPS_GUARDS, changed, changes_between_steps


class MutatedAttribute(Rule):
    """An attribute that compiled code both reads and changes.

    ## What it flags

    Compiled code that changes an attribute of an object which outlives the call, and reads it before: counters
    (`self.calls += 1`), flags (`self.is_first = False`), lists that grow (`self.history.append(1)`), entries of a dict
    that are computed from the entry before, attributes of a class. The finding stands where the value is read.

    It does not flag attributes that are bound before they are read, that hold the number of tokens, that get the same
    value in every step, or that are computed once from constants (`if self.scale is None: self.scale = 2.0`), nor
    objects and lists that the forward makes itself. Tensors are the matter of
    [VL403](VL403.md) and [VL404](VL404.md). Where a condition decides, the finding has medium confidence and is a
    warning; it is one too where nothing but the change itself reads the attribute.

    ## Why it matters

    TorchDynamo takes the value for a constant and guards it; vLLM drops the guard. Each step computes with the value
    that the attribute had during the capture, and leaves what the first step left: `self.calls` is 1 for ever, a list
    has one item. Nothing fails.

    ## Example

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x * self.calls
    ```

    ## Use instead

    State that the graph itself carries on, in a buffer:

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls.add_(1)
        return x * self.calls
    ```

    Or count where the model is called, outside of the compiled forward.

    ## Fix safety

    There is no automatic fix: who reads the attribute besides decides what takes its place.

    ## References

    - [Guards in torch.compile](https://docs.pytorch.org/docs/stable/torch.compiler_dynamo_deepdive.html)
    - [vLLM's integration of torch.compile](https://docs.vllm.ai/en/latest/design/torch_compile.html)
    """

    meta = Meta(
        code="VL602",
        name="mutated-attribute",
        promise=Promise.NO_STEP_STATE,
        severity=Severity.ERROR,
        proof="wrong-answer, state-guard",
        contracts=DROPS_GUARDS,
    )
    events: ClassVar[tuple[type[Event], ...]] = (StateChange,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report attributes that a step leaves with another value."""
        assert isinstance(event, StateChange)
        if event.holder in ATTRIBUTES and changes_between_steps(event):
            yield changed(event, "the attribute" if event.holder == "attribute" else "the class attribute")
