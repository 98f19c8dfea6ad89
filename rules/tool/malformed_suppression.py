"""VL005."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, SuppressionProblem
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.lifecycle import Lifecycle
from vllm_lint.analyzer.rule import Meta, Report, Rule


class MalformedSuppression(Rule):
    """A suppression comment that names no rule, or is not understood.

    ## What it flags

    `# vllm-lint: ignore` and `# vllm-lint: file-ignore` without a rule in brackets or with one that stands for all of
    them, and any other word after `# vllm-lint:`.

    ## Why it matters

    The comment has no effect. A comment without a code is refused because it would also silence findings that nobody
    had seen when it was written.

    ## Example

    ```python
    hidden_size = 4096  # vllm-lint: ignore
    ```

    ## Use instead

    ```python
    hidden_size = 4096  # vllm-lint: ignore[VL201] sizes are fixed
    ```

    ## Fix safety

    There is no automatic fix: only the author knows which rule was meant.

    ## References

    - [Suppressing findings](../suppressions.md)
    """

    meta = Meta(
        code="VL005",
        name="malformed-suppression",
        promise=Promise.TOOL,
        severity=Severity.WARNING,
        proof="static only, because comments are not part of the program",
        lifecycle=Lifecycle(stable="0.1.0"),
    )
    events: ClassVar[tuple[type[Event], ...]] = (SuppressionProblem,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report problems of kind "malformed"."""
        assert isinstance(event, SuppressionProblem)
        if event.kind == "malformed":
            known = event.text in ("ignore", "file-ignore")
            cause = "names no single rule" if known else "is neither ignore nor file-ignore"
            verb = event.text if known else "ignore"
            advice = f"write `# vllm-lint: {verb}[CODE] reason`"
            yield Report(f"`vllm-lint: {event.text}` {cause}, so it silences nothing", help=advice)
