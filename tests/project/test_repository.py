"""Things that hold for the repository as a whole."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md")])


def vllm_lint(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from vllm_lint.cli.main import main; main(prog_name='vllm-lint')"]
    return subprocess.run([*command, *arguments], cwd=ROOT, check=False, capture_output=True, text=True)


def test_own_code_is_clean() -> None:
    folders = ["analyzer", "rules", "runtime_verifier", "cli", "docs", "benchmarks", "tests"]
    done = vllm_lint("check", "--no-cache", *folders)
    assert done.returncode == 0, done.stdout + done.stderr


def test_generated_documentation_is_current() -> None:
    done = subprocess.run(
        [sys.executable, "docs/generate.py", "--check"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_options_named_in_the_documentation_exist(page: Path) -> None:
    known = set(re.findall(r"--[a-z][a-z-]+", (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")))
    lines = [line for line in page.read_text(encoding="utf-8").splitlines() if "vllm-lint " in line]
    used = {option for line in lines for option in re.findall(r"vllm-lint .*?(--[a-z][a-z-]+)", line)}
    assert used <= known


def test_versions_agree() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    (declared,) = re.findall(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    released = re.findall(r"^## \[(\d[^]]*)\]", changelog, re.MULTILINE)
    assert "## [Unreleased]" in changelog
    assert not released or released[0] == declared
