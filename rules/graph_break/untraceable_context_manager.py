"""VL106."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, LibraryCall
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report
from vllm_lint.analyzer.untraceable import kind_of
from vllm_lint.rules.graph_break.family import GraphBreakRule, report_call


class UntraceableContextManager(GraphBreakRule):
    """A context manager that TorchDynamo cannot enter.

    ## What it flags

    `with` on a lock; on `torch.device(...)` or a tensor's device; and on an object that was made before the capture
    and is held by a module or a global: `with self.guard:`, be it an object of a class, what a `@contextmanager`
    returned, or a `torch.no_grad()`. Also `enter_context(torch.no_grad())` on an `ExitStack`,
    `contextlib.redirect_stdout`, `contextlib.closing`, `torch.autograd.detect_anomaly`, `torch.random.fork_rng` and
    the flags of back ends (`torch.backends.cudnn.flags`).

    It does not flag a context manager that is made where it is entered, with a class or with `@contextmanager`, even
    one that swaps a global; `torch.no_grad()`, `torch.autocast`, `nullcontext`, `suppress`, `record_function`,
    `torch.cuda.stream`, or attention's `sdpa_kernel`.

    ## Why it matters

    TorchDynamo traces `__enter__` and `__exit__` as part of the graph. For an object from outside it would have to
    guard on all the object's state and take it back after a break, so it refuses (GB0142), and vLLM does not start. A
    lock would not protect anything either: the captured graph runs without the Python code that took it.

    ## Example

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with self.lock:
            return self.layer(x)
    ```

    ## Use instead

    Take locks, and set devices, around the call of the compiled model. Make the context manager where it is entered:

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return self.layer(x)
    ```

    Instead of `with torch.device(...)`, give `device=x.device` to what creates tensors.

    ## Fix safety

    There is no automatic fix: whether the context is needed at all in the graph is a matter of design.

    ## References

    - [Graph break GB0142](https://meta-pytorch.github.io/compile-graph-break-site/gb/gb0142.html)
    """

    meta = Meta(
        code="VL106",
        name="untraceable-context-manager",
        promise=Promise.CAPTURE,
        severity=Severity.ERROR,
        proof="graph-break",
        graph_breaks=(
            "GB0007",
            "GB0008",
            "GB0066",
            "GB0142",
            "GB0156",
            "GB0208",
            "GB0262",
            "GB7151",
        ),
    )
    events: ClassVar[tuple[type[Event], ...]] = (LibraryCall,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report every event of its kind."""
        assert isinstance(event, LibraryCall)
        if kind_of(event.name) == "context manager":
            yield report_call(
                event,
                f"`{event.text}` is a context manager that TorchDynamo cannot enter",
                "enter it around the compiled call, or make it where it is entered",
            )
