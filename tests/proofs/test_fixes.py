"""What a fix writes is captured, and computes what the flagged code computes in eager."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest

from tests.proofs.cases import FIXTURES, Case, cases_in
from vllm_lint.analyzer import engine
from vllm_lint.analyzer.engine import CheckResult, Settings
from vllm_lint.analyzer.rule import Rule
from vllm_lint.cli import fixes
from vllm_lint.rules.catalogue import RULES
from vllm_lint.runtime_verifier.outcomes import Changed, DataDependent
from vllm_lint.runtime_verifier.pool import Pool

SIZES = (1, 2, 3, 127, 128, 129)
FIXABLE = [r for r in RULES if r.meta.fix != "none" and any(FIXTURES.glob(f"{r.meta.code}_*/flagged.py"))]


def check(path: Path) -> CheckResult:
    return engine.check(Settings(paths=(path,), base=path.parent, search_installed=False, jobs=1), RULES)


@cache
def flagged_before(code: str) -> tuple[Path, CheckResult]:
    (path,) = FIXTURES.glob(f"{code}_*/flagged.py")
    return path, check(path)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as name:
        yield Path(name)


def repaired(code: str, folder: Path) -> tuple[Path, list[Case]]:
    """The flagged file with all its fixes, and the cases of which nothing is left to report."""
    path, _ = flagged_before(code)
    copy = folder / code / path.name
    shutil.copytree(path.parent, copy.parent, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    while fixes.write(fixes.rewrites(check(copy), copy.parent, unsafe=True)):
        pass
    before, after = (_flagged_cases(code, *pair) for pair in (flagged_before(code), (copy, check(copy))))
    return copy, [c for c in cases_in(copy) if c.name in before - after]


def _flagged_cases(code: str, path: Path, result: CheckResult) -> set[str]:
    """The cases that findings are in, or that stand next below them: operators come before the case that calls them."""
    lines = [f.line for f in result.findings if f.code == code]
    return {next(case.name for case in cases_in(path) if line <= case.end_line) for line in lines}


@pytest.mark.parametrize("rule", FIXABLE, ids=lambda r: r.meta.code)
def test_applying_fixes_twice_changes_nothing(rule: type[Rule], folder: Path) -> None:
    copy, cases = repaired(rule.meta.code, folder)
    assert cases, "no flagged case is repaired by a fix"
    assert not fixes.rewrites(check(copy), copy.parent, unsafe=True).files


@pytest.mark.parametrize("rule", FIXABLE, ids=lambda r: r.meta.code)
def test_what_a_fix_writes_is_formatted_and_clean(rule: type[Rule], folder: Path) -> None:
    path, _ = flagged_before(rule.meta.code)
    copy, _ = repaired(rule.meta.code, folder)
    assert _ruff("format", "--check", "--line-length", "120", str(copy)).returncode == 0
    before, after = (
        json.loads(_ruff("check", "--select", "E4,E7,E9,F", "--output-format", "json", str(p)).stdout)
        for p in (path, copy)
    )
    assert not Counter(c["code"] for c in after) - Counter(c["code"] for c in before)


def _ruff(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ruff", *arguments, "--isolated"]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.mark.torch
@pytest.mark.parametrize("rule", FIXABLE, ids=lambda r: r.meta.code)
def test_fixed_cases_are_captured_and_equal_eager(rule: type[Rule], folder: Path, pool: Pool) -> None:
    path, _ = flagged_before(rule.meta.code)
    _, cases = repaired(rule.meta.code, folder)
    modes = ("backed", "unbacked") if rule.meta.code == "VL206" else ("backed",)
    jobs = [msgspec.structs.replace(c.job, modes=modes, sizes=SIZES, reference=c.reference(path)) for c in cases]
    for case, future in [(case, pool.submit(job)) for case, job in zip(cases, jobs, strict=True)]:
        result = future.result()
        assert result.clean, (case.name, result.outcomes)
        changed = [o for o in result.outcomes if isinstance(o, Changed)]
        assert not changed or rule.meta.fix == "unsafe", (case.name, changed)
        assert any(n in result.parts[0].compared for n in SIZES)
        assert not any(isinstance(o, DataDependent) for o in result.outcomes)
        assert set(SIZES) <= set(result.parts[0].replayed)
