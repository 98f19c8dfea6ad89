"""Verifies every architecture of vLLM's registry, as `vllm-lint verify --all` does, and writes what came of each.

Usage: python -m benchmarks.verify.registry --out FILE [--evidence FOLDER] [--only TEXT ...] [--check FOLDER]

With `--check`, the static findings on FOLDER (the installed vLLM package) get verdicts from the captures, which are
counted by rule. `--evidence` names the folder that keeps the traces and results, one folder for each architecture;
one that has a result there is not run again.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import as_completed
from importlib import metadata
from pathlib import Path
from typing import Any, get_args

import msgspec

from vllm_lint.analyzer import engine
from vllm_lint.cli.rule_facts import rule_facts
from vllm_lint.cli.sources import Sources
from vllm_lint.cli.verification import sources_of
from vllm_lint.cli.verify import SIZES, TRACE_SIZE
from vllm_lint.rules.catalogue import RULES
from vllm_lint.runtime_verifier.jobs import Job
from vllm_lint.runtime_verifier.outcomes import EagerFailed, Mode, Result
from vllm_lint.runtime_verifier.pool import Pool, architectures
from vllm_lint.runtime_verifier.trace.size_guards import judge
from vllm_lint.runtime_verifier.verdicts import from_targets as target_verdicts
from vllm_lint.runtime_verifier.verdicts import target_evidence, target_join
from vllm_lint.runtime_verifier.verdicts.target_evidence import PartEvidence


def main() -> None:
    """Run the sweep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", action="append", default=[], help="names that contain this")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=120, help="seconds for one architecture")
    parser.add_argument("--evidence", type=Path, help="keep traces and results here")
    parser.add_argument("--check", type=Path, help="folder whose static findings get verdicts")
    parser.add_argument("--beside", type=int, default=0, help="so many captured ones once more, a process for each")
    parser.add_argument("--modes", nargs="+", choices=get_args(Mode), default=["backed"])
    options = parser.parse_args()
    names = [n for n in architectures() if not options.only or any(text in n for text in options.only)]
    with contextlib.ExitStack() as stack:
        folder = options.evidence or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vllm-lint-")))
        rows, evidence = _swept(names, folder, options)
    table = dict(sorted(rows.items()))
    summary = _summary(table)
    versions = {"torch": metadata.version("torch"), "python": platform.python_version()}
    head = {"date": dt.datetime.now(tz=dt.timezone.utc).date().isoformat(), "versions": versions, "summary": summary}

    def write() -> None:
        options.out.write_text(json.dumps({**head, "architectures": table}, indent=1) + "\n", encoding="utf-8")

    write()  # what follows may fail, and a sweep is long
    if options.beside:
        chosen = [name for name, row in table.items() if row["outcome"] == "captured"]
        summary["one_process_each"] = _separately(chosen[:: max(1, len(chosen) // options.beside)])
    if options.check:
        summary["static findings"] = _verdicts(options.check, evidence)
    write()
    print(json.dumps(summary, indent=1))


def _swept(
    names: list[str], folder: Path, options: argparse.Namespace
) -> tuple[dict[str, dict[str, Any]], list[PartEvidence]]:
    """A row for each architecture, and the evidence of all."""
    rows: dict[str, dict[str, Any]] = {}
    evidence: list[PartEvidence] = []

    def add(name: str, result: Result) -> None:
        parts = list(target_evidence.parts(result, folder / name))
        evidence.extend(parts)
        rows[name] = _row(result, parts)

    for name in names:
        if (folder / name / target_evidence.RESULT).exists():
            add(name, target_evidence.read(folder / name)[0])
    with Pool(options.jobs) as pool:
        futures = {pool.submit(_job(name, folder, options)): name for name in names if name not in rows}
        for future in as_completed(futures):
            name = futures[future]
            if future.exception():
                rows[name] = {"outcome": "tool failed", "reason": str(future.exception()).strip().splitlines()[-1]}
            else:
                add(name, future.result())
            row = rows[name]
            print(f"{len(rows):3}/{len(names)} {name}: {row['outcome']} {row.get('reason', '')}"[:200], flush=True)
    return rows, evidence


def _job(name: str, folder: Path, options: argparse.Namespace) -> Job:
    return Job(
        target=name,
        provider="vllm",
        folder=str(folder / name),
        timeout=options.timeout,
        memory=8 << 30,  # the default of `vllm-lint verify`
        trace_size=TRACE_SIZE,
        sizes=SIZES,
        modes=tuple(options.modes),
        blame=True,
    )


def _separately(names: list[str]) -> dict[str, Any]:
    """Wall time of one `vllm-lint verify` for each name, as without the fork server."""
    command = [sys.executable, "-m", "vllm_lint.cli", "verify", "--output-format", "concise", "--arch"]
    seconds = []
    for name in names:
        started = time.monotonic()
        subprocess.run([*command, name], capture_output=True, check=False)
        seconds.append(time.monotonic() - started)
    return {"architectures": len(names), "seconds_median": round(statistics.median(seconds), 2)}


def _verdicts(folder: Path, evidence: list[PartEvidence]) -> dict[str, Any]:
    """Counts by rule, severity and verdict, and the findings that a capture had something to say about."""
    base = folder.resolve().parent
    os.chdir(base)
    settings = engine.Settings(paths=(Path(folder.name),), base=base)
    rules = [rule for rule in RULES if rule.meta.code.startswith(("VL1", "VL2"))]
    checked = engine.check(settings, rules)
    sources = sources_of(evidence, base, [f.path for f in checked.files])
    joined = target_join.join(checked.findings, evidence, rule_facts(), sources)
    predicted = {(f.code, f.path, f.line) for f in checked.findings}
    counts: dict[str, Counter[str]] = {}
    told = []
    for finding in joined:
        kind = "static" if (finding.code, finding.path, finding.line) in predicted else "not predicted"
        counts.setdefault(f"{finding.code} {finding.severity.value} {kind}", Counter())[finding.verdict or ""] += 1
        if finding.verdict in ("confirmed", "refuted", "undecided"):
            told.append(f"{finding.verdict}: {finding.path}:{finding.line} {finding.code} {finding.message}")
    return {"counts": {k: dict(v) for k, v in sorted(counts.items())}, "told": told}


def _row(result: Result, evidence: list[PartEvidence]) -> dict[str, Any]:
    captured = [part.part for part in evidence if any(c.captured for c in part.compilations)]
    findings = target_verdicts.find(evidence, rule_facts(), Sources(Path.cwd(), []))
    return {
        "outcome": _outcome(result, captured),
        "reason": re.sub(r"/\S*/vllm-lint-\w+", "<folder>", "; ".join(_text(o) for o in result.whole)),
        "captured": [part.name for part in captured],
        "not_captured": [part.part.name for part in evidence if part.part not in captured],
        "guards": sum(1 for part in evidence for c in part.compilations for _ in judge(c)),
        "findings": [
            f"{f.severity.value} {f.code} {_module(f.path)}:{f.line} {f.message} [{f.verdict}]" for f in findings
        ],
        "other": [_text(o) for part in evidence for o in part.part.outcomes],
        "replayed": sum(len(part.replayed) for part in captured),
        "seconds": round(result.seconds, 2),
        "peak_mb": result.memory >> 20,
        "vllm": result.vllm,
    }


def _outcome(result: Result, captured: list[Any]) -> str:
    if captured:
        return "captured"
    if any(isinstance(o, EagerFailed) and "has no compiled region" in o.message for o in result.whole):
        return "no compiled region"
    if result.whole:
        return "not built"
    return "not captured"


def _text(outcome: Any) -> str:
    known = msgspec.to_builtins(outcome)
    said = {k: v for k, v in known.items() if k in ("mode", "message", "expression", "reason", "detail", "operator")}
    place = known.get("place") or (known.get("stack") or [None])[-1]
    where = f" at {_module(place['path'])}:{place['line']}" if place else ""
    sizes = f" {list(known['sizes'])[:6]}" if "sizes" in known else ""
    return f"{known.get('type', '')} {' '.join(map(str, said.values()))}{sizes}{where}"


def _module(path: str) -> str:
    """A path without what is of this machine only."""
    return path.rpartition("site-packages/")[2]


def _summary(table: dict[str, dict[str, Any]]) -> dict[str, Any]:
    captured = [row for row in table.values() if row["outcome"] == "captured"]
    times = [row["seconds"] for row in captured]
    memory = [row["peak_mb"] for row in captured]
    return {
        "architectures": len(table),
        "outcomes": dict(Counter(row["outcome"] for row in table.values()).most_common()),
        "captures": sum(len(row["captured"]) for row in captured),
        "guards": sum(row["guards"] for row in captured),
        "with_findings": sum(bool(row["findings"]) for row in captured),
        "seconds_sum": round(sum(row.get("seconds", 0) for row in table.values())),
        "seconds_median": round(statistics.median(times), 2) if times else None,
        "seconds_p90": round(statistics.quantiles(times, n=10)[-1], 2) if len(times) > 1 else None,
        "peak_mb_median": statistics.median(memory) if memory else None,
    }


if __name__ == "__main__":
    main()
