from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from tests.cli import samples
from tests.cli.conftest import ErrorLine, Program
from vllm_lint.analyzer.engine import CheckResult, FileReport
from vllm_lint.analyzer.findings import ToolError
from vllm_lint.analyzer.lifecycle import Stage
from vllm_lint.rules.catalogue import RULES


def test_paths_alone_are_checked(program: Program) -> None:
    by_default = program.run("model.py")
    assert by_default.stdout == program.run("check", "model.py").stdout
    assert program.asked().paths == (Path("model.py"),)


def test_options_alone_check_the_current_folder(program: Program) -> None:
    program.run("--output-format", "concise")
    assert program.asked().paths == (Path(),)


def test_a_path_named_like_a_command_needs_a_dot(program: Program) -> None:
    (program.folder / "rules").mkdir()
    program.run("./rules")
    assert program.asked().paths == (Path("rules"),)


@pytest.mark.parametrize(
    ("result", "options", "code"),
    [
        (samples.result(), (), 0),
        (samples.result(samples.finding()), (), 1),
        (samples.result(samples.finding()), ("--exit-zero",), 0),
        (samples.result(errors=(ToolError("crashed", rule="VL201", kind="rule"),)), ("--exit-zero",), 2),
        (samples.result(samples.finding(), errors=(ToolError("going on without a cache"),)), (), 1),
        (samples.result(files=0), (), 3),
    ],
)
def test_exit_codes(program: Program, result: CheckResult, options: tuple[str, ...], code: int) -> None:
    program.result = result
    assert program.run(".", *options).exit_code == code


def test_nothing_to_check_says_so(program: Program) -> None:
    program.result = samples.result(files=0)
    said = program.run("empty")
    assert (said.stdout, said.stderr) == ("", "vllm-lint: nothing to check: no Python file under empty\n")


def test_excluded_files_are_nothing_to_check(program: Program) -> None:
    program.result = CheckResult((), (), (FileReport("a.py", "excluded", "excluded by .gitignore"),), (), 0)
    said = program.run(".")
    assert said.exit_code == 3
    assert said.stderr.endswith("no Python file under ., 1 excluded\n")


def test_all_paths_excluded_as_asked_is_no_failure(program: Program) -> None:
    program.result = CheckResult((), (), (FileReport("a.py", "excluded", "excluded by the setting exclude"),), (), 0)
    said = program.run("a.py", "--force-exclude")
    assert (said.exit_code, said.stderr) == (0, "")
    assert program.asked().force_exclude
    program.result = samples.result(files=0)
    assert program.run("empty", "--force-exclude").exit_code == 3


def test_a_file_that_cannot_be_read_is_a_finding_not_nothing(program: Program) -> None:
    program.result = CheckResult((samples.unreadable(),), (), (), (), 0)
    assert program.run("gone.py").exit_code == 1


def test_nothing_to_check_is_still_a_json_object(program: Program) -> None:
    program.result = samples.result(files=0)
    said = program.run(".", "--output-format", "json")
    assert said.exit_code == 3
    assert json.loads(said.stdout)["summary"]["files"] == 0


def test_tool_errors_go_to_stderr(program: Program) -> None:
    said = program.run(".")
    assert said.stderr == "vllm-lint: error: crashed: KeyError: 'x' (rule VL205, model.py)\n"


def test_a_missing_path_is_one_line(program: Program, error_line: ErrorLine) -> None:
    program.failure = FileNotFoundError("no such file or folder: gone")
    assert error_line(program.run("gone")) == "no such file or folder: gone"


def test_an_internal_error_is_one_line_and_says_where_to_report_it(program: Program, error_line: ErrorLine) -> None:
    program.failure = KeyError("a\nb")
    line = error_line(program.run("."))
    assert line.startswith("internal error: KeyError: ")
    assert "report it" in line


@pytest.mark.parametrize("how", ["option", "environment"])
def test_an_internal_error_shows_its_traceback_when_asked(
    program: Program, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    program.failure = KeyError("a")
    if how == "environment":
        monkeypatch.setenv("VLLM_LINT_TRACEBACK", "1")
    said = program.run(".", *(["--verbose"] if how == "option" else []))
    assert said.exit_code == 2
    assert "Traceback (most recent call last)" in said.stderr


def test_ctrl_c_is_130_and_one_line(program: Program) -> None:
    program.failure = KeyboardInterrupt()
    said = program.run(".", "--output-file", "report.txt")
    assert (said.exit_code, said.stdout, said.stderr) == (130, "", "vllm-lint: interrupted\n")
    assert sorted(path.name for path in program.folder.iterdir()) == ["helpers.py", "model.py"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--selct", "VL201", "."], "no such option"),
        (["--output-format", "xml", "."], "invalid value for '--output-format': 'xml' is not one of"),
        (["--select", "unreadable-flie", "."], "--select: unknown rule 'unreadable-flie', did you mean 'unreadable-f"),
        (["--ignore", "unused-supression", "."], "--ignore: unknown rule 'unused-supression', did you mean 'unused-s"),
        (["--statistics", "--output-format", "json", "."], "--statistics goes with the formats full and concise"),
        (["--stdin-filename", "a.py", "."], "--stdin-filename goes with the path -"),
        (["-", "model.py"], "the path - cannot be combined with others"),
        (["--output-file", "no/such/report", "."], "cannot write no/such/report: its folder does not exist"),
        (["--config", "gone.toml", "."], "cannot read gone.toml: No such file or directory"),
        (["--config", "x.toml", "--isolated", "."], "--config and --isolated exclude each other"),
    ],
)
def test_wrong_usage_is_one_line(program: Program, error_line: ErrorLine, arguments: list[str], line: str) -> None:
    assert error_line(program.run(*arguments)).startswith(line)
    assert program.settings is None


def test_select_and_ignore_take_commas_and_repetition(program: Program) -> None:
    program.run("--select", "VL001,unparsable-file", "--select", "VL003", "--ignore", "VL001", ".")
    assert program.codes == ("VL002", "VL003")


def test_the_more_specific_of_select_and_ignore_counts(program: Program) -> None:
    program.run("--select", "ALL", "--select", "VL003", "--ignore", "VL0", ".")
    assert "VL003" in program.codes
    assert "VL001" not in program.codes


def test_all_rules_run_by_default_but_those_to_opt_into(program: Program) -> None:
    program.run(".")
    stable = [rule for rule in RULES if rule.meta.stage is Stage.STABLE]
    assert program.codes == tuple(rule.meta.code for rule in stable if not rule.meta.opt_in)
    program.run("--select", "VL006", ".")
    assert program.codes == ("VL006",)


def test_min_confidence_hides_what_is_less_certain(program: Program) -> None:
    program.result = samples.result(samples.finding(), samples.across_files())
    said = program.run("--min-confidence", "high", "--output-format", "concise", ".")
    assert said.stdout.splitlines()[-1] == "Found 1 error in 2 files, 1 compiled root"


def test_statistics_replace_the_findings(program: Program) -> None:
    said = program.run("--statistics", ".")
    assert said.stdout.splitlines()[0].split() == ["2", "error", "VL201", "batch-size-branch"]


def test_stdin_is_given_a_name_and_shown(program: Program) -> None:
    text = b"\n" * 11 + b"        if from_stdin_:\n"
    program.result = samples.result(samples.finding(path="new.py", steps=()))
    said = program.run("-", "--stdin-filename", "new.py", stdin=text)
    assert program.asked().stdin == ("new.py", text)
    assert program.asked().paths == ()
    assert "from_stdin_" in said.stdout


def test_output_file_is_written_whole_and_without_colour(program: Program) -> None:
    said = program.run(".", "--output-file", "report.txt")
    report = Path("report.txt")
    assert said.stdout == ""
    assert said.exit_code == 2  # the sample has a crashed rule
    assert report.read_text().splitlines()[-1].startswith("Found 4 errors")
    assert "\x1b" not in report.read_text()
    assert sorted(path.name for path in program.folder.iterdir()) == ["helpers.py", "model.py", "report.txt"]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(report.stat().st_mode) == 0o666 & ~umask


def test_an_output_file_that_cannot_be_replaced_keeps_its_text(program: Program) -> None:
    Path("taken").mkdir()
    said = program.run(".", "--output-file", "taken")
    assert said.exit_code == 2
    assert said.stderr == "vllm-lint: error: cannot write taken: Is a directory\n"


def test_output_file_may_be_a_device(program: Program) -> None:
    program.result = samples.result()
    assert program.run(".", "--output-file", os.devnull).exit_code == 0
    assert not Path(os.devnull).is_file()


@pytest.mark.parametrize(
    ("environment", "option", "colored"),
    [
        ({}, "auto", False),
        ({}, "always", True),
        ({"FORCE_COLOR": "1"}, "auto", True),
        ({"FORCE_COLOR": "0"}, "auto", False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, "auto", False),
        ({"NO_COLOR": "1"}, "always", True),
        ({"FORCE_COLOR": "1"}, "never", False),
    ],
)
def test_color(
    program: Program, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], option: str, *, colored: bool
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b[" in program.run(".", "--color", option).stdout) == colored


def test_formats_for_programs_never_have_color(program: Program) -> None:
    assert "\x1b[" not in program.run(".", "--color", "always", "--output-format", "github").stdout


def test_github_writes_the_step_summary(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    target = program.folder / "summary.md"
    target.write_text("# before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(target))
    program.run(".", "--output-format", "github")
    assert target.read_text().startswith("# before\n## vllm-lint\n\nFound 4 errors")


def test_names_that_are_not_unicode_can_be_printed(program: Program) -> None:
    program.result = samples.result(samples.finding(path="bad\udcff.py", steps=()))
    assert "bad\\udcff.py" in program.run(".", "--output-format", "concise").stdout
    said = program.run(".", "--output-format", "json")
    assert json.loads(said.stdout)["findings"][0]["path"] == "bad\udcff.py"
    assert "bad%FF.py" in program.run(".", "--output-format", "sarif").stdout
