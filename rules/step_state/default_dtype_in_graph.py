"""VL608."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import DefaultDtypeSet, Event
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report, Rule
from vllm_lint.rules.step_state.family import judged


class DefaultDtypeInGraph(Rule):
    """Compiled code that sets torch's default dtype.

    ## What it flags

    `torch.set_default_dtype` in compiled code, also within a context manager.

    It does not flag asking for the default dtype, or settings that were measured to keep their meaning when captured:
    `set_grad_enabled`, `use_deterministic_algorithms`, `set_float32_matmul_precision`, the flags of `torch.backends`.

    ## Why it matters

    TorchDynamo sets the default during the capture, so shapes and dtypes in the graph look right. AOTAutograd runs the
    graph again with the default that holds outside: `torch.ones(8)` comes out in another dtype than the code says, at
    every size and without an error.

    ## Example

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.set_default_dtype(torch.float64)
        steps = torch.linspace(0, 1, 8)
        torch.set_default_dtype(torch.float32)
        return x + steps
    ```

    ## Use instead

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.linspace(0, 1, 8, dtype=torch.float64)
    ```

    ## Fix safety

    There is no automatic fix: which calls depend on the default is not known.

    ## References

    - [torch.set_default_dtype](https://docs.pytorch.org/docs/stable/generated/torch.set_default_dtype.html)
    """

    meta = Meta(
        code="VL608",
        name="default-dtype-in-graph",
        promise=Promise.NO_STEP_STATE,
        severity=Severity.ERROR,
        proof="wrong-answer",
    )
    events: ClassVar[tuple[type[Event], ...]] = (DefaultDtypeSet,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report every call."""
        assert isinstance(event, DefaultDtypeSet)
        yield judged(
            event,
            f"`{event.text}` holds during the capture only: the graph is compiled with the default dtype outside of it",
            "give each tensor its dtype: `torch.ones(8, dtype=...)`",
            self.meta.severity,
        )
