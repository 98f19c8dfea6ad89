from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.shell_completion import ShellComplete

from tests.cli import samples
from tests.cli.conftest import ErrorLine, Program
from vllm_lint.cli.main import COMMANDS, main
from vllm_lint.rules.catalogue import RULES


def test_no_arguments_show_the_help(program: Program) -> None:
    assert "Usage: " in program.run().output


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in COMMANDS)])
def test_help(program: Program, arguments: list[str]) -> None:
    said = program.run(*arguments)
    assert said.exit_code == 0
    assert "Usage: " in said.stdout


@pytest.mark.parametrize("arguments", [["--version"], ["--help"]])
def test_what_needs_no_analysis_does_not_import_it(arguments: list[str]) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "vllm_lint.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "click" in imported
    assert not imported & {"msgspec", "libcst", "pathspec", "vllm_lint.analyzer", "vllm_lint.rules", "rich", "torch"}


def test_completion_offers_commands_and_files() -> None:
    completions = ShellComplete(main, {}, "vllm-lint", "_VLLM_LINT_COMPLETE").get_completions([], "ex")
    assert {(item.value, item.type) for item in completions} == {("explain", "plain"), ("ex", "file")}


def test_rules_lists_all(program: Program) -> None:
    lines = program.run("rules").stdout.splitlines()
    assert [line.split()[0] for line in lines] == [rule.meta.code for rule in RULES]
    records = json.loads(program.run("rules", "--output-format", "json").stdout)
    assert [record["name"] for record in records] == [rule.meta.name for rule in RULES]
    assert all(record["summary"] and record["documentation"] for record in records)


@pytest.mark.parametrize("rule", ["VL001", "unreadable-file"])
def test_explain_shows_the_documentation(program: Program, rule: str) -> None:
    said = program.run("explain", rule)
    assert said.exit_code == 0
    assert said.stdout.startswith("VL001 unreadable-file\n")
    assert "## Why it matters" in said.stdout


def test_explain_wants_one_rule(program: Program, error_line: ErrorLine) -> None:
    said = error_line(program.run("explain", "unreadable-flie"))
    assert said == "explain: unknown rule 'unreadable-flie', did you mean 'unreadable-file'?"
    assert error_line(program.run("explain", "VL0")).startswith("explain: 'VL0' stands for VL001, ")


def test_debug_shows_settings_with_their_origin_roots_and_files(program: Program) -> None:
    (program.folder / "vllm-lint.toml").write_text('exclude = ["x/"]\n')
    said = program.run("debug", ".", "--ignore", "VL003")
    lines = said.stdout.splitlines()
    assert said.exit_code == 0
    assert next(line for line in lines if line.startswith("  exclude")).endswith('= ["x/"]  (vllm-lint.toml)')
    assert next(line for line in lines if line.startswith("  ignore")).endswith('= ["VL003"]  (command line)')
    assert next(line for line in lines if line.startswith("  select")).endswith('= ["ALL"]  (default)')
    roots = lines[lines.index("1 compiled root") :]
    assert roots[1:5] == [
        "  ToyModel.forward (vllm) model.py:9",
        "    dynamic: input_ids (dim 0), positions (dim 0)",
        "    reached: 3 functions",
        "    not followed: self.embed at model.py:10",
    ]
    assert lines[-2:] == ["  root     model.py", "  reached  helpers.py  (called from model.py)"]


def test_debug_of_nothing_is_3(program: Program) -> None:
    program.result = samples.result(files=0)
    assert program.run("debug").exit_code == 3
