"""Defects planted in vLLM's own model code are found on their line, and harmless edits are left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.verify.defects import DEFECTS, FIRST, GPU_ONLY, STEPS
from tests.verify.harmless import HARMLESS
from tests.verify.planted import Plant, findings, unverified
from vllm_lint.analyzer.engine import Settings, check
from vllm_lint.analyzer.findings import Finding
from vllm_lint.rules.catalogue import RULES
from vllm_lint.runtime_verifier.pool import Pool

STATES = [p for p in (*FIRST, *STEPS) if p.promise == "C3" or p.finds == ("VL403",)]
PROMISES = ("C1", "C2", "C3", "C4", "C5")


def verify(plant: Plant, pool: Pool, folder: Path) -> tuple[tuple[Finding, ...], Path, int]:
    copy, line = plant.write(folder)
    result = pool.run(plant.job(copy, folder / "traces"))
    assert not unverified(result)
    assert result.parts
    return findings(result, folder / "traces"), copy, line


@pytest.mark.vllm
@pytest.mark.parametrize("plant", DEFECTS, ids=lambda plant: plant.name)
def test_a_planted_defect_is_found_on_its_line(plant: Plant, pool: Pool, tmp_path: Path) -> None:
    found, copy, line = verify(plant, pool, tmp_path)
    here = {f.code for f in found if (Path("/", f.path), f.line) == (copy, line)}
    assert here == set(plant.finds), found
    assert {f.code for f in found if (Path("/", f.path), f.line) != (copy, line)} <= set(plant.also), found


@pytest.mark.vllm
@pytest.mark.parametrize("plant", HARMLESS, ids=lambda plant: plant.name)
def test_a_harmless_edit_stays_clean(plant: Plant, pool: Pool, tmp_path: Path) -> None:
    found, _, _ = verify(plant, pool, tmp_path)
    assert not found


@pytest.mark.vllm
@pytest.mark.parametrize("plant", GPU_ONLY, ids=lambda plant: plant.name)
def test_a_defect_that_only_a_gpu_shows_says_why_and_is_not_seen_here(plant: Plant, pool: Pool, tmp_path: Path) -> None:
    assert plant.gpu_only
    found, _, _ = verify(plant, pool, tmp_path)
    assert not found


@pytest.mark.vllm
@pytest.mark.parametrize("plant", STATES, ids=lambda plant: plant.name)
def test_the_static_rules_predict_state_on_the_same_line(plant: Plant, tmp_path: Path) -> None:
    copy, line = plant.write(tmp_path)
    name = plant.original.relative_to(plant.package.parent).as_posix()
    # A layer is reached by way of the model.
    model = plant.package / "model_executor/models" / ("falcon_h1.py" if "layers" in name else plant.original.name)
    settings = Settings(
        (model,), plant.package.parent, stdin=(name, copy.read_bytes()), source_roots=(plant.package.parent,), jobs=1
    )
    found = {f.code for f in check(settings, RULES).findings if (f.path, f.line) == (name, line)}
    # What the environment decides is also missing from the key of the compile cache.
    assert found - {"VL501"} == set(plant.finds)


def test_the_plants_cover_every_promise_and_many_files() -> None:
    assert len(FIRST) == 11
    assert len(DEFECTS) >= 46
    assert len(HARMLESS) >= 12
    assert {p.promise for p in DEFECTS} == set(PROMISES)
    assert len({p.module for p in DEFECTS}) >= 15
    assert len({p.name for p in (*DEFECTS, *HARMLESS, *GPU_ONLY)}) == len(DEFECTS) + len(HARMLESS) + len(GPU_ONLY)
