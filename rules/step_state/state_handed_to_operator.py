"""VL610."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, StateHandedOver
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report, Rule
from vllm_lint.rules.step_state.family import judged


class StateHandedToOperator(Rule):
    """A custom operator that is to find what the forward has just put on `self`.

    ## What it flags

    A call of a custom operator that looks at an attribute of the caller, by way of the layer that it looks up by name,
    if the forward sets that attribute before the call: `self.scale = ...; attend(x, self.prefix)`. Operators defined in
    Python are looked at whose function is found: under `torch.library.custom_op`, or registered in the same module by
    vLLM's `direct_register_custom_op`.

    ## Why it matters

    TorchDynamo does what Python code does to objects behind the graph, when that has run. The operator is part of the
    graph: it sees what the step before has set, and in the first step what was there from the beginning.

    ## Example

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.scale = x.abs().amax()
        return torch.ops.my_models.scaled(x, self.prefix)
    ```

    ## Use instead

    Give the operator what it needs as an argument:

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ops.my_models.scaled(x, x.abs().amax(), self.prefix)
    ```

    A tensor may also be written into a buffer, if the operator names that buffer as an argument: what it only finds by
    itself is not known to depend on the write.

    ## Fix safety

    There is no automatic fix: the schema of the operator changes.

    ## References

    - [Custom operators in Python](https://docs.pytorch.org/tutorials/advanced/python_custom_ops.html)
    """

    meta = Meta(
        code="VL610",
        name="state-handed-to-operator",
        promise=Promise.NO_STEP_STATE,
        severity=Severity.ERROR,
        proof="wrong-answer, rebound",
    )
    events: ClassVar[tuple[type[Event], ...]] = (StateHandedOver,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report every such call."""
        assert isinstance(event, StateHandedOver)
        yield judged(
            event,
            f"`{event.operator}` looks at `{event.attribute}`, which this forward sets: in the graph it sees what "
            "the step before has set",
            "give it to the operator as an argument",
            self.meta.severity,
        )
