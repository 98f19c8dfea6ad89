"""JSON and JSON Lines: the finding model as data. docs/output-formats.md describes every field."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from vllm_lint.analyzer.engine import CheckResult
from vllm_lint.analyzer.findings import Edit, Finding, Severity, Span, Step
from vllm_lint.cli.output import Context
from vllm_lint.cli.output.summary import checked_files

#: Version of both formats. A new field does not change it; a field that goes or changes its meaning does.
VERSION = 1


def render_json(result: CheckResult, context: Context) -> Iterator[str]:
    """One object."""
    document = {
        "version": VERSION,
        "findings": [finding_record(finding, context) for finding in result.findings],
        "errors": [msgspec.to_builtins(error) for error in result.errors],
        "summary": summary_record(result),
    }
    yield json.dumps(document, indent=2)


def render_jsonl(result: CheckResult, context: Context) -> Iterator[str]:
    """One object a line, told apart by `type`; the summary comes last."""
    for finding in result.findings:
        yield json.dumps({"type": "finding", **finding_record(finding, context)})
    for error in result.errors:
        yield json.dumps({"type": "error", **msgspec.to_builtins(error)})
    yield json.dumps({"type": "summary", "version": VERSION, **summary_record(result)})


def finding_record(finding: Finding, context: Context) -> dict[str, Any]:
    """A finding with the stage of its rule; spans of steps and edits are laid out like the finding's own."""
    record: dict[str, Any] = msgspec.to_builtins(finding)
    rule = context.rule_by_code.get(finding.code)
    record["stage"] = rule.meta.stage.value if rule else None
    record["steps"] = [_step_record(step) for step in finding.steps]
    record["fixes"] = [
        {**msgspec.to_builtins(fix), "edits": [_edit_record(edit) for edit in fix.edits]} for fix in finding.fixes
    ]
    return record


def _span_record(span: Span) -> dict[str, Any]:
    record: dict[str, Any] = msgspec.to_builtins(span)
    return record


def _step_record(step: Step) -> dict[str, Any]:
    return {**_span_record(step.span), "message": step.message}


def _edit_record(edit: Edit) -> dict[str, Any]:
    return {**_span_record(edit.span), "replacement": edit.replacement}


def summary_record(result: CheckResult) -> dict[str, Any]:
    """Counts."""
    severities = Counter(finding.severity for finding in result.findings)
    rules = Counter(finding.code for finding in result.findings)
    return {
        "files": checked_files(result),
        "roots": len(result.roots),
        **{f"{severity.value}s": severities[severity] for severity in Severity},
        "suppressed": result.suppressed,
        "rules": dict(sorted(rules.items())),
    }
