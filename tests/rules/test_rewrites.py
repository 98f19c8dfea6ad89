"""The code that fixes write, and the forms for which none is offered."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vllm_lint.analyzer import engine
from vllm_lint.analyzer.engine import Settings
from vllm_lint.cli import fixes
from vllm_lint.rules.catalogue import RULES

HEAD = """import torch
from torch import nn
from torch.library import custom_op
from vllm.compilation.decorators import support_torch_compile
from vllm.utils.torch_utils import direct_register_custom_op
"""
MODEL = """

@support_torch_compile
class M(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(8, 8)
        self.register_buffer("seen", torch.zeros(8))

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
"""


def fixed(folder: Path, text: str) -> str:
    path = folder / "model.py"
    path.write_text(text)
    while True:
        result = engine.check(Settings(paths=(path,), base=folder, search_installed=False, jobs=1), RULES)
        if not fixes.write(fixes.rewrites(result, folder, unsafe=True)):
            return path.read_text()


def is_formatted(path: Path) -> bool:
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--check", str(path)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def forward(text: str) -> str:
    return HEAD + MODEL + "".join(f"        {line}\n" if line else "\n" for line in text.strip("\n").splitlines())


CHOICES = {
    "if": (
        "x = self.proj(x)\nif x.isnan().any():\n    x = torch.nan_to_num(x)\nreturn x",
        "x = self.proj(x)\nx = torch.where(x.isnan().any(), torch.nan_to_num(x), x)\nreturn x",
    ),
    "else": (
        "if x.isinf().any():\n    x = x * 2\nelse:\n    x = x / 2\nreturn x",
        "x = torch.where(x.isinf().any(), x * 2, x / 2)\nreturn x",
    ),
    "return": (
        "if (x > 0).all():\n    return x * 2\nreturn -x",
        "return torch.where((x > 0).all(), x * 2, -x)",
    ),
    "ternary": (
        "return x.abs() if x.sum() > 1 else x",
        "return torch.where(x.sum() > 1, x.abs(), x)",
    ),
    "not, or": (
        "if not x.any() or x.sum() > 1:\n    x = x * 2\nreturn x",
        "x = torch.where(~x.any() | (x.sum() > 1), x * 2, x)\nreturn x",
    ),
    "static part": (
        (
            "if x.dtype == torch.float16 and x.isinf().any():\n"
            "    # too large\n"
            "    bound = torch.finfo(x.dtype).max - 1000\n"
            "    x = torch.clamp(x, min=-bound, max=bound)  # cut\n"
            "return x"
        ),
        (
            "# too large\n"
            "if x.dtype == torch.float16:\n"
            "    bound = torch.finfo(x.dtype).max - 1000\n"
            "    x = torch.where(\n"
            "        x.isinf().any(),\n"
            "        torch.clamp(x, min=-bound, max=bound),\n"
            "        x,\n"
            "    )  # cut\n"
            "return x"
        ),
    ),
    "long": (
        "if x.isinf().any():\n    x = torch.clamp(x, min=-1000.0 * 60.0, max=1000.0 * 60.0 - 1.0)\nreturn x",
        (
            "x = torch.where(\n"
            "    x.isinf().any(),\n"
            "    torch.clamp(x, min=-1000.0 * 60.0, max=1000.0 * 60.0 - 1.0),\n"
            "    x,\n"
            ")\n"
            "return x"
        ),
    ),
}


@pytest.mark.parametrize(("before", "after"), CHOICES.values(), ids=CHOICES)
def test_a_choice_between_tensors(tmp_path: Path, before: str, after: str) -> None:
    assert fixed(tmp_path, forward(before)) == forward(after)
    assert is_formatted(tmp_path / "model.py")


@pytest.mark.parametrize(
    "text",
    [
        "if x.any():\n    x = y\nreturn x",  # another tensor, of who knows what shape
        "if x.any():\n    x = x.sum(0)\nreturn x",  # another shape
        "if x.any():\n    x = x * y\nreturn x",
        "if x.any():\n    x = x / 2\nreturn x",  # of integers it makes another type
        "if x.any():\n    x *= 2\nreturn x",  # it writes to the argument
        "if x.any():\n    x = self.proj(x)\nreturn x",  # who knows what else it does
        "if x.any():\n    x = x * 2\n    y = y * 2\nreturn x + y",
        "if x.any():\n    two = 2\n    x = x * two\nreturn x * two",  # somebody else reads it
        "if (x > 0)[0]:\n    x = x * 2\nreturn x",  # it has a row for each token
        "if x.sum():\n    x = x * 2\nreturn x",  # no boolean
        "while x.isinf().any():\n    x = x / 2\nreturn x",
        "if x.isinf().any():\n    raise ValueError\nreturn x",
        "scale = 2.0 if x.isinf().any() else 1.0\nreturn x * scale",  # numbers
        "if 0 < x.sum() < 1:\n    x = x * 2\nreturn x",
        "return (x if x.isinf().any() else x * 2) + 1",
        "torch = self.proj\nif x.isinf().any():\n    x = x * 2\nreturn x",
        "if y is None:\n    pass\nelif x.isinf().any():\n    x = x * 2\nreturn x",
        "if len(self.seen.shape) and x.isinf().any():\n    x = x * 2\nreturn x",
    ],
)
def test_where_the_sides_may_differ_nothing_is_offered(tmp_path: Path, text: str) -> None:
    assert fixed(tmp_path, forward(text)) == forward(text)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "self.seen = self.seen * 0.5 + x.sum(0)[:8]\nreturn x + self.seen",
            "self.seen.copy_(self.seen * 0.5 + x.sum(0)[:8])\nreturn x + self.seen",
        ),
        ("self.seen = x\nreturn x + self.seen", None),  # of every step's size, and the caller's
        ("old = self.seen\nself.seen = self.seen * 2\nreturn x + old", None),  # somebody has it
        ("self.seen = self.seen * 2\nreturn self.seen", None),
        ("self.seen = self.seen[:4] * 2\nreturn x + self.seen.sum()", None),
    ],
)
def test_a_buffer_is_written_where_it_is(tmp_path: Path, before: str, after: str | None) -> None:
    assert fixed(tmp_path, forward(before)) == forward(after or before)
    assert is_formatted(tmp_path / "model.py")


FAKE = "\n\ndef fake(x: torch.Tensor) -> torch.Tensor:\n    return torch.empty_like(x)\n"
DOES = "\n\ndef double(x: torch.Tensor) -> None:\n    x.mul_(2)\n\n\n"
LONG = '"a_name_that_is_long_enough_for_a_line_of_its_own_nearly"'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            'direct_register_custom_op("double", double)',
            'direct_register_custom_op("double", double, mutates_args=["x"])',
        ),
        (
            'direct_register_custom_op("double", double, [])',
            'direct_register_custom_op("double", double, ["x"])',
        ),
        (
            'direct_register_custom_op("double", double, mutates_args=None)',
            'direct_register_custom_op("double", double, mutates_args=["x"])',
        ),
        (
            f"direct_register_custom_op({LONG}, double)",
            f'direct_register_custom_op(\n    {LONG},\n    double,\n    mutates_args=["x"],\n)',
        ),
        ('custom_op("a::double", double, mutates_args=())', 'custom_op("a::double", double, mutates_args=("x",))'),
        ('direct_register_custom_op("double", double, list(()))', None),
        ('options = {"mutates_args": []}\ndirect_register_custom_op("double", double, **options)', None),
        ('torch.library.define("a::double", "(Tensor x) -> ()")\ntorch.library.impl("a::double", "CPU", double)', None),
    ],
)
def test_a_write_is_declared(tmp_path: Path, before: str, after: str | None) -> None:
    text = f"{HEAD}{DOES}{{}}\n"
    assert fixed(tmp_path, text.format(before)) == text.format(after or before)
    assert is_formatted(tmp_path / "model.py")


def test_of_two_writes_both_are_declared_in_the_order_of_the_arguments(tmp_path: Path) -> None:
    both = "\n\ndef both(a: torch.Tensor, b: torch.Tensor) -> None:\n    b.add_(1)\n    a.add_(1)\n\n\n"
    text = f'{HEAD}{both}direct_register_custom_op("both", both, {{}})\n'
    assert fixed(tmp_path, text.format("[]")) == text.format('["a", "b"]')


@pytest.mark.parametrize(
    ("body", "made"),
    [
        ("out = torch.empty_like(x)\n    out.copy_(x)\n    return out", "torch.empty_like(x)"),
        ("return x.clone()", "x.clone()"),
        ("out = x.new_empty((x.size(0), k))\n    return out", "x.new_empty((x.size(0), k))"),
        ("out = torch.empty_like(x)\n    out.resize_(3)\n    return out", None),
        ("out = torch.empty_like(x)\n    out = out.t()\n    return out", None),
        ("x = x.t()\n    return torch.empty_like(x)", None),  # another x
        ("if k:\n        return x.clone()\n    return torch.empty(k)", None),
        ("out = x * 2\n    return out", None),
        ("out, rest = torch.empty_like(x), 1\n    return out", None),
        ("return torch.empty(OTHER)", None),
    ],
)
def test_a_fake_implementation_is_written_where_the_real_one_shows_its_result(
    tmp_path: Path, body: str, made: str | None
) -> None:
    head = "(x: torch.Tensor, k: int) -> torch.Tensor:\n    "
    real = f"{HEAD}\nOTHER = 3\n\n\ndef real{head}{body}\n\n\n"
    fake = f"def real_fake{head}return {made}\n\n\n" if made else ""
    added = ", fake_impl=real_fake" if made else ""
    register = 'direct_register_custom_op("real", real, []{})\n'
    assert fixed(tmp_path, real + register.format("")) == real + fake + register.format(added)
    decorated = (
        real.replace("def real", '@torch.library.custom_op("a::real", mutates_args=())\ndef real').rstrip() + "\n"
    )
    also = f"\n\n@real.register_fake\ndef _{head}return {made}\n" if made else ""
    assert fixed(tmp_path, decorated) == decorated + also
    assert is_formatted(tmp_path / "model.py")


@pytest.mark.parametrize(
    ("body", "copied"),
    [
        ("return x", "return x.clone()"),
        ("return x.t()", None),
        ("return x, x", None),
        ("x.add_(1)\n    return x", None),  # declared as written
    ],
)
def test_a_copy_is_returned(tmp_path: Path, body: str, copied: str | None) -> None:
    written = '["x"]' if "add_" in body else "[]"
    returns = "tuple[torch.Tensor, torch.Tensor]" if "x, x" in body else "torch.Tensor"
    text = (
        f"{HEAD}{FAKE}\n\ndef real(x: torch.Tensor) -> {returns}:\n    {{}}\n\n\n"
        f'direct_register_custom_op("real", real, {written}, fake)\n'
    )
    assert fixed(tmp_path, text.format(body)) == text.format(copied or body)


ROTARY = """
class M(nn.Module):
    def forward(self, positions: torch.Tensor, qkv: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        query, _ = qkv.split([8, 16], dim=-1)
        return query.view(positions.shape[0], 2, -1).sum(1)
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "@support_torch_compile",
            (
                "@support_torch_compile(\n"
                "    dynamic_arg_dims={\n"
                '        "positions": {0: "tokens"},\n'
                '        "qkv": {0: "tokens"},\n'
                '        "z": 0,\n'
                "    }\n"
                ")"
            ),
        ),
        (
            '@support_torch_compile(dynamic_arg_dims={"positions": 0, "qkv": -2})',
            (
                "@support_torch_compile(\n    dynamic_arg_dims={\n"
                '        "positions": {0: "tokens"},\n        "qkv": {-2: "tokens"},\n    }\n)'
            ),
        ),
        (
            '@support_torch_compile(dynamic_arg_dims={"positions": {0: "n"}, "qkv": 0})',
            '@support_torch_compile(dynamic_arg_dims={"positions": {0: "n"}, "qkv": {0: "n"}})',
        ),
        ('DIMS = {"positions": 0, "qkv": 0}\n\n\n@support_torch_compile(dynamic_arg_dims=DIMS)', None),
        ("@support_torch_compile(enable_if=lambda config: True)", None),
    ],
)
def test_inputs_get_one_shape_id(tmp_path: Path, before: str, after: str | None) -> None:
    text = HEAD + "\n\n{}" + ROTARY
    assert fixed(tmp_path, text.format(before)) == text.format(after or before)
