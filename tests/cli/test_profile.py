"""`check --profile`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.cli.conftest import ErrorLine, Program
from vllm_lint.cli.main import main


def test_profile_shows_on_stderr_what_the_time_is_spent_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "helper.py").write_text("x = 1\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke(main, ["check", "helper.py", "--isolated", "--no-cache", "--profile"])
    assert run.exit_code == 0, run.output
    assert run.stdout.startswith("No findings")
    assert re.search(r"^\d+\.\d\d s of processor time in one process", run.stderr)
    for line in ("by stage", "slowest compiled roots", "slowest rules", "parse", "interpret compiled roots"):
        assert line in run.stderr


@pytest.mark.parametrize("other", ["--fix", "--diff", "--verify"])
def test_profile_is_about_a_check_alone(program: Program, error_line: ErrorLine, other: str) -> None:
    assert error_line(program.run("--profile", other)) == (
        "--profile is about a check alone, without --verify, --fix and --diff"
    )
