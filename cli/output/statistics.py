"""Counts by rule, in place of the findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from vllm_lint.analyzer.engine import CheckResult
from vllm_lint.cli.output import Context
from vllm_lint.cli.output.summary import summary_line


def render(result: CheckResult, context: Context) -> Iterator[str]:
    """One line a rule and severity, most frequent first, then the summary."""
    counts = Counter((finding.code, finding.name, finding.severity) for finding in result.findings)
    rows = sorted(counts.items(), key=lambda row: (-row[1], row[0][0], row[0][2].rank))
    digits = len(str(rows[0][1])) if rows else 0
    for (code, name, severity), count in rows:
        yield f"{count:>{digits}}  {context.style.severity(severity, f'{severity.value:7}')}  {code}  {name}"
    yield summary_line(result, context)
