"""Checks a pinned release of vLLM and compares the findings with those that are committed.

    python -m benchmarks.accuracy.ecosystem [FOLDER] [--update]

FOLDER holds the package `vllm` of the pinned release. Without it, the installed one is taken if it is that release, and
else the wheel is downloaded and unpacked, not installed. Exit code 0: the findings are the same; 1: they differ; 2:
there is no such source.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.install_vllm import VLLM, VLLM_VERSION
from vllm_lint.analyzer.engine import Settings, check
from vllm_lint.analyzer.findings import Finding
from vllm_lint.rules.catalogue import RULES

RECORD = Path(__file__).parent / "results" / f"ecosystem-vllm-{VLLM_VERSION}.json"

Places = dict[str, list[str]]
"""Code of a rule to the places of its findings, such as `vllm/envs.py:7 error`; several on a line are several."""


def main() -> None:
    """Check, compare and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="holds the package vllm [installed, or downloaded]")
    parser.add_argument("--update", action="store_true", help="record the findings in place of the committed ones")
    parser.add_argument("--jobs", type=int, default=0, help="processes [as many as are worth while]")
    parser.add_argument("--record", type=Path, default=RECORD, help="the committed findings")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        base = options.folder or _installed() or _downloaded(Path(scratch))
        sys.exit(run(base, options.record, update=options.update, jobs=options.jobs))


def run(base: Path, record: Path, *, update: bool = False, jobs: int = 0) -> int:
    """Compare the findings in `base` with `record`, or write them there; returns the exit code."""
    if not (base / "vllm").is_dir():
        print(f"{base} holds no package vllm", file=sys.stderr)
        return 2
    source = digest(base)
    known: dict[str, Any] = (
        json.loads(record.read_text(encoding="utf-8")) if record.exists() else {"source": "", "findings": {}}
    )
    if not update and known["source"] != source:
        print(f"{base} is not the source that {record.name} was recorded from: vLLM {VLLM_VERSION}", file=sys.stderr)
        return 2
    result = check(Settings(paths=(base / "vllm",), base=base, search_installed=False, jobs=jobs), RULES)
    for error in result.errors:
        print(f"error: {error.message}", file=sys.stderr)
    found = places(result.findings)
    before: Places = known["findings"]
    new, gone = difference(before, found), difference(found, before)
    for word, changed in (("new", new), ("gone", gone)):
        for code, where in changed.items():
            print(*(f"{word:4} {code} {place}" for place in where), sep="\n")
    print(f"{sum(map(len, new.values()))} new, {sum(map(len, gone.values()))} gone of {len(result.findings)} findings")
    if update:
        counts = {code: dict(Counter(p.rpartition(" ")[2] for p in where)) for code, where in found.items()}
        facts = {"vllm": VLLM_VERSION, "source": source, "counts": counts, "findings": found}
        record.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        return 0
    return 1 if new or gone or result.errors else 0


def places(findings: Iterable[Finding]) -> Places:
    """The findings by rule, in source order."""
    by_rule: Places = {}
    for finding in sorted(findings, key=lambda f: (f.code, f.sort_key)):
        by_rule.setdefault(finding.code, []).append(f"{finding.path}:{finding.line} {finding.severity.value}")
    return by_rule


def difference(before: Places, after: Places) -> Places:
    """What `after` has and `before` has not, as often as it has it more often."""
    more = {code: Counter(where) - Counter(before.get(code, ())) for code, where in after.items()}
    return {code: list(where.elements()) for code, where in more.items() if where}


def digest(base: Path) -> str:
    """Tells one source from another: names and texts of all Python files of the package."""
    total = hashlib.sha256()
    for path in sorted((base / "vllm").rglob("*.py")):
        total.update(path.relative_to(base).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return total.hexdigest()[:16]


def _installed() -> Path | None:
    """The folder of the installed package; a plain copy of the release, or none."""
    spec = find_spec("vllm")
    if spec is None or spec.origin is None:
        return None
    base = Path(spec.origin).parent.parent
    known = json.loads(RECORD.read_text(encoding="utf-8"))["source"] if RECORD.exists() else None
    return base if known in (None, digest(base)) else None


def _downloaded(scratch: Path) -> Path:
    """The Python files of the pinned wheel."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(scratch)]
    subprocess.run([*command, f"{VLLM}=={VLLM_VERSION}"], check=True)
    (wheel,) = scratch.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        for name in packed.namelist():
            at = scratch / "source" / name
            if name.startswith("vllm/") and name.endswith(".py") and at.resolve().is_relative_to(scratch.resolve()):
                at.parent.mkdir(parents=True, exist_ok=True)
                with packed.open(name) as text, at.open("wb") as copy:
                    shutil.copyfileobj(text, copy)
    return scratch / "source"


if __name__ == "__main__":
    main()
