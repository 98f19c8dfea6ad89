"""VL113."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, LibraryCall
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.rule import Meta, Report
from vllm_lint.analyzer.untraceable import kind_of
from vllm_lint.rules.graph_break.family import GraphBreakRule, report_call

_SAYS = {
    **dict.fromkeys(
        (f"torch.autograd.FunctionCtx.{name}" for name in ("mark_shared_storage", "maybe_clear_saved_tensors", "name")),
        "asks the context of an `autograd.Function` for what it has with gradients only",
    ),
    "torch.autograd.Function.forward": "has a `forward` that is no plain function",
    "torch.autograd.Function.method": "is a part of an `autograd.Function` that is no plain function",
}


class AutogradInGraph(GraphBreakRule):
    """Gradients asked for in a compiled forward.

    ## What it flags

    `backward()`, `torch.autograd.grad`, `retain_grad()`, `requires_grad_()` and `.requires_grad = True` on an
    argument of the forward, tensors created with `requires_grad=True`, `ctx.mark_dirty` of an `autograd.Function`,
    and `is_inference()`. Also `ctx.mark_shared_storage`, `ctx.maybe_clear_saved_tensors` and `ctx.name`, and an
    `autograd.Function` whose `forward` or other method is no plain function, such as a `functools.partial`.

    It does not flag `torch.no_grad`, `detach`, `autograd.Function`, reading `requires_grad`, or hooks on parameters.

    ## Why it matters

    TorchDynamo captures the forward, and AOTAutograd derives the backward from it afterwards. Code that asks for
    gradients in between breaks the graph (GB0123, GB9186). vLLM never computes gradients: such code is left over from
    training.

    ## Example

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x.requires_grad_()
        return self.layer(x)
    ```

    ## Use instead

    ```python
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)
    ```

    A model that needs a gradient in its forward, for instance of an energy, computes it in closed form or in a custom
    operator.

    ## Fix safety

    There is no automatic fix: whether the gradient is needed only the author knows.

    ## References

    - [Graph break GB0123](https://meta-pytorch.github.io/compile-graph-break-site/gb/gb0123.html)
    - [Graph break GB9186](https://meta-pytorch.github.io/compile-graph-break-site/gb/gb9186.html)
    """

    meta = Meta(
        code="VL113",
        name="autograd-in-graph",
        promise=Promise.CAPTURE,
        severity=Severity.ERROR,
        proof="graph-break",
        graph_breaks=(
            "GB0007",
            "GB0045",
            "GB0085",
            "GB0108",
            "GB0123",
            "GB0125",
            "GB0139",
            "GB0140",
            "GB0206",
            "GB0225",
            "GB0442",
            "GB1042",
            "GB2019",
            "GB7054",
            "GB9186",
        ),
    )
    events: ClassVar[tuple[type[Event], ...]] = (LibraryCall,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report every event of its kind."""
        assert isinstance(event, LibraryCall)
        if kind_of(event.name) == "autograd":
            says = _SAYS.get(event.name, "asks for gradients")
            yield report_call(
                event,
                f"`{event.text}` {says}, which TorchDynamo cannot trace in a forward",
                "remove it, or compute the gradient in a custom operator",
            )
