"""What a log shows is brought to the line of the user's file, and static findings get their verdicts."""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.trace import logs
from vllm_lint.cli.main import main

#: What the logs cpu-decorated-call-* captured.
MODEL = """\
import sys, torch
from torch import nn
from vllm.compilation.decorators import support_torch_compile
from vllm.config import set_current_vllm_config, CompilationConfig
from vllm.engine.arg_utils import EngineArgs
from vllm.forward_context import set_forward_context

def tile(hidden, n):
    if n % 128 == 0:
        return hidden * 2
    return hidden

@support_torch_compile
class Toy(nn.Module):
    def __init__(self, *, vllm_config, prefix=""):
        super().__init__()
        self.up = nn.Linear(8, 16)
    def forward(self, x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        x = tile(self.up(x), x.size(0)) + positions[:, None]
        return x.view(-1, 4, 16).sum(1) if BAD_VIEW else x

BAD_VIEW = "view" in sys.argv
"""


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "pkg" / "toy.py"
    path.parent.mkdir()
    path.write_text(MODEL, encoding="utf-8")
    return path


def found(*arguments: str, status: int = 1) -> list[dict[str, Any]]:
    done = CliRunner().invoke(
        main, ["trace", *arguments, "--isolated", "--no-cache", "--jobs", "1", "--output-format", "json"]
    )
    assert done.exit_code == status, done.output
    records: list[dict[str, Any]] = json.loads(done.stdout)["findings"]
    return records


def verdicts(records: list[dict[str, Any]]) -> list[tuple[str, str, int, str]]:
    return [(r["code"], r["path"], r["line"], r["verdict"]) for r in records]


def log(name: str) -> str:
    return str(logs.DATA / f"cpu-decorated-call-{name}.log.xz")


def test_a_prediction_is_confirmed_and_another_not_reached(model: Path) -> None:
    records = found(log("branch"), str(model))
    assert verdicts(records) == [
        ("VL201", "pkg/toy.py", 9, "confirmed"),
        ("VL204", "pkg/toy.py", 20, "not reached"),
    ]
    assert records[0]["column"] == 8, "the static half knows the expression"
    assert records[0]["root"]["name"] == "Toy.forward"
    assert "`x.size(0) % 128 != 0` held for the captured size 40; the guard was dropped" in records[0]["evidence"][0]


@pytest.mark.usefixtures("model")
def test_both_are_confirmed_where_the_run_came_to_both() -> None:
    assert [v[3] for v in verdicts(found(log("branch-and-view"), "pkg"))] == ["confirmed", "confirmed"]


@pytest.mark.usefixtures("model")
def test_the_captured_method_has_its_class_where_the_file_is_here(model: Path, tmp_path: Path) -> None:
    path = captured(model, tmp_path, logs.guard("s77 > 9", ("forward", 20, logs.MODEL)))
    text = Path(path).read_text().replace('"co_firstlineno": 10', '"co_firstlineno": 18')
    Path(path).write_text(text)
    assert [(r["line"], r["root"]["name"]) for r in found(path)] == [(20, "Toy.forward")]


def test_without_paths_the_log_speaks_alone() -> None:
    (branch,) = found(log("branch"))
    assert verdicts([branch]) == [("VL201", "/app/model/toy.py", 9, "confirmed")]
    assert [(step["line"], step["message"]) for step in branch["steps"]] == [(19, "calls `tile`")]
    assert "sizes such as 128, 256, 512" in branch["help"]


def test_a_file_of_other_text_is_not_taken_for_the_traced_one(model: Path) -> None:
    model.write_text(MODEL.replace("x = tile(", "x = 1 * tile("), encoding="utf-8")
    assert verdicts(found(log("branch"), "pkg")) == [
        ("VL201", "/app/model/toy.py", 9, "confirmed"),
        ("VL201", "pkg/toy.py", 9, "not reached"),
        ("VL204", "pkg/toy.py", 20, "not reached"),
    ]


def test_what_no_rule_predicted_is_reported_too(model: Path) -> None:
    # Without the decorator there is no compiled root, so the static half says nothing.
    model.write_text(MODEL.replace("@support_torch_compile\n", "\n"), encoding="utf-8")
    assert verdicts(found(log("branch"), "pkg")) == [("VL201", "pkg/toy.py", 9, "confirmed")]


def captured(model: Path, folder: Path, *guards: str, end: str | None = None) -> str:
    """A log of a capture of `MODEL` on this machine, whose graph has operations of line 20."""
    graph = f"        # File: {model}:20 in forward, code: {MODEL.splitlines()[19].strip()}"
    text = logs.strings() + logs.start() + logs.symbol("s77", "x") + "".join(guards) + (end or logs.end(graph=graph))
    (folder / "logs").mkdir()
    path = folder / "logs" / "a.log"
    path.write_text(text.replace(f'"{logs.MODEL}"', json.dumps(str(model))), encoding="utf-8")
    return str(path)


def test_a_line_that_was_captured_with_open_sizes_refutes_what_would_have_left_a_trace(
    model: Path, tmp_path: Path
) -> None:
    records = found(captured(model, tmp_path), "pkg", status=0)
    assert verdicts(records)[1] == ("VL204", "pkg/toy.py", 20, "refuted")
    assert "neither broke the graph nor fixed a size" in records[1]["evidence"][0]


def test_a_branch_is_not_refuted_by_operations_on_its_line(model: Path, tmp_path: Path) -> None:
    text = captured(model, tmp_path).replace("a.log", "b.log")
    (tmp_path / "logs" / "a.log").rename(text)
    log = Path(text)
    log.write_text(log.read_text().replace(f"{model}:20", f"{model}:9"), encoding="utf-8")
    assert verdicts(found(text, "pkg", status=0))[0] == ("VL201", "pkg/toy.py", 9, "not reached")


def test_a_condition_that_holds_for_every_size_refutes_a_branch(model: Path, tmp_path: Path) -> None:
    log = captured(model, tmp_path, logs.guard("s77 >= 2", ("forward", 19, logs.MODEL), ("tile", 9, logs.MODEL)))
    records = found(log, "pkg", status=0)
    assert verdicts(records)[0] == ("VL201", "pkg/toy.py", 9, "refuted")
    assert "holds for every size" in records[0]["evidence"][0]


def test_a_capture_that_failed_refutes_nothing(model: Path, tmp_path: Path) -> None:
    failed = logs.end(fail_type="RuntimeError", fail_reason="no luck")
    log = captured(model, tmp_path, end=logs.end().splitlines(keepends=True)[0] + failed)
    found_here = verdicts(found(log, "pkg"))
    assert ("VL204", "pkg/toy.py", 20, "not reached") in found_here
    assert ("capture-failed", "pkg/toy.py", 10, "confirmed") in found_here


def test_what_a_log_cannot_show_is_not_run(model: Path, tmp_path: Path) -> None:
    model.write_text(MODEL.replace("n % 128 == 0", "n == 1"), encoding="utf-8")
    assert verdicts(found(captured(model, tmp_path), "pkg", status=0))[0] == ("VL203", "pkg/toy.py", 9, "not run")


def test_the_sources_of_the_test_are_those_of_the_log() -> None:
    text = lzma.decompress((logs.DATA / "cpu-decorated-call-branch.log.xz").read_bytes()).decode()
    assert f"toy.py:19 in forward, code: {MODEL.splitlines()[18].strip()}" in text
