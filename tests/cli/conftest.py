"""A command line whose analysis is replaced: these tests are about what is around it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.cli import samples
from vllm_lint.analyzer import engine
from vllm_lint.analyzer.engine import CheckResult, Settings
from vllm_lint.analyzer.rule import Rule
from vllm_lint.cli.main import main


@dataclass
class Program:
    """`vllm-lint` in `folder`, which holds the sample sources, with an analysis that returns `result`."""

    folder: Path
    result: CheckResult = field(default_factory=samples.everything)
    failure: BaseException | None = None
    settings: Settings | None = None
    codes: tuple[str, ...] = ()

    def check(self, settings: Settings, rules: Sequence[type[Rule]]) -> CheckResult:
        """Stands in for `engine.check`."""
        self.settings = settings
        self.codes = tuple(rule.meta.code for rule in rules)
        if self.failure is not None:
            raise self.failure
        return self.result

    def run(self, *arguments: str, stdin: bytes = b"") -> Result:
        """Run with `arguments`."""
        return CliRunner().invoke(main, arguments, input=stdin)

    def asked(self) -> Settings:
        """What the last run gave to the analysis."""
        assert self.settings is not None
        return self.settings


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """The program in a folder of its own, with no environment variables that it knows."""
    for name in ("NO_COLOR", "FORCE_COLOR", "GITHUB_WORKSPACE", "GITHUB_STEP_SUMMARY", "VLLM_LINT_TRACEBACK"):
        monkeypatch.delenv(name, raising=False)
    made = Program(samples.write_sources(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(engine, "check", made.check)
    return made


ErrorLine = Callable[[Result], str]


@pytest.fixture
def error_line() -> ErrorLine:
    """Takes the one line that a failed run says, and sees that it is one and the exit code 2."""

    def take(result: Result) -> str:
        assert result.exit_code == 2, result.output
        assert result.stdout == ""
        (line,) = result.stderr.splitlines()
        prefix = "vllm-lint: error: "
        assert line.startswith(prefix)
        return line[len(prefix) :]

    return take
