"""VL004."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, SuppressionProblem
from vllm_lint.analyzer.findings import Promise, Severity
from vllm_lint.analyzer.lifecycle import Lifecycle
from vllm_lint.analyzer.rule import Meta, Report, Rule


class UnknownSuppressionCode(Rule):
    """A suppression comment that names a rule which does not exist.

    ## What it flags

    A code, name or prefix in a suppression comment that no rule has. One that a rule once had still works, and
    is a note.

    ## Why it matters

    The comment silences nothing, and whoever reads it believes that it does.

    ## Example

    ```python
    hidden_size = 4096  # vllm-lint: ignore[batch-size-brunch] sizes are fixed
    ```

    ## Use instead

    ```python
    hidden_size = 4096  # vllm-lint: ignore[batch-size-branch] sizes are fixed
    ```

    `vllm-lint rules` lists codes and names.

    ## Fix safety

    There is no automatic fix: only the author knows which rule was meant.

    ## References

    - [Suppressing findings](../suppressions.md)
    """

    meta = Meta(
        code="VL004",
        name="unknown-suppression-code",
        promise=Promise.TOOL,
        severity=Severity.WARNING,
        proof="static only, because comments are not part of the program",
        lifecycle=Lifecycle(stable="0.1.0"),
    )
    events: ClassVar[tuple[type[Event], ...]] = (SuppressionProblem,)

    def check(self, event: Event) -> Iterator[Report]:
        """Report former names, and unknown codes unless the code is that of a rule that was not selected."""
        from vllm_lint.rules import catalogue  # here because the catalogue imports this module

        assert isinstance(event, SuppressionProblem)
        if event.kind == "former-name":
            (rule,) = catalogue.find(event.text)
            advice = f"write `{rule.meta.code}` or `{rule.meta.name}`"
            yield Report(f"`{event.text}` is a former name of a rule", severity=Severity.NOTE, help=advice)
        elif event.kind == "unknown-code" and not catalogue.find(event.text):
            known = [word for rule in catalogue.RULES for word in (rule.meta.code, rule.meta.name)]
            close = difflib.get_close_matches(event.text, known, n=1)
            advice = f"did you mean `{close[0]}`?" if close else "`vllm-lint rules` lists codes and names"
            yield Report(f"`{event.text}` is the code or name of no rule", help=advice)
