"""Precision and recall on models of transformers: static findings against what captures of the same code show.

    python -m benchmarks.verify.transformers_sweep --evidence FOLDER --out TABLE
    python -m benchmarks.accuracy.transformers_models FOLDER --out benchmarks/accuracy/results/transformers.json

The root of each captured model is its class, with the dimension dynamic that the capture had dynamic. Its file is
checked as a user would check it, with all of transformers to follow.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import re
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from benchmarks.accuracy.scores import NOT_PREDICTED, STATIC, counts, print_table, table
from vllm_lint.analyzer.engine import Settings, check
from vllm_lint.analyzer.findings import Finding
from vllm_lint.cli.rule_facts import rule_facts
from vllm_lint.cli.verification import sources_of
from vllm_lint.rules.catalogue import RULES
from vllm_lint.runtime_verifier.verdicts import target_evidence, target_join
from vllm_lint.runtime_verifier.verdicts.target_evidence import RESULT, PartEvidence

_DIM = re.compile(r"(\w+)\.size\((\d+)\)")


def main() -> None:
    """Read the evidence, check, join and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("evidence", type=Path, help="folder with a result and traces for each model type")
    parser.add_argument("--out", type=Path, help="write the results here as JSON")
    options = parser.parse_args()
    spec = find_spec("transformers")
    if spec is None or spec.origin is None:
        parser.error("transformers is not installed")
    base = Path(spec.origin).parent.parent
    evidence = [
        part for path in sorted(options.evidence.glob(f"*/{RESULT}")) for part in target_evidence.read(path.parent)[1]
    ]
    shown = [part for part in evidence if any(c.captured or c.failure or c.breaks for c in part.compilations)]
    roots = tuple(sorted({root for part in shown if (root := root_of(part, base))}))
    files = sorted({base.joinpath(*root.partition(":")[0].split(".")).with_suffix(".py") for root in roots})
    settings = Settings(paths=tuple(files), base=base, roots=roots, search_installed=False, jobs=1)
    result = check(settings, RULES)
    static = [f for f in result.findings if not f.code.startswith("VL0")]
    sources = sources_of(shown, base, [f.path for f in result.files])
    joined = target_join.join(static, shown, rule_facts(), sources)
    scored = table(counts(joined, static))
    report = {
        "date": dt.datetime.now(tz=dt.timezone.utc).date().isoformat(),
        "versions": {name: version(name) for name in ("transformers", "torch")},
        "model types": len(list(options.evidence.glob(f"*/{RESULT}"))),
        "captured": sum(any(c.captured for c in part.compilations) for part in shown),
        "failed to capture": sum(not any(c.captured for c in part.compilations) for part in shown),
        "roots": len(roots),
        "rules": scored,
        **dict(_told(joined, static)),
        "unresolved": [f.message for f in result.findings if f.code == "VL007"],
        "errors": [error.message for error in result.errors],
    }
    print_table(scored)
    text = json.dumps(report, indent=1) + "\n"
    if options.out:
        options.out.write_text(text, encoding="utf-8")


def root_of(part: PartEvidence, base: Path) -> str:
    """The captured class with its dynamic dims, as the setting `roots` takes it; empty if the trace does not say."""
    place = part.part.place
    if place is None or not Path(place.path).is_relative_to(base):
        return ""
    module = ".".join(Path(place.path).relative_to(base).with_suffix("").parts)
    symbols = [s for c in (*part.compilations, *part.broken) for s in c.symbols.values() if s.marked]
    dims = sorted({match.groups() for s in symbols if (match := _DIM.fullmatch(s.name))})
    given = ", ".join(f"{name}={dim}" for name, dim in dims)
    return f"{module}:{part.part.name}({given})" if given else ""


def _told(joined: list[Finding], static: list[Finding]) -> Iterator[tuple[str, list[str]]]:
    """What the two halves do not agree on, and what they do."""
    predicted = {(f.code, f.path, f.line) for f in static}
    lists: dict[str, list[str]] = {"missed": [], "refuted": [], "confirmed": []}
    for finding in joined:
        kind = STATIC if (finding.code, finding.path, finding.line) in predicted else NOT_PREDICTED
        name = {"confirmed": "confirmed" if kind == STATIC else "missed", "refuted": "refuted"}.get(
            finding.verdict or ""
        )
        if name is not None:
            said = f"{finding.path}:{finding.line} {finding.code} {finding.severity.value} {finding.message}"
            lists[name].append(said + (f" [{finding.evidence[0]}]" if name == "missed" and finding.evidence else ""))
    yield from lists.items()


if __name__ == "__main__":
    main()
