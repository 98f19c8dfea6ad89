"""VL112."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, LibraryCall
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report
from vllm_lint.analyzer.untraceable import kind_of
from vllm_lint.rules.graph_break.family import GraphBreakRule, report_call

_SAYS = {
    "builtins.Exception.__init__": "builds an error that is raised and caught",
    "builtins.Exception.__setattr__": "sets an attribute of an error",
    "builtins.Exception.keyword": "builds an error with keyword arguments, which is caught",
}


class ExceptionAroundTensorOp(GraphBreakRule):
    """An exception handler that waits for what the captured graph never raises.

    ## What it flags

    In compiled code: `try` around operations on tensors with a handler for `RuntimeError`, `IndexError` or
    `Exception` that does something else than raise; and, under a handler for `ImportError`, an import of a package
    that is not found. Both are warnings of medium confidence, since whether the operation or the import fails is
    not known. Also raising and catching, in one `try`, an error that TorchDynamo cannot build: of a class whose
    `__init__` calls `super().__init__`, or one of Python's with keyword arguments (`ImportError(name=...)`); and
    setting an attribute of an error of Python's.

    It does not flag handlers of `KeyError`, `AttributeError` and other errors of Python itself, which are traced,
    handlers that only raise, `finally`, or imports at the top of a module.

    ## Why it matters

    The handler is not part of the graph. An operation that fails while the graph is captured fails the capture
    (GB4315), as does a failing import (GB0069), instead of running the handler. One that fails later, when the graph
    runs, raises out of the compiled model where eager code would have gone on.

    ## Example

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        try:
            return torch.linalg.cholesky(x)
        except RuntimeError:
            return x
    ```

    ## Use instead

    Use an operation that reports failure in its result, or decide before:

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        factor, info = torch.linalg.cholesky_ex(x)
        return torch.where(info == 0, factor, x)
    ```

    Import optional packages at the top of the module.

    ## Fix safety

    There is no automatic fix: what the handler is for has to be said another way.

    ## References

    - [Graph break GB4315](https://meta-pytorch.github.io/compile-graph-break-site/gb/gb4315.html)
    - [Graph break GB0069](https://meta-pytorch.github.io/compile-graph-break-site/gb/gb0069.html)
    """

    meta = Meta(
        code="VL112",
        name="exception-around-tensor-op",
        promise=Promise.CAPTURE,
        severity=Severity.ERROR,
        proof="graph-break, replay-failed",
        graph_breaks=(
            "GB0006",
            "GB0022",
            "GB0069",
            "GB0135",
            "GB0273",
            "GB4315",
        ),
    )
    events: ClassVar[tuple[type[Event], ...]] = (LibraryCall,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report every event of its kind."""
        assert isinstance(event, LibraryCall)
        if kind_of(event.name) == "exception":
            if event.name == "builtins.ImportError":
                yield report_call(
                    event,
                    f"`{event.text}` fails the capture if the package is missing: the handler is not part of the graph",
                    "import it at the top of the module",
                )
            elif event.name.startswith("builtins.Exception."):
                yield report_call(
                    event,
                    f"`{event.text}` {_SAYS[event.name]}, which TorchDynamo cannot trace",
                    "return a value that says what happened, or raise an error with plain arguments",
                )
            else:
                yield report_call(
                    event,
                    f"if `{event.text}` fails, so does the compiled model: its handler is not part of the graph",
                    "use an operation that reports failure in its result, or decide before",
                )
