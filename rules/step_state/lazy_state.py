"""VL605."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, StateChange
from vllm_lint.analyzer.findings import Promise, Severity, Step
from vllm_lint.analyzer.rule import Meta, Report, Rule
from vllm_lint.rules.step_state.family import DROPS_GUARDS, judged


class LazyState(Rule):
    """State that the first step makes and later steps are to find.

    ## What it flags

    Compiled code that asks whether an attribute, variable or dict entry is there yet, and if it is not computes it from
    the data of an argument (`if self.mean is None: self.mean = x.mean(0)`); or that does more in the same branch than
    to set it, so that the first step differs from all others. The finding stands at the question, where TorchDynamo
    sees it.

    It does not flag what is made once from constants, weights, shapes or configuration: the graph makes that again in
    every step, and it comes out the same.

    ## Why it matters

    The capture is the first step, so it takes the branch in which nothing is there yet, and the guard on that is
    dropped. Every later step takes it again: state that was to be kept is computed anew from each batch. vLLM's first
    step is a profiling run on made-up data.

    ## Example

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.mean is None:
            self.mean = x.mean(0)
        return x - self.mean
    ```

    ## Use instead

    Make it before the model is compiled, from what does not depend on a batch, or fill a buffer with tensor operations:

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.mean.copy_(torch.where(self.is_set, self.mean, x.mean(0)))
        self.is_set.fill_(True)
        return x - self.mean
    ```

    ## Fix safety

    There is no automatic fix.

    ## References

    - [Guards in torch.compile](https://docs.pytorch.org/docs/stable/torch.compiler_dynamo_deepdive.html)
    """

    meta = Meta(
        code="VL605",
        name="lazy-state",
        promise=Promise.NO_STEP_STATE,
        severity=Severity.ERROR,
        proof="wrong-answer, state-guard, rebound",
        contracts=DROPS_GUARDS,
    )
    events: ClassVar[tuple[type[Event], ...]] = (StateChange,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report what is made from a batch, or makes the first step another one."""
        assert isinstance(event, StateChange)
        if not event.lazy or event.change not in ("bind", "store"):
            return
        if event.value == "tensor" and event.from_input:
            what = "is computed from the first batch"
        elif event.value != "tensor" and event.steers and not event.derived:
            what = "makes the first step another one"
        else:
            return
        message = f"`{event.text}` {what}, and the graph, which keeps that nothing is there yet, does so in every step"
        report = judged(event, message, "make it in `__init__` or after loading the weights", self.meta.severity)
        read = event.read or event.span
        steps = (*event.steps, Step(event.span, f"`{event.text}` is set here"))
        yield Report(report.message, read, report.confidence, report.severity, report.help, steps)
