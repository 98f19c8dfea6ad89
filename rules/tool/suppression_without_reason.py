"""VL006."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, SuppressionProblem
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.lifecycle import Lifecycle
from vllm_lint.analyzer.rule import Meta, Report, Rule


class SuppressionWithoutReason(Rule):
    """A suppression comment that does not say why the finding may be ignored.

    ## What it flags

    A suppression comment with nothing after its codes. This rule runs only where it is selected by its code or name, or
    by `require-suppression-reason = true` in the configuration.

    ## Why it matters

    What makes a broken promise harmless is rarely visible in the line, and may change: whoever changes it
    needs to know.

    ## Example

    ```python
    hidden_size = 4096  # vllm-lint: ignore[VL201]
    ```

    ## Use instead

    ```python
    hidden_size = 4096  # vllm-lint: ignore[VL201] sizes are fixed
    ```

    ## Fix safety

    There is no automatic fix: only the author knows the reason.

    ## References

    - [Suppressing findings](../suppressions.md)
    """

    meta = Meta(
        code="VL006",
        name="suppression-without-reason",
        promise=Promise.TOOL,
        severity=Severity.NOTE,
        proof="static only, because comments are not part of the program",
        lifecycle=Lifecycle(stable="0.1.0"),
        opt_in=True,
    )
    events: ClassVar[tuple[type[Event], ...]] = (SuppressionProblem,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report problems of kind "no-reason"."""
        assert isinstance(event, SuppressionProblem)
        if event.kind == "no-reason":
            yield Report(f"`{event.text}` gives no reason", help="say after the codes why the finding may be ignored")
