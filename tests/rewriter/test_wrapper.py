"""What a wrapper takes, returns and leaves behind, and what it refuses."""

from __future__ import annotations

import ast
import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest

from vllm_lint.analyzer import engine
from vllm_lint.analyzer.engine import Settings
from vllm_lint.analyzer.source import SourceFile, read_source
from vllm_lint.cli.fixes import rewritten
from vllm_lint.rewriter.wrapper import WRAPPABLE, Wrapper, Wrapping
from vllm_lint.rules.catalogue import RULES

HEAD = """\
import torch
from torch import nn
from vllm.compilation.decorators import support_torch_compile


@support_torch_compile
class Model(nn.Module):
"""
PLAIN = """\
import torch
from torch import nn


class Model(nn.Module):
    @torch.compile(fullgraph=True)
"""


def offered(folder: Path, text: str) -> tuple[Wrapping | str, str]:
    """The wrapper of the first finding in `text`, and the text with it."""
    path = folder / "model.py"
    path.write_text(text)
    settings = Settings(paths=(path,), base=folder, search_installed=False, jobs=1)
    findings = [f for f in engine.check(settings, RULES).findings if f.code in WRAPPABLE]
    assert findings, "nothing is found"
    found = Wrapper(engine.program(settings), folder, findings).wrapped(findings[0])
    source = read_source(path, "model.py")
    assert isinstance(source, SourceFile)
    return found, rewritten(source, [found.fix]).text if isinstance(found, Wrapping) else text


def model(body: str, *, init: str = "", head: str = HEAD, arguments: str = "x: torch.Tensor") -> str:
    start = (
        f"    def __init__(self) -> None:\n        super().__init__()\n{textwrap.indent(init, ' ' * 8)}\n\n"
        if init
        else ""
    )
    forward = f"    def forward(self, {arguments}) -> torch.Tensor:\n{textwrap.indent(body, ' ' * 8)}\n"
    return f"{head}{start}{forward}"


def operator(text: str) -> ast.FunctionDef:
    """The first function at the top level."""
    return next(n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef))


def refused(folder: Path, text: str) -> str:
    found, _ = offered(folder, text)
    assert isinstance(found, str), found
    return found


def wrapped(folder: Path, text: str) -> str:
    found, after = offered(folder, text)
    assert isinstance(found, Wrapping), found
    assert not found.incomplete, after
    ast.parse(after)
    return after


BRANCH = "if x.shape[0] > 64:\n    # large batches\n    return x * 2\nreturn x + 1"


def test_a_branch_becomes_an_operator_of_vllm(tmp_path: Path) -> None:
    text = wrapped(tmp_path, model(BRANCH))
    assert "from vllm.utils.torch_utils import direct_register_custom_op\n" in text
    assert "        return torch.ops.vllm.model_forward(x)\n" in text
    assert "    # large batches\n" in text
    assert "    return x.new_empty(x.shape)\n" in text
    assert "mutates_args=[]" in text


def test_elsewhere_it_becomes_an_operator_of_torch(tmp_path: Path) -> None:
    text = wrapped(tmp_path, model("if x.sum() > 0:\n    return x * 2\nreturn x + 1", head=PLAIN))
    assert '@torch.library.custom_op("model::model_forward", mutates_args=())\n' in text
    assert "@model_forward.register_fake\n" in text
    assert "        return model_forward(x)\n" in text


def test_numbers_of_the_object_are_arguments(tmp_path: Path) -> None:
    body = "if x.shape[0] > self.limit:\n    return x * self.scale\nreturn x"
    text = wrapped(tmp_path, model(body, init="self.limit = 64\nself.scale = 2.0"))
    assert ast.unparse(operator(text).args) == "x: torch.Tensor, limit: int, scale: float"
    assert "torch.ops.vllm.model_forward(x, self.limit, self.scale)" in text


def test_what_may_be_an_argument_is_cloned(tmp_path: Path) -> None:
    text = wrapped(tmp_path, model("if x.shape[0] > 64:\n    x = x * 2\nreturn x.sum(-1)"))
    assert "return x.clone(memory_format=torch.contiguous_format)" in text
    assert "        x = torch.ops.vllm.model_forward(x)\n        return x.sum(-1)\n" in text


def test_what_the_block_writes_to_is_declared(tmp_path: Path) -> None:
    body = "y = torch.zeros_like(x)\nif x.shape[0] > 64:\n    y.add_(x)\nreturn y"
    text = wrapped(tmp_path, model(body))
    assert 'mutates_args=["y"]' in text
    assert "-> None:" in text
    assert "        torch.ops.vllm.model_forward(x, y)\n        return y\n" in text


def test_a_number_is_no_result_so_its_uses_come_along(tmp_path: Path) -> None:
    text = wrapped(tmp_path, model("block = 64 if x.shape[0] > 64 else 16\ny = x / block\nreturn y + 1"))
    assert "        y = torch.ops.vllm.model_forward(x)\n        return y + 1\n" in text


def test_a_decision_is_no_argument_so_it_comes_along(tmp_path: Path) -> None:
    text = wrapped(tmp_path, model("large = x.shape[0] > 64\nif large:\n    x = x * 2\nreturn x + 1"))
    assert ast.unparse(operator(text).args) == "x: torch.Tensor"


def test_results_over_several_dtypes_are_told(tmp_path: Path) -> None:
    text = wrapped(tmp_path, model("y = x.float()\nif x.shape[0] > 64:\n    y = y * 2\nreturn y.to(x.dtype)"))
    assert "return y.new_empty(y.shape)" in text


def test_a_shape_that_the_sides_do_not_share_is_left_to_write(tmp_path: Path) -> None:
    body = "if x.shape[0] > 64:\n    return x.repeat(2, 1)\nreturn x + 1"
    found, text = offered(tmp_path, model(body))
    assert isinstance(found, Wrapping)
    assert found.incomplete
    assert "left to write" in found.fix.title
    assert 'raise NotImplementedError("TODO:' in text


def test_text_over_several_lines_stays_as_it_is(tmp_path: Path) -> None:
    body = 'if x.shape[0] > 64:\n    text = """a\n  b"""\n    return x * len(text)\nreturn x + 1'
    assert '"""a\n          b"""' in wrapped(tmp_path, model(body))


def test_names_are_unique(tmp_path: Path) -> None:
    text = wrapped(tmp_path, model(BRANCH).replace("@support", "model_forward = 1\n\n\n@support"))
    assert 'op_name="model_forward_2"' in text


def test_a_layer_is_looked_up_by_name(tmp_path: Path) -> None:
    body = "if x.shape[0] > 64:\n    return self.large(x)\nreturn self.small(x)"
    text = model(body, init="self.large = nn.Linear(8, 8)\nself.small = nn.Linear(8, 8)")
    text = wrapped(tmp_path, text.replace("(self) -> None", '(self, prefix: str = "") -> None'))
    assert "    self = get_forward_context().no_compile_layers[layer_name]\n" in text
    assert "compilation_config.static_forward_context[prefix] = self\n        self.layer_name = prefix\n" in text
    assert "torch.ops.vllm.model_forward(x, self.layer_name)" in text
    assert "from vllm.config import get_current_vllm_config\n" in text


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("if x.shape[0] > 64:\n    self.calls = 1\n    x = x * 2\nreturn x", "it writes to `self.calls`"),
        ("if x.shape[0] > 64:\n    print(x.shape)\nreturn x * 2", ""),
        ("if x.shape[0] > 64:\n    return self.large(x)\nreturn x", "takes no `prefix`"),
        ("if x.shape[0] > 64:\n    return None\nreturn x", "may be None"),
        ("if x.shape[0] > 64:\n    return x, x\nreturn x", "more tensors on one path"),
        ("for _ in range(2):\n    if x.shape[0] > 64:\n        break\n    x = x + 1\nreturn x", ""),
    ],
)
def test_reasons(tmp_path: Path, body: str, reason: str) -> None:
    text = model(body, init="self.large = nn.Linear(8, 8)")
    found, after = offered(tmp_path, text)
    if reason:
        assert isinstance(found, str)
        assert reason in found
    else:
        assert isinstance(found, Wrapping)
        ast.parse(after)


def test_a_list_that_is_filled_is_not_passed(tmp_path: Path) -> None:
    body = (
        "seen = [x]\nfor _ in range(9):\n    if x.shape[0] > 64:\n        seen.append(x)\n    x = x + 1\nreturn seen[0]"
    )
    found, text = offered(tmp_path, model(body))
    assert isinstance(found, str) or "seen: list" not in text


def test_other_rules_are_not_answered(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(model("print(x.shape)\nreturn x"))
    settings = Settings(paths=(path,), base=tmp_path, search_installed=False, jobs=1)
    (finding,) = engine.check(settings, RULES).findings
    found = Wrapper(engine.program(settings), tmp_path, [finding]).wrapped(finding)
    assert found == "a custom operator does not help against print-in-graph"


@pytest.mark.skipif(shutil.which("ruff") is None, reason="ruff is not installed")
@pytest.mark.parametrize("head", [HEAD, PLAIN])
def test_generated_code_is_formatted(tmp_path: Path, head: str) -> None:
    body = "if x.sum() > self.limit:\n    return x * 2\nreturn x + 1"
    text = wrapped(
        tmp_path,
        model(body, init="self.limit = 64", head=HEAD)
        if head is HEAD
        else model(BRANCH.replace("shape[0]", "sum()"), head=head),
    )
    for command in (["format", "--check"], ["check", "--select", "E,F,I,UP,B"]):
        done = subprocess.run(
            ["ruff", *command, "--isolated", "-"], input=text, text=True, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
