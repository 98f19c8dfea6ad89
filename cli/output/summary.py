"""Counts of findings, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from vllm_lint.analyzer.engine import CheckResult
from vllm_lint.analyzer.findings import Finding, Severity, ToolError
from vllm_lint.cli.output import Context


def plural(count: int, noun: str) -> str:
    """`count` and `noun`, as in "1 file" and "2 files"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def checked_files(result: CheckResult) -> int:
    """How many files were read."""
    return sum(file.status != "excluded" for file in result.files)


def most_severe_first(findings: Iterable[Finding]) -> list[Finding]:
    """By severity, then confidence, then source order."""
    return sorted(findings, key=lambda finding: (finding.severity.rank, finding.confidence.rank, finding.sort_key))


def summary_line(result: CheckResult, context: Context) -> str:
    """What was found and in how much code."""
    style = context.style
    counts = Counter(finding.severity for finding in result.findings)
    hidden = f" ({result.suppressed} suppressed)" if result.suppressed else ""
    scope = f"{plural(checked_files(result), 'file')}, {plural(len(result.roots), 'compiled root')}"
    if not counts:
        # Whoever has findings has enough to do, and where nothing is compiled more rules find no more.
        more = f" ({plural(context.asleep, 'more rule')} with --preview)" if context.asleep and result.roots else ""
        return f"{style.good('No findings')}{hidden}: {scope}{more}"
    found = [style.severity(kind, plural(counts[kind], kind.value)) for kind in Severity if counts[kind]]
    words = found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}"
    return f"Found {words}{hidden} in {scope}"


def error_line(error: ToolError) -> str:
    """One line for something that went wrong in the tool or its input."""
    origin = ", ".join(word for word in (f"rule {error.rule}" if error.rule else "", error.path or "") if word)
    return f"{error.message} ({origin})" if origin else error.message


def position(finding: Finding) -> str:
    """`path:line:column`, which terminals and editors make a link of."""
    return f"{finding.path}:{finding.line}:{finding.column}"
