"""`vllm-lint suggest` shows what can be done about the findings on a line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from vllm_lint.cli.main import main

MODEL = """\
import torch
from torch import nn
from vllm.compilation.decorators import support_torch_compile


@support_torch_compile
class Model(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[0] > 64:
            return x * 2
        print(x.shape)
        return x + 1
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "other.py").write_text("def double(x):\n    return x * 2\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def suggest(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["suggest", *arguments, "--isolated", "--no-cache"])


def test_the_wrapper_is_shown_as_a_diff_with_its_costs(folder: Path) -> None:
    shown = suggest("model.py:9")
    assert shown.exit_code == 0, shown.output
    assert "1. move it into a custom operator `vllm::model_forward` (unsafe)" in shown.stdout
    assert "   - the compiler does not look inside" in shown.stdout
    assert "+        return torch.ops.vllm.model_forward(x)" in shown.stdout
    assert "what batch-size-branch says to use instead" in shown.stdout
    assert (folder / "model.py").read_text() == MODEL


@pytest.mark.usefixtures("folder")
def test_the_fix_of_the_rule_is_shown_too() -> None:
    shown = suggest("model.py:11")
    assert "(safe)" in shown.stdout
    assert "no custom operator: a custom operator does not help against print-in-graph" in shown.stdout


@pytest.mark.usefixtures("folder")
def test_blocks_of_github_make_the_fixed_file() -> None:
    shown = suggest("model.py:9", "--format", "github").stdout
    blocks = re.findall(r"model\.py, lines? (\d+)(?: to (\d+))?:\n```suggestion\n(.*?)\n```", shown, re.DOTALL)
    lines = MODEL.split("\n")
    for first, last, text in reversed(blocks):
        lines[int(first) - 1 : int(last or first)] = text.split("\n")
    edited = "\n".join(lines)
    compile(edited, "model.py", "exec")
    assert "return torch.ops.vllm.model_forward(x)" in edited
    assert edited.count("direct_register_custom_op") == 2


@pytest.mark.usefixtures("folder")
def test_json_has_all_of_it() -> None:
    (suggestion,) = json.loads(suggest("model.py:9:12", "--format", "json").stdout)
    assert suggestion["finding"]["code"] == "VL201"
    (alternative,) = suggestion["alternatives"]
    assert alternative["complete"]
    assert alternative["safety"] == "unsafe"
    assert alternative["diff"].startswith("--- a/model.py")
    assert suggestion["no_operator"] == ""


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("place", "status", "said"),
    [
        ("model.py", 2, "error: suggest: 'model.py' names no line: write FILE:LINE, such as model.py:12"),
        ("model.py:0", 2, "error: suggest: 'model.py:0' names no line: write FILE:LINE, such as model.py:12"),
        ("missing.py:3", 2, "error: suggest: no such file: missing.py"),
        ("model.py:99", 2, "error: suggest: model.py has 13 lines"),
        ("model.py:1", 3, "no finding at model.py:1: the nearest are at line 9, line 11"),
        ("model.py:9:1", 3, "no finding at model.py:9:1: the nearest are at line 9, line 11"),
        (
            "other.py:2",
            3,
            "no finding at other.py:2: no compiled root reaches this file; name the files that declare one as well",
        ),
    ],
)
def test_bad_input_gets_one_line(place: str, status: int, said: str) -> None:
    shown = suggest(place)
    assert (shown.exit_code, shown.stdout) == (status, "")
    assert shown.stderr == f"vllm-lint: {said}\n"


def test_a_file_that_is_no_python(folder: Path) -> None:
    (folder / "broken.py").write_text("def f(:\n")
    shown = suggest("broken.py:1")
    assert shown.exit_code == 0
    assert "a custom operator does not help against unparsable-file" in shown.stdout


def test_a_helper_of_another_file(folder: Path) -> None:
    (folder / "helper.py").write_text(
        "def scaled(x):\n    if x.shape[0] > 64:\n        return x * 2\n    return x + 1\n"
    )
    text = MODEL.replace("        print(x.shape)\n", "").replace("if x.shape[0] > 64", "if x.ndim > 64")
    text = text.replace("return x + 1", "return scaled(x)").replace(
        "import torch\n", "import torch\nfrom helper import scaled\n", 1
    )
    (folder / "model.py").write_text(text)
    shown = suggest("helper.py:2", "model.py")
    assert shown.exit_code == 0, shown.output
    assert "+    return helper_scaled(x)\n" in shown.stdout
    assert "+import torch\n" in shown.stdout
