"""`vllm-lint trace` on logs of real runs, and on logs made by hand."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
from click.testing import CliRunner, Result

from tests.trace import logs
from vllm_lint.cli.configuration import OutputFormat
from vllm_lint.cli.main import main

GOOD = "h200-engine-llama"
BAD = "h200-engine-batch-branch"
SYMBOL = re.compile(r"\b[su]\d+\b")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["trace", *map(str, arguments), "--isolated"])


def sample(name: str) -> Path:
    return logs.DATA / f"{name}.log.xz"


def findings(*arguments: str | Path) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads(run(*arguments, "--output-format", "json").stdout)["findings"]
    return records


@pytest.mark.parametrize("name", [GOOD, "h200-capture-run-moe"])
def test_healthy_runs_are_clean(name: str) -> None:
    done = run(sample(name))
    assert (done.exit_code, done.stdout.splitlines()[0].split(":")[0]) == (0, "No findings")


#: Code, line, severity, and a part of the message of every finding in the runs of bad models.
EXPECTED = {
    BAD: [("VL201", 52, "error", "`input_ids.size(0) % 128 == 0` was decided once")],
    "h200-capture-six-bad-models": [
        ("VL201", 51, "error", "`input_ids.size(0) % 128 != 0` was decided once"),
        ("VL201", 57, "error", "`input_ids.size(0) <= 64` was decided once"),
        ("VL202", 61, "error", "`input_ids.size(0)` and `positions.size(0)` became the constant 40"),
        ("VL102", 65, "error", "what is in a tensor decides this"),
        ("VL109", 71, "error", "module: torch.cuda, qualname: synchronize"),
        ("VL204", 76, "warning", "an operation needs `(256 * input_ids.size(0)) % 2048 == 0`"),
    ],
    "h200-native-batch-branch": [
        ("VL201", 52, "error", "`input_ids.size(0) % 128 != 0` was decided once"),
        ("VL201", 58, "error", "`input_ids.size(0) <= 64` was decided once"),
        ("capture-failed", 60, "error", "VllmBackend can only be called once"),
        ("VL202", 62, "error", "became the constant 40"),
        ("VL204", 77, "warning", "an operation needs"),
    ],
    "cpu-decorated-call-branch": [("VL201", 9, "error", "`x.size(0) % 128 != 0` was decided once")],
    "cpu-graph-breaks": [
        ("VL103", 4, "warning", "failed to trace builtin operator"),
        ("VL107", 9, "warning", "call to `torch._dynamo.graph_break()`"),
        ("VL107", 15, "error", "call to `torch._dynamo.graph_break()`"),
    ],
}


@pytest.mark.parametrize("name", EXPECTED)
def test_bad_runs_are_blamed_on_their_lines(name: str) -> None:
    records = findings(sample(name))
    assert [(r["code"], r["line"], r["severity"]) for r in records] == [row[:3] for row in EXPECTED[name]]
    for record, (_, _, _, message) in zip(records, EXPECTED[name], strict=True):
        assert message in record["message"]
        assert record["verdict"] == "confirmed"
        assert record["evidence"]
    assert run(sample(name)).exit_code == 1
    assert run(sample(name), "--exit-zero").exit_code == 0


@pytest.mark.parametrize("output_format", get_args(OutputFormat))
@pytest.mark.parametrize("name", EXPECTED)
def test_no_symbol_of_torch_reaches_the_user(name: str, output_format: str) -> None:
    done = run(sample(name), "--output-format", output_format)
    assert not SYMBOL.search(re.sub(r"\b[0-9a-f]{64}\b", "", done.stdout))
    assert not SYMBOL.search(done.stderr)


@pytest.mark.parametrize("output_format", get_args(OutputFormat))
def test_every_format_tells_the_verdict(output_format: str) -> None:
    assert "confirmed" in run(sample(BAD), "--output-format", output_format).stdout


@pytest.mark.parametrize("name", EXPECTED)
def test_sarif_is_valid(name: str) -> None:
    schema = json.loads((logs.DATA.parent / "sarif-schema-2.1.0.json").read_text())
    document = json.loads(run(sample(name), "--output-format", "sarif").stdout)
    jsonschema.Draft4Validator(schema).validate(document)
    (found,) = document["runs"]
    assert [result["ruleId"] for result in found["results"]] == [row[0] for row in EXPECTED[name]]
    assert {result["properties"]["verdict"] for result in found["results"]} == {"confirmed"}


def test_the_call_path_is_told_without_the_sources() -> None:
    shown = run(sample("cpu-decorated-call-branch")).stdout
    assert "::: /app/model/toy.py:19: 1. calls `tile`" in shown


def made(tmp_path: Path, *parts: str, name: str = "a.log") -> Path:
    path = tmp_path / "logs" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(logs.strings() + "".join(parts), encoding="utf-8")
    return path


def branch(**context: Any) -> str:
    return logs.start(**context) + logs.symbol("s77", "x") + logs.guard("Eq(Mod(s77, 8), 0)", logs.AT) + logs.end()


def test_what_several_ranks_show_is_told_once(tmp_path: Path) -> None:
    for rank in range(3):
        made(tmp_path, branch(rank=rank), name=f"rank_{rank}.log")
    (record,) = findings(tmp_path / "logs")
    assert [line.split(",")[:2] for line in record["evidence"]] == [[f"rank_{n}.log", f" rank {n}"] for n in range(3)]


def test_processes_that_share_a_file_keep_their_strings(tmp_path: Path) -> None:
    path = made(tmp_path, branch())
    other = path.read_text().replace(" 7 torch", " 8 torch").replace("/app/model.py", "/app/other.py")
    mixed = [line for pair in zip(path.read_text().splitlines(), other.splitlines(), strict=True) for line in pair]
    # A payload must stay behind its header.
    path.write_text("\n".join(line for line in mixed if not line.startswith("\t")) + "\n")
    assert {record["path"] for record in findings(path)} == {"/app/model.py", "/app/other.py"}


def test_conditions_are_allowed_where_guards_are_kept_and_nothing_is_marked(tmp_path: Path) -> None:
    body = logs.symbol("s77", "x", mark=False) + logs.guard("Eq(Mod(s77, 8), 0)", logs.AT)
    assert run(made(tmp_path, logs.start(), body, logs.end(logs.KEPT))).exit_code == 0
    assert run(made(tmp_path, logs.start(), body, logs.end())).exit_code == 1


def test_an_operation_that_needs_a_multiple_is_told_once_for_its_line(tmp_path: Path) -> None:
    asked = ("Ne(Mod(s77, 3), 1)", "Eq(Mod(8*s77, 64), 0)", "Ne((s77//8), 1)")
    guards = [logs.guard(expression, logs.AT, by=logs.OPERATION) for expression in asked]
    (record,) = findings(made(tmp_path, logs.start(), logs.symbol("s77", "x"), *guards, logs.end()))
    assert record["code"] == "VL204"
    assert "`(8 * x.size(0)) % 64 == 0`" in record["message"]
    assert "2 more conditions on this line" in record["evidence"][0]


def test_an_undecided_condition_is_a_warning_of_low_confidence(tmp_path: Path) -> None:
    path = made(tmp_path, logs.start(), logs.symbol("s77", "x"), logs.guard("Unheard(s77) > 1", logs.AT), logs.end())
    (record,) = findings(path)
    assert (record["verdict"], record["severity"], record["confidence"]) == ("undecided", "warning", "low")
    assert run(path).exit_code == 1
    assert run(path, "--min-confidence", "high").exit_code == 0


def test_rules_can_be_ignored_and_what_has_no_rule_cannot() -> None:
    assert run(sample(BAD), "--ignore", "VL201").exit_code == 0
    found = findings(sample("h200-native-batch-branch"), "--select", "VL103")
    assert [r["code"] for r in found] == ["capture-failed"]


def test_recompilations_are_told_on_stderr() -> None:
    assert (
        "compilation 0/1 was compiled since 0/0 needs 2 <= input_ids.size(0) <= 255"
        in run(sample("h200-capture-run-moe")).stderr
    )


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for place, message in ((tmp_path / "gone", "no such folder"), (empty, "no log in")):
        done = run(place)
        assert (done.exit_code, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
        assert message in done.stderr


def test_logs_in_which_nothing_was_compiled_are_nothing_to_check(tmp_path: Path) -> None:
    done = run(made(tmp_path, "hello\n"))
    assert (done.exit_code, done.stdout) == (3, "")
    assert "nothing compiled" in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_log_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    path = made(tmp_path, branch())
    path.chmod(0)
    assert run(path).exit_code == 2


def test_a_damaged_log_is_told_and_the_rest_read(tmp_path: Path) -> None:
    (tmp_path / "cut.log.xz").write_bytes(sample(BAD).read_bytes()[:-200])
    (tmp_path / "whole.log.xz").write_bytes(sample(BAD).read_bytes())
    done = run(tmp_path)
    assert done.exit_code == 1
    assert "damaged" in done.stderr
    assert "cut.log.xz" in done.stderr


def test_events_that_could_not_be_read_are_counted(tmp_path: Path) -> None:
    done = run(made(tmp_path, branch(), logs.event("guard_added_fast", {"expr": 5}), "V0125 13:45:01.1 7 x.py:1] {x\n"))
    assert "2 events could not be read" in done.stderr


def fake_tlparse(folder: Path, script: str) -> None:
    program = folder / "tlparse"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def test_tlparse_renders_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tlparse(tmp_path, 'cp "$1" "$3/log"; echo "$@" > "$3/arguments"')
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    done = run(sample(GOOD), "--html", tmp_path)
    assert done.exit_code == 0, done.output
    assert f"tlparse wrote {tmp_path / 'index.html'}" in done.stderr
    assert (tmp_path / "arguments").read_text().split()[1:] == ["-o", str(tmp_path), "--overwrite", "--no-browser"]
    assert "guard_added_fast" in (tmp_path / "log").read_text(), "unpacked"


def test_a_tlparse_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tlparse(tmp_path, "echo no space left >&2; exit 7")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    done = run(sample(GOOD), "--html", tmp_path)
    assert done.exit_code == 2
    assert "tlparse failed with status 7: no space left" in done.stderr


def test_without_tlparse_it_is_said_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = run(sample(GOOD), "--html", tmp_path)
    assert done.exit_code == 2
    assert "--html needs tlparse, which is not installed: pip install tlparse" in done.stderr


def test_tlparse_takes_one_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_tlparse(tmp_path, "exit 0")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    done = run(logs.DATA, "--html", tmp_path)
    assert done.exit_code == 2
    assert "--html takes one log" in done.stderr
