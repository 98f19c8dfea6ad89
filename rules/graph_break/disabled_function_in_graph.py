"""VL107."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, LibraryCall
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report
from vllm_lint.analyzer.untraceable import kind_of
from vllm_lint.rules.graph_break.family import GraphBreakRule, report_call

_SAYS = {
    "torch.compiler.disable": "`{text}` calls a function under `torch.compiler.disable`",
    "torch.jit.ScriptModule.forward": "`{text}` calls a TorchScript module, which TorchDynamo does not look into",
    "torch._dynamo.nonstrict_trace.local": "`{text}` leaves a function untraced that is defined in compiled code",
    "torch._dynamo.nonstrict_trace.argument": "`{text}` hands an object of its own class to an untraced function",
    "torch._dynamo.nonstrict_trace.result": "`{text}` gets an object of its own class from an untraced function",
}


class DisabledFunctionInGraph(GraphBreakRule):
    """A call of something that TorchDynamo is told not to trace.

    ## What it flags

    Calls of functions and methods under `torch.compiler.disable` or `torch._dynamo.disable`, as decorator or as a
    call; `torch._dynamo.graph_break()`, `skip_frame()` and `step_unsupported()`; and modules that `torch.jit.script`,
    `trace`, `freeze` or `load` made. Functions under `nonstrict_trace` that are defined in compiled code, or that take
    or return objects of a class of the program.

    It does not flag functions that TorchScript compiled, custom operators, `torch.compiler.allow_in_graph`, or a
    disabled function that only code outside the compiled region calls.

    ## Why it matters

    `torch.compiler.disable` is a request to break the graph here. Under plain `torch.compile` that is what happens;
    vLLM asks for one full graph, so it does not start (GB0098).

    ## Example

    ```python
    @torch.compiler.disable
    def route(x: torch.Tensor) -> torch.Tensor:
        return x.softmax(-1)


    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return route(x)
    ```

    ## Use instead

    Let it be traced, if it can be, or make it a custom operator, which stays in the graph and is not looked into:

    ```python
    @torch.library.custom_op("mylib::route", mutates_args=())
    def route(x: torch.Tensor) -> torch.Tensor:
        return x.softmax(-1)


    @route.register_fake
    def _(x: torch.Tensor) -> torch.Tensor:
        return torch.empty_like(x)
    ```

    ## Fix safety

    There is no automatic fix: why the function is disabled only its author knows.

    ## References

    - [Graph break GB0098](https://meta-pytorch.github.io/compile-graph-break-site/gb/gb0098.html)
    - [Custom operators in Python](https://docs.pytorch.org/tutorials/advanced/python_custom_ops.html)
    """

    meta = Meta(
        code="VL107",
        name="disabled-function-in-graph",
        promise=Promise.CAPTURE,
        severity=Severity.ERROR,
        proof="graph-break",
        graph_breaks=(
            "GB0007",
            "GB0025",
            "GB0078",
            "GB0098",
            "GB0099",
            "GB0236",
            "GB0251",
            "GB0284",
            "GB0357",
            "GB0376",
            "GB0377",
            "GB4297",
            "GB4636",
            "GB4695",
        ),
    )
    events: ClassVar[tuple[type[Event], ...]] = (LibraryCall,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report every event of its kind."""
        assert isinstance(event, LibraryCall)
        if kind_of(event.name) == "disabled":
            says = _SAYS.get(event.name, "`{text}` asks for a graph break").format(text=event.text)
            yield report_call(
                event, f"{says}, so that there is no full graph", "let it be traced, or make it a custom operator"
            )
