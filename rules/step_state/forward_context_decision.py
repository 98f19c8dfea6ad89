"""VL603."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, StepDecision
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report, Rule
from vllm_lint.rules.step_state.family import DROPS_GUARDS, judged
from vllm_lint.rules.wording import construct


class ForwardContextDecision(Rule):
    """A decision of compiled code on what vLLM sets anew for each step.

    ## What it flags

    Conditions on fields of `get_forward_context()` that change from step to step, and on what is taken from them:
    whether `attn_metadata` is None, what is in it, `batch_descriptor`, `cudagraph_runtime_mode`, `ubatch_slices`,
    `num_tokens` and their kin.

    It does not flag fields that follow from the configuration (`dp_metadata`, `no_compile_layers`), tensors that are
    taken from the context and computed with, or code behind a custom operator, which runs in every step. Where
    configuration decides whether the decision is reached, the finding has medium confidence and is a warning.

    ## Why it matters

    vLLM captures in its profiling run, in which there is no metadata of the attention. The guard on that is dropped,
    so every later step takes the same way: that of a batch without metadata.

    ## Example

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        metadata = get_forward_context().attn_metadata
        if metadata is None:
            return x
        return self.attend(x, metadata)
    ```

    ## Use instead

    Decide within a custom operator that is given the name of the layer, as vLLM's attention does:

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ops.my_models.attend(x, self.prefix)
    ```

    ## Fix safety

    There is no automatic fix.

    ## References

    - [vLLM's integration of torch.compile](https://docs.vllm.ai/en/latest/design/torch_compile.html)
    - [Custom operators in Python](https://docs.pytorch.org/tutorials/advanced/python_custom_ops.html)
    """

    meta = Meta(
        code="VL603",
        name="forward-context-decision",
        promise=Promise.NO_STEP_STATE,
        severity=Severity.ERROR,
        proof="wrong-answer, state-guard",
        contracts=DROPS_GUARDS,
    )
    events: ClassVar[tuple[type[Event], ...]] = (StepDecision,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report every decision."""
        assert isinstance(event, StepDecision)
        yield judged(
            event,
            f"`{event.text}` decides {construct(event.form)} on `{event.source}`, which each step sets anew: the graph "
            "keeps the answer of the profiling run",
            "decide within a custom operator that is given the name of the layer",
            self.meta.severity,
        )
