"""VL007."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, UnresolvedRoot
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.lifecycle import Lifecycle
from vllm_lint.analyzer.rule import Meta, Report, Rule


class UnresolvedCompiledRoot(Rule):
    """A compiled root that leads to no code.

    ## What it flags

    A name under `roots` in the configuration that is not found, and a class with `@support_torch_compile` that neither
    has nor inherits a `forward` that can be read.

    ## Why it matters

    Only code that a compiled root reaches is checked, so without the root a clean report says nothing.

    ## Example

    ```python
    @support_torch_compile
    class LlamaModel(nn.Module):
        def run(self, x: torch.Tensor) -> torch.Tensor:
            return x + 1
    ```

    ## Use instead

    ```python
    @support_torch_compile
    class LlamaModel(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + 1
    ```

    ## Fix safety

    There is no automatic fix.

    ## References

    - [vLLM's torch.compile integration](https://docs.vllm.ai/en/latest/design/torch_compile.html)
    """

    meta = Meta(
        code="VL007",
        name="unresolved-root",
        promise=Promise.TOOL,
        severity=Severity.ERROR,
        proof="static only, because there is nothing to capture",
        lifecycle=Lifecycle(stable="0.1.0"),
    )
    events: ClassVar[tuple[type[Event], ...]] = (UnresolvedRoot,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report every root that was not found."""
        assert isinstance(event, UnresolvedRoot)
        yield Report(
            f"cannot check `{event.name}`: {event.reason}", help="code that no other root reaches is not checked"
        )
