"""The static rules find what the fixtures expect, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vllm_lint.analyzer.engine import Settings, check
from vllm_lint.analyzer.findings import Confidence, Finding, Promise
from vllm_lint.rules.catalogue import RULES

FIXTURES = Path(__file__).parent.parent.parent / "fixtures"
FOLDERS = sorted(path for path in FIXTURES.iterdir() if path.is_dir() and path.name.startswith("VL"))
EXPECT = re.compile(r"# expect: (VL\d{3}(?:, VL\d{3})*)")

each_folder = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


def findings_in(folder: Path, *files: Path) -> tuple[Finding, ...]:
    """What all rules say about `files` of a fixture folder, or about all of it."""
    result = check(
        Settings(paths=files or (folder,), base=folder, source_roots=(folder,), search_installed=False, jobs=1), RULES
    )
    assert not result.errors
    # Code that shows something else may well read what the cache key does not hold.
    is_about_key = folder.name.startswith("VL5")
    return tuple(f for f in result.findings if is_about_key or not f.code.startswith("VL5"))


def by_line(findings: tuple[Finding, ...]) -> dict[tuple[str, int], set[str]]:
    """Codes found in each line. One line may hold several decisions of one kind."""
    found: dict[tuple[str, int], set[str]] = {}
    for finding in findings:
        found.setdefault((finding.path, finding.line), set()).add(finding.code)
    return found


def expected_in(folder: Path) -> dict[tuple[str, int], set[str]]:
    """Codes that the comments of a fixture folder name, by file and line."""
    return {
        (str(path.relative_to(folder)), number): set(match[1].split(", "))
        for path in folder.rglob("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (match := EXPECT.search(line))
    }


@each_folder
def test_findings_are_those_expected(folder: Path) -> None:
    assert by_line(findings_in(folder)) == expected_in(folder)


@each_folder
def test_repaired_and_clean_code_has_no_findings(folder: Path) -> None:
    assert not findings_in(folder, folder / "clean.py", folder / "repaired.py")


@each_folder
def test_a_flagged_file_has_something_to_expect(folder: Path) -> None:
    code = folder.name[: len("VL000")]
    for path in folder.glob("flagged*.py"):
        assert any(name == path.name and code in codes for (name, _), codes in expected_in(folder).items())


@each_folder
def test_findings_lead_from_an_argument_to_the_place(folder: Path) -> None:
    for finding in findings_in(folder):
        if finding.promise is Promise.HONEST_OPERATORS or finding.code in ("VL503", "VL504"):
            continue  # about a declaration, which no argument reaches
        assert finding.root is not None
        assert finding.confidence in (Confidence.HIGH, Confidence.MEDIUM)
        if finding.code in ("VL201", "VL202", "VL203", "VL204", "VL206"):
            assert "enters with dimension" in finding.steps[0].message
