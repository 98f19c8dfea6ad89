"""`vllm-lint rules --graph-breaks`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import ErrorLine, Program
from vllm_lint.cli import graph_breaks

REGISTRY = {"GB0003": [{"Gb_type": "Attempt to trace generator"}], "GB99999": [{"Gb_type": "added later"}]}


@pytest.fixture
def registry(program: Program) -> Path:
    path = program.folder / "registry.json"
    path.write_text(json.dumps(REGISTRY))
    return path


def fake_python(folder: Path, code: str) -> str:
    """An executable that answers whatever it is asked with `code`."""
    path = folder / "python"
    path.write_text(f"#!{sys.executable}\n{code}\n")
    path.chmod(0o755)
    return str(path)


def test_the_table_says_what_covers_an_id_and_what_is_new(program: Program, registry: Path) -> None:
    result = program.run("rules", "--graph-breaks", "--registry", str(registry))
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert "GB0003  A  proved      VL116  Attempt to trace generator" in lines
    assert "GB99999  ?  new         -  added later" in lines
    assert any(line.startswith("GB0007") and line.endswith("(not in this registry)") for line in lines)
    assert f"Registry: {registry}" in lines
    assert any(line.startswith("Class B: ") and " covered, " in line for line in lines)


def test_json_holds_the_same(program: Program, registry: Path) -> None:
    arguments = ("rules", "--graph-breaks", "--registry", str(registry), "--output-format", "json")
    record = json.loads(program.run(*arguments).stdout)
    entries = {entry["id"]: entry for entry in record["breaks"]}
    assert len(entries) == 528
    assert entries["GB0003"]["rules"] == ["VL116"]
    assert entries["GB99999"]["coverage"] == "new"
    assert record["registry"] == str(registry)
    assert record["made_from"].endswith("of torch 2.13.0")
    assert record["summary"]["new"] == {"new": 1}
    assert sum(record["summary"]["A"].values()) == 115


def test_without_torch_the_facts_stand_alone(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_breaks, "find_spec", lambda _: None)
    result = program.run("rules", "--graph-breaks")
    assert result.exit_code == 0
    assert "Registry: no torch with a registry is installed here" in result.stdout


def test_a_torch_without_a_registry_is_passed_over_unless_it_was_asked_for(
    program: Program, monkeypatch: pytest.MonkeyPatch, error_line: ErrorLine
) -> None:
    origin = program.folder / "torch" / "__init__.py"
    monkeypatch.setattr(graph_breaks, "find_spec", lambda _: type("Spec", (), {"origin": str(origin)}))
    assert "no torch with a registry" in program.run("rules", "--graph-breaks").stdout
    python = fake_python(program.folder, f"print({str(origin)!r})")
    said = error_line(program.run("rules", "--graph-breaks", "--python", python))
    assert "graph_break_registry.json: torch has had one since 2.9" in said


def test_another_interpreter_is_asked_without_importing_torch(program: Program) -> None:
    package = program.folder / "torch"
    (package / "_dynamo").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "_dynamo" / "graph_break_registry.json").write_text(json.dumps(REGISTRY))
    code = (
        "import subprocess, sys\n"
        f"sys.exit(subprocess.run([{sys.executable!r}, *sys.argv[1:]], cwd={str(program.folder)!r}).returncode)"
    )
    python = fake_python(program.folder, code)
    result = program.run("rules", "--graph-breaks", "--python", python)
    assert result.exit_code == 0, result.output
    assert "GB99999  ?  new         -  added later" in result.stdout.splitlines()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("print()", "has no torch"),
        ("import sys; print('no module', file=sys.stderr); sys.exit(3)", "failed to look for torch: no module"),
        ("import sys; sys.exit(3)", "failed to look for torch: it said nothing"),
    ],
)
def test_an_interpreter_that_does_not_know_is_an_error(
    program: Program, error_line: ErrorLine, code: str, said: str
) -> None:
    assert said in error_line(program.run("rules", "--graph-breaks", "--python", fake_python(program.folder, code)))


def test_an_interpreter_that_is_not_there_or_hangs_is_an_error(
    program: Program, error_line: ErrorLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = str(program.folder / "missing")
    assert f"cannot run {missing}" in error_line(program.run("rules", "--graph-breaks", "--python", missing))

    def hang(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("python", 60)

    monkeypatch.setattr(subprocess, "run", hang)
    assert "did not answer within 60 seconds" in error_line(program.run("rules", "--graph-breaks", "--python", "p"))


@pytest.mark.parametrize("text", ["{", "[1]", '{"GB0001": [{}]}'])
def test_a_broken_registry_is_an_error_with_its_path(program: Program, error_line: ErrorLine, text: str) -> None:
    path = program.folder / "broken.json"
    path.write_text(text)
    said = error_line(program.run("rules", "--graph-breaks", "--registry", str(path)))
    assert said.startswith(f"{path}: not ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--registry", "missing.json", "--graph-breaks"),
        ("--python", "python"),
        ("--graph-breaks", "--python", "python", "--registry", "registry.json"),
    ],
)
def test_options_that_do_not_go_together_are_usage_errors(
    program: Program, registry: Path, arguments: tuple[str, ...]
) -> None:
    assert registry.is_file()
    assert program.run("rules", *arguments).exit_code == 2
