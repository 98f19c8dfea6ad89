"""VL104."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, LibraryCall
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.lifecycle import Lifecycle
from vllm_lint.analyzer.rule import Meta, Report
from vllm_lint.analyzer.untraceable import kind_of
from vllm_lint.rules.graph_break.family import GraphBreakRule, report_call


class LoggingInGraph(GraphBreakRule):
    """A logger or a Python warning in compiled code.

    ## What it flags

    Any call on a logger, vLLM's `init_logger` loggers and `warning_once` included, whatever the level and the
    arguments; the functions of the module `logging`; `warnings.warn`.

    It does not flag logging under `not torch.compiler.is_compiling()`, on a branch that is known not to be taken, in
    `__init__`, or outside compiled regions. Where configuration decides whether the call is reached, the finding has
    medium confidence and is a warning.

    ## Why it matters

    TorchDynamo does not trace logging (GB0291; GB0007 for warnings), not even of a level that is switched off, so vLLM
    does not start. `warning_once` is no better: the capture comes before the first time.

    ## Example

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logger.warning_once("falling back to the slow path")
        return slow_path(x)
    ```

    ## Use instead

    Log while the model is built, where the decision is made anyway:

    ```python
    def __init__(self) -> None:
        super().__init__()
        logger.warning_once("falling back to the slow path")
    ```

    or only without compilation:

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not torch.compiler.is_compiling():
            logger.warning_once("falling back to the slow path")
        return slow_path(x)
    ```

    ## Fix safety

    Safe where one full graph is promised: a call that is a statement of its own is put under `if not
    torch.compiler.is_compiling()`, so that it happens without compilation as before, and compiled code, which could
    not be captured before, leaves it out. Under plain `torch.compile`, where the call does happen, it counts as unsafe.

    ## References

    - [Graph break GB0291](https://meta-pytorch.github.io/compile-graph-break-site/gb/gb0291.html)
    """

    meta = Meta(
        code="VL104",
        name="logging-in-graph",
        promise=Promise.CAPTURE,
        severity=Severity.ERROR,
        proof="graph-break",
        fix="safe",
        lifecycle=Lifecycle(stable="0.1.0"),
        graph_breaks=("GB0007", "GB0291", "GB6215"),
    )
    events: ClassVar[tuple[type[Event], ...]] = (LibraryCall,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report calls of loggers and warnings."""
        assert isinstance(event, LibraryCall)
        if kind_of(event.name) == "logging":
            what = "warns" if event.name.startswith("warnings.") else "calls a logger"
            yield report_call(
                event,
                f"`{event.text}` {what}, which cannot be part of a graph",
                "log while the model is built, or put it under `if not torch.compiler.is_compiling()`",
            )
