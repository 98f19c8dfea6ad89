"""Counts the graph breaks of transformers' models, and those for which a fix is offered.

    python -m benchmarks.verify.transformers_sweep --evidence FOLDER --out TABLE
    python -m benchmarks.fixes.graph_breaks FOLDER

A break counts once for each model and line, as a capture without `fullgraph` shows it. GraphMend (arXiv 2509.16248)
counts so, and removed 107 of 147. Here a break counts as fixed where a finding on its line has a fix; the fixed model
is not captured again, so these are shares of what is offered, not of what was proved.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

from benchmarks.accuracy.agreement import root_of
from vllm_lint.analyzer import engine
from vllm_lint.analyzer.engine import Settings
from vllm_lint.analyzer.findings import Finding
from vllm_lint.rewriter.wrapper import Wrapper, Wrapping
from vllm_lint.rules.catalogue import RULES
from vllm_lint.runtime_verifier.outcomes import GraphBreak
from vllm_lint.runtime_verifier.verdicts import target_evidence
from vllm_lint.runtime_verifier.verdicts.target_evidence import RESULT

Place = tuple[str, int]


def main() -> None:
    """Read the evidence, check the files with breaks, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("evidence", type=Path, help="folder with a result and traces for each target")
    options = parser.parse_args()
    spec = find_spec("transformers")
    if spec is None or spec.origin is None:
        parser.error("transformers is not installed")
    base = Path(spec.origin).parent.parent
    breaks: dict[tuple[str, Place], str] = {}
    roots: set[str] = set()
    targets = sorted(path.parent for path in options.evidence.glob(f"*/{RESULT}"))
    for target in targets:
        for part in target_evidence.read(target)[1]:
            for outcome in part.part.outcomes:
                if isinstance(outcome, GraphBreak) and outcome.place is not None:
                    place = (outcome.place.path, outcome.place.line)
                    breaks.setdefault((part.target, place), outcome.id or outcome.reason)
                    roots |= {root_of(part, base)} - {""}
    modules = sorted({root.partition(":")[0] for root in roots})
    paths = tuple(base.joinpath(*module.split(".")).with_suffix(".py") for module in modules)
    settings = Settings(paths=paths, base=base, roots=tuple(sorted(roots)), search_installed=False, jobs=1)
    found = engine.check(settings, RULES)
    wrapper = Wrapper(engine.program(settings), base, found.findings, settings.roots)
    answers = {place: _answer(place, base, found.findings, wrapper) for _, place in breaks}
    print(f"{len(targets)} models, {len(breaks)} graph breaks on {len(answers)} lines")
    counts = Counter(answers[place].partition(":")[0] for _, place in breaks)
    for kind, count in counts.most_common():
        print(f"{kind:12}{count:5}{count / len(breaks):8.0%}")
    left = Counter(
        (id_, answers[place]) for (_, place), id_ in breaks.items() if not answers[place].startswith(("own", "wrapper"))
    )
    for (id_, reason), count in left.most_common():
        print(f"{count:5}  {id_}: {reason}")


def _answer(place: Place, base: Path, findings: tuple[Finding, ...], wrapper: Wrapper) -> str:
    """What becomes of the break at a place: "own" and "wrapper" are fixes, "none" and "incomplete" none, each why."""
    path, line = Path(place[0]), place[1]
    name = str(path.relative_to(base)) if path.is_relative_to(base) else str(path)
    here = [f for f in findings if f.path == name and f.line <= line <= f.end_line]
    if any(f.fixes for f in here):
        return "own"
    reasons = []
    for finding in here:
        wrapped = wrapper.wrapped(finding)
        if isinstance(wrapped, Wrapping):
            return "incomplete: the fake implementation is left to write" if wrapped.incomplete else "wrapper"
        reasons.append(re.sub(r"`[^`]*`", "`...`", wrapped))
    return f"none: {reasons[0]}" if reasons else "none: no finding on its line"


if __name__ == "__main__":
    main()
