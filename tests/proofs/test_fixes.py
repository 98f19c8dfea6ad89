"""What a fix writes is captured, and computes what the flagged code computes in eager."""

from __future__ import annotations

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
    copy.parent.mkdir(exist_ok=True)
    copy.write_bytes(path.read_bytes())
    while fixes.write(fixes.rewrites(check(copy), copy.parent, unsafe=True)):
        pass
    lines = {f.line for f in check(copy).findings if f.code == code}
    before = {c.name: c for c in cases_in(path)}
    fixed = [c for c in cases_in(copy) if not any(c.line <= n <= c.end_line for n in lines)]
    return copy, [c for c in fixed if any(c.line < n for n in _flagged_lines(code, before[c.name]))]


def _flagged_lines(code: str, case: Case) -> list[int]:
    _, result = flagged_before(code)
    return [f.line for f in result.findings if f.code == code and case.line <= f.line <= case.end_line]


@pytest.mark.parametrize("rule", FIXABLE, ids=lambda r: r.meta.code)
def test_applying_fixes_twice_changes_nothing(rule: type[Rule], folder: Path) -> None:
    copy, cases = repaired(rule.meta.code, folder)
    assert cases, "no flagged case is repaired by a fix"
    assert not fixes.rewrites(check(copy), copy.parent, unsafe=True).files


@pytest.mark.torch
@pytest.mark.parametrize("rule", FIXABLE, ids=lambda r: r.meta.code)
def test_fixed_cases_are_captured_and_equal_eager(rule: type[Rule], folder: Path, pool: Pool) -> None:
    path, _ = flagged_before(rule.meta.code)
    _, cases = repaired(rule.meta.code, folder)
    jobs = [msgspec.structs.replace(c.job, modes=("backed",), sizes=SIZES, reference=c.reference(path)) for c in cases]
    for case, future in [(case, pool.submit(job)) for case, job in zip(cases, jobs, strict=True)]:
        result = future.result()
        assert result.clean, (case.name, result.outcomes)
        assert set(SIZES) <= set(result.parts[0].replayed)
