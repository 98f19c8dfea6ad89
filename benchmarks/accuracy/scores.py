"""Precision and recall by rule, from findings that were brought together with what runs show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from vllm_lint.analyzer.findings import Finding

Counts = Mapping[str, Mapping[str, int]]
"""`VL201 error static` or `VL201 error not predicted` to verdict to how many."""

STATIC, NOT_PREDICTED = "static", "not predicted"


def counts(joined: Iterable[Finding], static: Iterable[Finding]) -> dict[str, dict[str, int]]:
    """Findings of both halves by rule, severity, who has them, and verdict."""
    predicted = {(f.code, f.path, f.line) for f in static}
    found: dict[str, Counter[str]] = {}
    for finding in joined:
        kind = STATIC if (finding.code, finding.path, finding.line) in predicted else NOT_PREDICTED
        found.setdefault(f"{finding.code} {finding.severity.value} {kind}", Counter())[finding.verdict or ""] += 1
    return {key: dict(value) for key, value in sorted(found.items())}


def table(counted: Counts) -> dict[str, dict[str, Any]]:
    """By rule, and for all errors and all findings: how many are true, and how many of what runs show were predicted.

    `precision` is of the static findings that a run decided, `recall` of what runs confirm; None where there is none.
    """
    rows: dict[str, Counter[str]] = {}
    for key, verdicts in counted.items():
        code, severity, kind = key.split(" ", 2)
        for name in (code, "all errors" if severity == "error" else "", "all"):
            row = rows.setdefault(name, Counter()) if name else Counter()
            if kind == STATIC:
                row.update(verdicts)
            else:
                row["missed"] += verdicts.get("confirmed", 0)
                row["missed, undecided"] += verdicts.get("undecided", 0)
    return {name: _scored(row) for name, row in sorted(rows.items())}


def _scored(row: Counter[str]) -> dict[str, Any]:
    true, false, missed = row["confirmed"], row["refuted"], row["missed"]
    return {
        **{key: count for key, count in sorted(row.items()) if count},
        "precision": round(true / (true + false), 3) if true + false else None,
        "recall": round(true / (true + missed), 3) if true + missed else None,
    }


def print_table(scored: Mapping[str, Mapping[str, Any]]) -> None:
    """For people."""
    names = ("confirmed", "refuted", "undecided", "not reached", "not run", "missed", "precision", "recall")
    print(f"{'rule':24}" + "".join(f"{name:>13}" for name in names))
    for rule, row in scored.items():
        values = ("-" if row.get(name, 0) is None else row.get(name, 0) for name in names)
        print(f"{rule:24}" + "".join(f"{value:>13}" for value in values))
