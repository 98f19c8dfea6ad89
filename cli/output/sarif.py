"""SARIF 2.1.0, for code scanning.

The limits are GitHub's for an upload: results of a run, locations of a result, locations of a thread flow, tags of
a rule.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vllm_lint.analyzer.engine import CheckResult
from vllm_lint.analyzer.findings import Confidence, Finding, Fix, Severity, Span, ToolError
from vllm_lint.analyzer.rule import Rule
from vllm_lint.cli.output import Context
from vllm_lint.cli.output.location import checkout_path
from vllm_lint.cli.output.summary import most_severe_first

_MAX_RESULTS = 25_000
_MAX_RELATED = 100
_MAX_FLOW = 1_000

_RANKS = {Confidence.HIGH: 90.0, Confidence.MEDIUM: 60.0, Confidence.LOW: 30.0}
_PROBLEM_SEVERITY = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "recommendation"}

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
#: Name of our fingerprint; GitHub's upload action adds its own beside it.
_FINGERPRINT = "vllmLintFinding/v1"


def render(result: CheckResult, context: Context) -> Iterator[str]:
    """One log with one run."""
    kept = result.findings
    errors = list(result.errors)
    if len(kept) > _MAX_RESULTS:
        errors.append(ToolError(f"{len(kept) - _MAX_RESULTS} findings left out: a SARIF run holds {_MAX_RESULTS}"))
        kept = tuple(sorted(most_severe_first(kept)[:_MAX_RESULTS], key=lambda finding: finding.sort_key))
    descriptors = _descriptors(kept, context)
    index = {descriptor["id"]: number for number, descriptor in enumerate(descriptors)}
    fingerprints = _fingerprints(kept, context)
    run = {
        "tool": {
            "driver": {
                "name": "vllm-lint",
                "semanticVersion": version("vllm-lint"),
                "rules": descriptors,
            }
        },
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {"SRCROOT": {"description": {"text": "root of the checkout"}}},
        "invocations": [
            {
                "executionSuccessful": not any(error.rule for error in errors),
                "toolExecutionNotifications": [_notification(error, context) for error in errors],
            }
        ],
        "results": [
            _result(finding, index[finding.code], fingerprint, context)
            for finding, fingerprint in zip(kept, fingerprints, strict=True)
        ],
    }
    yield json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]})


def _descriptors(findings: tuple[Finding, ...], context: Context) -> list[dict[str, Any]]:
    known = [_descriptor(rule) for rule in context.rules]
    # A finding of a rule outside the table would be an error of ours; the log stays valid nevertheless.
    others = {finding.code: finding.name for finding in findings if finding.code not in context.rule_by_code}
    return known + [{"id": code, "name": _pascal(name)} for code, name in sorted(others.items())]


def _descriptor(rule: type[Rule]) -> dict[str, Any]:
    meta = rule.meta
    text = rule.documentation()
    return {
        "id": meta.code,
        "name": _pascal(meta.name),
        "shortDescription": _message(rule.summary()),
        "fullDescription": _message(rule.section("Why it matters") or rule.summary()),
        "help": {**_message(text), "markdown": _escape(text)},
        "defaultConfiguration": {"level": meta.severity.value},
        "properties": {
            "tags": ["torch.compile", f"promise-{meta.promise.value}"],
            "problem.severity": _PROBLEM_SEVERITY[meta.severity],
            "stage": meta.stage.value,
            "since": meta.lifecycle.since,
            "torch": meta.torch,
        },
    }


def _pascal(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("-"))


def _result(finding: Finding, rule_index: int, fingerprint: str, context: Context) -> dict[str, Any]:
    primary = _location(finding.span, context)
    steps = [{**_location(step.span, context), "message": _message(step.message)} for step in finding.steps]
    result: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": rule_index,
        "level": finding.severity.value,
        "rank": _RANKS[finding.confidence],
        "message": _message(f"{finding.message}. {finding.help}" if finding.help else finding.message),
        "locations": [primary],
        "partialFingerprints": {_FINGERPRINT: fingerprint},
        "properties": {"confidence": finding.confidence.value, "promise": finding.promise.value},
    }
    if finding.root:
        result["properties"]["root"] = finding.root.name
        result["properties"]["contract"] = finding.root.contract.value
    if finding.verdict:
        result["properties"]["verdict"] = finding.verdict
        result["properties"]["evidence"] = [_escape(line) for line in finding.evidence]
    if steps:
        flow = steps
        if finding.steps[-1].span != finding.span:
            flow = [*steps, {**primary, "message": _message(finding.message)}]
        result["codeFlows"] = [{"threadFlows": [{"locations": [{"location": at} for at in flow[-_MAX_FLOW:]]}]}]
    related = list(steps)
    if finding.root:
        place = Span(finding.root.path, finding.root.line, 1, finding.root.line, 1)
        related.append({**_location(place, context, whole_line=True), "message": _message("compiled root")})
    if related:
        result["relatedLocations"] = [{"id": number, **at} for number, at in enumerate(related[-_MAX_RELATED:], 1)]
    if finding.fixes:
        result["fixes"] = [_fix(fix, context) for fix in finding.fixes]
    return result


def _location(span: Span, context: Context, *, whole_line: bool = False) -> dict[str, Any]:
    region = {"startLine": span.line} if whole_line else _region(span)
    return {"physicalLocation": {"artifactLocation": _artifact(span.path, context), "region": region}}


def _region(span: Span) -> dict[str, int]:
    return {
        "startLine": span.line,
        "startColumn": span.column,
        "endLine": span.end_line,
        "endColumn": span.end_column,
    }


def _artifact(path: str, context: Context) -> dict[str, str]:
    place = checkout_path(path, context.base)
    if place.is_absolute():
        return {"uri": f"file://{_quoted(place)}"}
    return {"uri": _quoted(place), "uriBaseId": "SRCROOT"}


def _quoted(path: Path) -> str:
    return quote(path.as_posix().encode("utf-8", "surrogateescape"))


def _fix(fix: Fix, context: Context) -> dict[str, Any]:
    replacements: dict[str, list[dict[str, Any]]] = {}
    for edit in fix.edits:
        change = {"deletedRegion": _region(edit.span), "insertedContent": {"text": edit.replacement}}
        replacements.setdefault(edit.span.path, []).append(change)
    changes = [
        {"artifactLocation": _artifact(path, context), "replacements": parts} for path, parts in replacements.items()
    ]
    record: dict[str, Any] = {"description": _message(f"{fix.title} ({fix.label})"), "artifactChanges": changes}
    if fix.proof:
        record["properties"] = {"proof": fix.proof, "reason": _escape(fix.reason)}
    return record


def _notification(error: ToolError, context: Context) -> dict[str, Any]:
    notification: dict[str, Any] = {"level": "error", "message": _message(error.message)}
    if error.path:
        notification["locations"] = [{"physicalLocation": {"artifactLocation": _artifact(error.path, context)}}]
    if error.rule:
        notification["associatedRule"] = {"id": error.rule}
    return notification


def _fingerprints(findings: tuple[Finding, ...], context: Context) -> list[str]:
    """Identities that stay when lines move: rule, file, root, text of the line, and which of several alike."""
    seen: Counter[tuple[str, ...]] = Counter()
    fingerprints = []
    for finding in findings:
        lines = context.lines(finding.path)
        line = lines[finding.line - 1].strip() if finding.line <= len(lines) else ""
        path = checkout_path(finding.path, context.base).as_posix()
        key = (finding.code, path, finding.root.name if finding.root else "", line)
        seen[key] += 1
        text = "\0".join((*key, str(seen[key])))
        fingerprints.append(hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest())
    return fingerprints


def _message(text: str) -> dict[str, str]:
    return {"text": _escape(text)}


def _escape(text: str) -> str:
    """Keep `{0}` and `[text](1)` in quoted source from being read as a placeholder or a link."""
    text = re.sub(r"\{(\d+)\}", r"{{\1}}", text)
    return re.sub(r"\[([^\[\]]*)\]\((\d+)\)", r"\\[\1\\](\2)", text)
