"""What is moved into a custom operator is captured, computes what it computed before, and is an honest operator."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest

from tests.proofs.cases import FIXTURES, Case, cases_in
from tests.proofs.test_fixes import SIZES
from vllm_lint.analyzer import engine
from vllm_lint.analyzer.engine import CheckResult, Settings
from vllm_lint.analyzer.findings import Finding, Fix
from vllm_lint.analyzer.source import SourceFile, read_source
from vllm_lint.cli.fixes import rewritten
from vllm_lint.rewriter.wrapper import WRAPPABLE, Wrapper, Wrapping
from vllm_lint.rules.catalogue import RULES
from vllm_lint.runtime_verifier.pool import Pool

FOLDERS = [p.parent for p in sorted(FIXTURES.glob("VL*/flagged.py")) if p.parent.name[:5] in WRAPPABLE]


def settings(path: Path) -> Settings:
    return Settings(paths=(path,), base=path.parent, search_installed=False, jobs=1)


def check(path: Path) -> CheckResult:
    return engine.check(settings(path), RULES)


def complete_fixes(path: Path, code: str) -> list[Fix]:
    findings = [f for f in check(path).findings if f.code == code]
    wrapper = Wrapper(engine.program(settings(path)), path.parent, findings)
    found = [wrapper.wrapped(f) for f in findings]
    return [w.fix for w in found if isinstance(w, Wrapping) and not w.incomplete]


@pytest.fixture(scope="module")
def scratch() -> Iterator[Path]:
    with TemporaryDirectory() as name:
        yield Path(name)


@cache
def wrapped(folder: Path, scratch: Path) -> tuple[Path, tuple[Case, ...]]:
    """The flagged file with all complete wrappers of its rule, and the cases that are changed and clean."""
    copy = scratch / folder.name / "flagged.py"
    shutil.copytree(folder, copy.parent)
    code = folder.name[:5]
    while fixes := complete_fixes(copy, code):
        source = read_source(copy, copy.name)
        assert isinstance(source, SourceFile)
        rewrite = rewritten(source, fixes)
        assert rewrite.applied, "a fix that cannot be applied"
        copy.write_text(rewrite.text, encoding="utf-8")
    after = [f for f in check(copy).findings if f.root is not None]
    before = {c.name: c for c in cases_in(folder / "flagged.py")}
    first = check(folder / "flagged.py").findings
    cases = [c for c in cases_in(copy) if not _touching(after, c) and _touching(first, before[c.name])]
    return copy, tuple(cases)


def _touching(findings: list[Finding] | tuple[Finding, ...], case: Case) -> list[Finding]:
    return [f for f in findings if f.root is not None and f.root.name.partition(".")[0] == case.name]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f.name[:5])
def test_what_is_left_has_no_complete_wrapper(folder: Path, scratch: Path) -> None:
    copy, _ = wrapped(folder, scratch)
    assert not complete_fixes(copy, folder.name[:5])


@pytest.mark.torch
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f.name[:5])
def test_operators_pass_opcheck(folder: Path, scratch: Path) -> None:
    copy, cases = wrapped(folder, scratch)
    if not cases:
        pytest.skip("no case is repaired by a complete wrapper")
    command = [sys.executable, "-m", "tests.proofs.operators_checked", str(copy), *(c.name for c in cases)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=FIXTURES.parent)
    operators = done.stdout.splitlines()
    assert operators
    assert not [line for line in operators if " " in line], done.stdout


@pytest.mark.torch
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f.name[:5])
def test_wrapped_cases_are_captured_and_equal_eager(folder: Path, scratch: Path, pool: Pool) -> None:
    _, cases = wrapped(folder, scratch)
    path = folder / "flagged.py"
    jobs = [
        msgspec.structs.replace(c.job, modes=("backed",), backends=("eager",), sizes=SIZES, reference=c.reference(path))
        for c in cases
    ]
    for case, future in [(case, pool.submit(job)) for case, job in zip(cases, jobs, strict=True)]:
        result = future.result()
        assert result.clean, (case.name, result.outcomes)
        assert set(SIZES) <= set(result.parts[0].replayed)
