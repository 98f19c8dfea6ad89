"""When the fake implementation of an operator is known to disagree, and what traced ones must not ask."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.analyzer.programs import run, write
from vllm_lint.analyzer.engine import CheckResult

HEAD = """\
import torch
from torch import Tensor
from vllm.utils.torch_utils import direct_register_custom_op
SIZE = 4
def cdiv(a: int, b: int) -> int:
    return -(-a // b)
def made(like: Tensor, columns: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return like.new_empty((like.shape[0], columns), dtype=dtype)
"""


def checked(tmp_path: Path, real: str, fake: str, parameters: str = "x: Tensor, w: Tensor, n: int") -> CheckResult:
    body = "\n    ".join(real.splitlines())
    fake_body = "\n    ".join(fake.splitlines())
    text = (
        f"{HEAD}def real({parameters}) -> Tensor:\n    {body}\ndef fake({parameters}) -> Tensor:\n    {fake_body}\n"
        "direct_register_custom_op('op', real, [], fake)\n"
    )
    write(tmp_path, {"ops.py": text})
    return run(tmp_path)


DISAGREE = {
    "rank": ("return torch.empty(x.shape[0], n)", "return torch.empty(x.shape[0], n, 1)"),
    "rank by a list": ("s = [x.shape[0], n]\nreturn x.new_empty(s)", "return x.new_empty((n,))"),
    "multiple": ("return x.new_empty(x.shape[0], 2)", "return x.new_empty(2 * x.shape[0], 2)"),
    "constant": ("return x.new_empty(x.size(0), SIZE)", "return x.new_empty(x.size(0), 5)"),
    "more": ("m, k = x.shape\nreturn x.new_empty(m, k + 1)", "m, k = x.shape\nreturn x.new_empty(m, k)"),
    "half": ("return x.new_empty(n // 2)", "return x.new_empty(cdiv(n, 2) + 1)"),
    "tail": ("return x.new_empty((*x.shape[:-1], n))", "return x.new_empty((*x.shape[:-1], 2 * n))"),
    "dtype": ("return torch.empty_like(x, dtype=torch.float32)", "return torch.empty_like(x, dtype=torch.half)"),
    "cast": ("return torch.empty_like(x).float()", "return x.new_empty(x.shape, dtype=torch.bfloat16)"),
    "through a function": ("return made(x, n)", "return x.new_empty((x.shape[0], n), dtype=torch.int8)"),
    "device": ("return x.new_empty(n)", "return torch.empty(n, dtype=x.dtype)"),
    "every path": ("if n > 2:\n    return x.new_empty(2)\nreturn x.new_empty(3)", "return x.new_empty(4)"),
    "count": ("return x.new_empty(1), x.new_empty(2)", "return (x.new_empty(1),)"),
}
MAY_AGREE = {
    "same": ("return torch.empty(x.shape[0], n, device=x.device)", "return x.new_empty((x.size(0), n))"),
    "sizes of two": ("return x.new_empty(x.shape[1])", "return x.new_empty(w.shape[0])"),
    "dtype of an argument": ("return x.new_empty(n)", "return torch.empty(n, dtype=torch.half, device=x.device)"),
    "one path": ("return x.new_empty(2) if n else x.new_empty(3)", "return x.new_empty(3)"),
    "joined": ("if n:\n    s = (2,)\nelse:\n    s = (3,)\nreturn x.new_empty(s)", "return x.new_empty(3)"),
    "rank not known": ("return torch.empty_like(x)", "return x.new_empty(x.shape[0], x.shape[1])"),
    "kernel": ("return torch.ops._C.run(x)", "return x.new_empty(1)"),
    "replaced size": ("s = list(x.shape)\ns[0] = n\nreturn x.new_empty(s)", "return x.new_empty(n, 3)"),
    "counted": ("k = 1\nk += n\nreturn x.new_empty(k)", "return x.new_empty(2)"),
    "loop": ("for k in range(n):\n    pass\nreturn x.new_empty(k)", "return x.new_empty(2)"),
    "padded": ("return x.new_empty(cdiv(n, 4) * 4)", "return x.new_empty(n)"),
    "of no one": ("return unknown(x)", "return also_unknown(x)"),
    "itself": ("return real(x, w, n)", "return fake(x, w, n)"),
    "circle": ("a = b\nb = a\nreturn x.new_empty(a)", "return x.new_empty(3)"),
    "nothing": ("return", "return x.new_empty(3)"),
    "broken": ("return x.new_empty(*n, **w)", "return torch.empty()"),
}


@pytest.mark.parametrize(("real", "fake"), DISAGREE.values(), ids=DISAGREE.keys())
def test_results_that_can_never_be_the_same(tmp_path: Path, real: str, fake: str) -> None:
    assert [f.code for f in checked(tmp_path, real, fake).findings] == ["VL306"]


@pytest.mark.parametrize(("real", "fake"), MAY_AGREE.values(), ids=MAY_AGREE.keys())
def test_results_that_may_be_the_same(tmp_path: Path, real: str, fake: str) -> None:
    assert [f.code for f in checked(tmp_path, real, fake).findings] == []


@pytest.mark.parametrize(
    ("fake", "codes"),
    [
        ("if x.shape[0] > 8:\n    pass\nreturn x.new_empty(x.shape[0], 2)", ["VL307"]),
        ("m = x.size(0)\nk = 2 if m * 2 > n else 3\nreturn x.new_empty(m, k)", ["VL307"]),
        ("while x.numel() % 8:\n    pass\nreturn torch.empty_like(x)", ["VL307"]),
        ("for _ in range(x.shape[0]):\n    pass\nreturn torch.empty_like(x)", ["VL307"]),
        ("if n and not x.shape[0] <= 4:\n    return torch.empty_like(x)\nreturn torch.empty_like(x)", ["VL307"]),
        ("if x.shape[0] == 0:\n    pass\nreturn torch.empty_like(x)", []),
        ("if x.shape[0] > 8:\n    raise ValueError\nreturn torch.empty_like(x)", []),
        ("assert x.shape[0] > 8\nreturn torch.empty_like(x)", []),
        ("if w.shape[0] > 8 or x.shape[1] > 8 or n > 8:\n    pass\nreturn torch.empty_like(x)", []),
        ("k = w.sum().item()\nreturn x.new_empty(k)", ["VL308"]),
        ("k = int(w[0] + 1)\nreturn x.new_empty(k)", ["VL308"]),
        ("if torch.any(w > 0):\n    pass\nreturn torch.empty_like(x)", ["VL308"]),
        ("k = w.tolist()[0]\nreturn x.new_empty(k)", ["VL308"]),
        ("k = int(w.shape[1]) + w.dim() + int(w.numel())\nif w is None:\n    pass\nreturn x.new_empty(3, k)", []),
    ],
)
def test_what_a_fake_implementation_must_not_ask(tmp_path: Path, fake: str, codes: list[str]) -> None:
    assert [f.code for f in checked(tmp_path, "return elsewhere(x)", fake).findings] == codes


def test_what_is_computed_over_and_over_comes_to_an_end(tmp_path: Path) -> None:
    chain = "\n".join(f"a{i} = a{i + 1} + a{i + 1}" for i in range(60))
    assert not checked(tmp_path, f"{chain}\na60 = n\nreturn x.new_empty(a0)", "return x.new_empty(3)").findings
