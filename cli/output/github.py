"""GitHub workflow commands, which become annotations, and the step summary.

GitHub shows the first 10 errors and 10 warnings of a step as annotations (actions/toolkit#734), so the most severe
come first, and a plain list of everything follows in the log.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from vllm_lint.analyzer.engine import CheckResult
from vllm_lint.analyzer.findings import Finding, Severity
from vllm_lint.cli.console import Style, visible
from vllm_lint.cli.output import Context
from vllm_lint.cli.output.concise import concise_line
from vllm_lint.cli.output.location import checkout_path
from vllm_lint.cli.output.summary import error_line, most_severe_first, position, summary_line

_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}

#: GitHub drops a step summary of more than 1 MiB.
_SUMMARY_LIMIT = 1_000_000


def render(result: CheckResult, context: Context) -> Iterator[str]:
    """Annotations, then the log."""
    for error in result.errors:
        yield f"::error title=vllm-lint::{escape_data(error_line(error))}"
    for finding in most_severe_first(result.findings):
        yield _annotation(finding, context)
    log = [concise_line(finding, Style(enabled=False)) for finding in result.findings]
    if log:
        # The list quotes source text, which must not be read as further commands.
        token = hashlib.sha256("\n".join(log).encode("utf-8", "backslashreplace")).hexdigest()
        yield "::group::vllm-lint findings"
        yield f"::stop-commands::{token}"
        yield from log
        yield f"::{token}::"
        yield "::endgroup::"
    yield summary_line(result, context)


def _annotation(finding: Finding, context: Context) -> str:
    properties = {
        "file": checkout_path(finding.path, context.base).as_posix(),
        "line": str(finding.line),
        "endLine": str(finding.end_line),
    }
    if finding.line == finding.end_line:
        # GitHub takes columns only of annotations within one line.
        properties |= {"col": str(finding.column), "endColumn": str(finding.end_column)}
    properties["title"] = f"{finding.code} {finding.name}"
    lines = [finding.message]
    lines += [
        f"{number}. {step.span.path}:{step.span.line}: {step.message}" for number, step in enumerate(finding.steps, 1)
    ]
    lines += [f"root: {finding.root.name}"] if finding.root else []
    lines += [f"verdict: {finding.verdict}"] if finding.verdict else []
    lines += [f"evidence: {line}" for line in finding.evidence]
    lines += [f"help: {finding.help}"] if finding.help else []
    lines += [f"fix {fix.proof}: {fix.title}: {fix.reason}" for fix in finding.fixes if fix.proof]
    text = "\n".join(visible(row) for line in lines for row in line.splitlines())
    joined = ",".join(f"{key}={escape_property(value)}" for key, value in properties.items())
    return f"::{_COMMANDS[finding.severity]} {joined}::{escape_data(text)}"


def escape_data(text: str) -> str:
    """Text after the second `::` of a workflow command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escape_property(text: str) -> str:
    """The value of a property of a workflow command."""
    return escape_data(text).replace(":", "%3A").replace(",", "%2C")


def step_summary(result: CheckResult, context: Context) -> str:
    """Markdown for the page of the workflow run: all findings, most severe first, as far as GitHub takes them."""
    plain = Context(context.rules, context.lines, Style(enabled=False), context.base)
    text = f"## vllm-lint\n\n{summary_line(result, plain)}\n"
    text += "".join(f"\n- **error:** {_markdown(error_line(error))}" for error in result.errors)
    if not result.findings:
        return text
    text += "\n| severity | rule | place | message |\n| --- | --- | --- | --- |\n"
    size = len(text.encode("utf-8", "replace"))
    findings = most_severe_first(result.findings)
    for count, finding in enumerate(findings):
        place = f"`{_markdown(position(finding))}`"
        rule = f"{finding.code} {finding.name}"
        row = f"| {finding.severity.value} | {rule} | {place} | {_markdown(finding.message)} |\n"
        size += len(row.encode("utf-8", "replace"))
        if size > _SUMMARY_LIMIT:
            return f"{text}\n{len(findings) - count} more findings are in the log.\n"
        text += row
    return text


def _markdown(text: str) -> str:
    escaped = " ".join(text.splitlines()).replace("|", "\\|")
    return escaped.replace("<", "&lt;")
