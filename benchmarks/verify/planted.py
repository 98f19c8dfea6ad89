"""Counts how many of the defects that the tests plant in vLLM's model code each half finds, on the very line.

For example: python benchmarks/verify/planted.py --jobs 2
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.verify.defects import DEFECTS
from tests.verify.planted import Plant, findings
from vllm_lint.analyzer.engine import Settings, check
from vllm_lint.rules.catalogue import RULES
from vllm_lint.runtime_verifier.pool import Pool


def main() -> None:
    """Plant, verify, check and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2, help="captures at a time")
    options = parser.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, Pool(options.jobs) as pool:
        runtime = _runtime(pool, Path(folder))
        static = _static(Path(folder))
    total = Counter(p.promise for p in DEFECTS)
    both = [(p, p.name in runtime, p.name in static) for p in DEFECTS]
    print(f"{'promise':8}{'planted':>9}{'runtime':>9}{'static':>9}")
    for promise in sorted(total):
        mine = [(seen, told) for p, seen, told in both if p.promise == promise]
        print(f"{promise:8}{total[promise]:9}{sum(s for s, _ in mine):9}{sum(t for _, t in mine):9}")
    print(f"{'all':8}{len(DEFECTS):9}{len(runtime):9}{len(static):9}")
    for plant, seen, told in both:
        if not (seen and told):
            missed = " and ".join(half for half, found in (("runtime", seen), ("static", told)) if not found)
            print(f"missed by {missed}: {plant.promise} {plant.name}")
    print(f"{time.perf_counter() - started:.0f} s")


def _runtime(pool: Pool, folder: Path) -> set[str]:
    """The names of the plants that a capture shows on the marked line, under the expected code."""
    jobs = []
    for plant in DEFECTS:
        copy, line = plant.write(folder / "copies")
        traces = folder / "traces" / plant.name
        jobs.append((plant, copy, line, traces, pool.submit(plant.job(copy, traces))))
    return {
        plant.name
        for plant, copy, line, traces, future in jobs
        if any(
            (Path("/", f.path), f.line) == (copy, line) and f.code in plant.finds
            for f in findings(future.result(), traces)
        )
    }


def _static(folder: Path) -> set[str]:
    """The names of the plants for which a check of vLLM with the copy in place has a finding on the marked line."""
    base = folder / "static"
    package = next(p for p in DEFECTS[0].original.parents if p.name == "vllm")
    shutil.copytree(package, base / "vllm", ignore=_not_python)
    return {plant.name for plant in DEFECTS if _finds(plant, base)}


def _finds(plant: Plant, base: Path) -> bool:
    copy, line = plant.write(base / "copies")
    at = base.joinpath(*plant.module.split(".")).with_suffix(".py")
    before = at.read_bytes()
    shutil.copy(copy, at)
    # A layer is checked because a compiled root reaches it, so the file of the model is read too.
    paths = (at,) if "models" in at.parts else (at, base / "vllm/model_executor/models" / f"{_model(plant)}.py")
    try:
        found = check(Settings(paths=paths, base=base, search_installed=False, jobs=1), RULES).findings
    finally:
        at.write_bytes(before)
    return any((base / f.path, f.line) == (at, line) for f in found)


def _model(plant: Plant) -> str:
    """The file of a model that reaches the layer, named like its architecture."""
    family = plant.architecture.partition("For")[0].lower()
    return {"falconh1": "falcon_h1"}.get(family, family)


def _not_python(_: str, names: list[str]) -> list[str]:
    return [name for name in names if "." in name and not name.endswith((".py", ".pyi"))]


if __name__ == "__main__":
    main()
