"""VL003."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, SuppressionProblem
from vllm_lint.analyzer.findings import Edit, Fix, Promise, Severity
from vllm_lint.analyzer.lifecycle import Lifecycle
from vllm_lint.analyzer.rule import Meta, Report, Rule


class UnusedSuppression(Rule):
    """A suppression comment that silences nothing.

    ## What it flags

    A code, name or prefix in a suppression comment whose rules ran and found nothing in the statement (or, for
    `file-ignore`, in the file). Codes of rules that did not run, and codes of other tools, are left alone.

    ## Why it matters

    Such a comment says that the line breaks the contract when it does not, and will silence the next real finding
    there.

    ## Example

    ```python
    hidden_size = 4096  # vllm-lint: ignore[VL201] sizes are fixed
    ```

    ## Use instead

    ```python
    hidden_size = 4096
    ```

    ## Fix safety

    Safe: only the code, or the whole remark if it names nothing else, is removed from the comment.

    ## References

    - [Suppressing findings](../suppressions.md)
    """

    meta = Meta(
        code="VL003",
        name="unused-suppression",
        promise=Promise.TOOL,
        severity=Severity.WARNING,
        proof="static only, because comments are not part of the program",
        lifecycle=Lifecycle(stable="0.1.0"),
        fix="safe",
    )
    events: ClassVar[tuple[type[Event], ...]] = (SuppressionProblem,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report problems of kind "unused"."""
        assert isinstance(event, SuppressionProblem)
        if event.kind == "unused":
            fix = Fix(f"remove `{event.text}`", "safe", (Edit(event.comment, event.removal),))
            yield Report(f"`{event.text}` silences nothing here", fixes=(fix,))
