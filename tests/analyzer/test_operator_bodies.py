"""What the implementation of an operator is seen to write to and to return."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.analyzer.programs import found, run, write

HEAD = """\
import torch, triton
import triton.language as tl
from torch import Tensor
from vllm.utils.torch_utils import direct_register_custom_op
"""
REGISTER = """
def fake(a: Tensor, b: Tensor) -> {returns}:
    return {result}
direct_register_custom_op('op', real, {declared}, fake)
"""

#: Bodies of `real(a, b)` that write to the argument that the comment names, in the line that has it.
WRITES = {
    "method": "a.view(-1).zero_()  # expect: VL304",
    "function": "torch.relu_(a)  # expect: VL304",
    "item": "a[b > 0] = 1  # expect: VL304",
    "item of a slice": "a[1:][0] += 1  # expect: VL304",
    "transposed": "a.T.add_(1)  # expect: VL304",
    "unpacked": "left, right = a.chunk(2)\nright.zero_()  # expect: VL304",
    "out": "torch.add(a, 1, out=b)  # expect: VL304",
    "one of several outs": "torch.max(a, 0, out=(b, b[0]))  # expect: VL304",
    "collective": "torch.distributed.all_reduce(a)  # expect: VL304",
    "kernel of vLLM": "torch.ops._C.rms_norm(b, a, a, 1e-5)  # expect: VL304",
    "kernel of vLLM by keyword": "torch.ops._C.rms_norm(input=a, result=b)  # expect: VL304",
    "in a loop": "for i in range(3):\n    a[i] = i  # expect: VL304",
    "in one arm": "if a.shape[0] > 1:\n    a.zero_()  # expect: VL304",
    "with": "with torch.no_grad():\n    a.zero_()  # expect: VL304",
    "try": "try:\n    a.zero_()  # expect: VL304\nexcept ValueError:\n    pass",
    "may be a copy": "a.contiguous().zero_()  # expect: VL304",
    "bound in an expression": "(c := a).zero_()  # expect: VL304",
    "helper": "outer(b, rows=a)",
    "lambda": "assign(a)",
}
#: Bodies that write to nothing of the caller's.
KEEPS = {
    "copy": "a = a.clone()\na.zero_()",
    "computed": "c = a + 1\nc += 1\nc[0] = 2",
    "number": "n = a.shape[0]\nn += 1",
    "other list": "parts = []\nparts += [a]\nparts.append(b)",
    "mask": "c = a[b > 0] * 1\nc.zero_()",
    "dead": "return\na.zero_()",
    "after a copy on both paths": "if a.shape[0] > 1:\n    a = a * 2\nelse:\n    a = a.clone()\na.zero_()",
    "unknown function": "import elsewhere\nelsewhere.run(a, out=b)",
    "not in place": "a.requires_grad_()\na.__len__()",
    "default": "optional(a)",
    "kernel that only loads": "load_kernel[(1,)](a, torch.empty_like(a), 8)",
    "itself": "real(a, b)",
}
HELPERS = """
def outer(x, rows, scale=None):
    if scale is not None:
        x.zero_()
    inner(rows[0])
def inner(row):
    row.fill_(1)  # expect: VL304
def optional(x, out=None):
    if out is None:
        out = torch.empty_like(x)
    out.copy_(x)
assign = lambda x: x.zero_()  # expect: VL304
@triton.jit
def load_kernel(x_ptr, out_ptr, n: tl.constexpr):
    p = x_ptr + tl.arange(0, n)
    x = tl.load(p)
    p = out_ptr + tl.arange(0, n)
    tl.store(p, x)
"""
KERNEL = """
@triton.jit
def kernel(x_ptr, index_ptr, out_ptr, n: tl.constexpr):
    offsets = tl.arange(0, n) + tl.load(index_ptr)
    ptrs = out_ptr + offsets
    ptrs += 1
    tl.store({address}, tl.load(x_ptr + offsets))
def real(a: Tensor, b: Tensor) -> None:
    kernel[(1,)](a, a, b, n=8)  # expect: VL304
"""


def check_body(tmp_path: Path, body: str, helpers: str = "", declared: str = "[]") -> list[tuple[str, int, str]]:
    lines = "\n    ".join(body.splitlines())
    text = f"{HEAD}{helpers}def real(a: Tensor, b: Tensor) -> None:\n    {lines}\n"
    write(tmp_path, {"ops.py": text + REGISTER.format(returns="None", result="None", declared=declared)})
    return found(run(tmp_path))


def expected(text: str) -> list[tuple[str, int, str]]:
    return [("ops.py", n, "VL304") for n, line in enumerate(text.splitlines(), 1) if line.endswith("# expect: VL304")]


@pytest.mark.parametrize("body", WRITES.values(), ids=WRITES.keys())
def test_a_write_to_an_argument_is_found_where_it_is_made(tmp_path: Path, body: str) -> None:
    called = [h for h in HELPERS.split("\ndef ") if h.startswith(("outer", "inner")) and "outer" in body]
    helpers = "".join(f"def {h}\n" for h in called)
    if "assign(" in body:
        helpers = "assign = lambda x: x.zero_()  # expect: VL304\n"
    assert check_body(tmp_path, body, helpers) == expected((tmp_path / "ops.py").read_text())
    assert expected((tmp_path / "ops.py").read_text())


@pytest.mark.parametrize("body", KEEPS.values(), ids=KEEPS.keys())
def test_what_is_no_argument_may_be_written_to(tmp_path: Path, body: str) -> None:
    assert check_body(tmp_path, body, HELPERS) == []


@pytest.mark.parametrize("body", [b for b in WRITES.values() if "(b, rows=a)" not in b and "assign(" not in b])
def test_what_is_declared_may_be_written_to(tmp_path: Path, body: str) -> None:
    assert check_body(tmp_path, body, declared="['a', 'b']") == []


@pytest.mark.parametrize(
    "address", ["ptrs", "ptrs + 2", "tl.multiple_of(ptrs, 4)", "ptrs.to(tl.pointer_type(tl.float32))"]
)
def test_a_triton_kernel_writes_to_what_it_stores_to(tmp_path: Path, address: str) -> None:
    text = HEAD + KERNEL.format(address=address)
    write(tmp_path, {"ops.py": text + REGISTER.format(returns="None", result="None", declared="[]")})
    result = run(tmp_path)
    assert found(result) == expected(text)
    assert "`b`" in result.findings[0].message


@pytest.mark.parametrize(
    ("returned", "codes"),
    [
        ("a", ["VL305"]),
        ("a.T", ["VL305"]),
        ("a[0]", ["VL305"]),
        ("a.narrow(0, 0, 1).detach()", ["VL305"]),
        ("a.reshape(-1)", ["VL305"]),
        ("a if a.shape[0] > 1 else b", ["VL305"]),
        ("a.clone()", []),
        ("a + 0", []),
        ("a[b > 0] + 1", []),
        ("a.contiguous() if b.numel() else a.clone()", []),
        ("a.contiguous() if b.numel() else a + 1", ["VL305"]),
        ("a if b.numel() else a.clone()", ["VL305"]),
    ],
)
def test_memory_of_an_argument_is_not_to_be_returned(tmp_path: Path, returned: str, codes: list[str]) -> None:
    text = f"{HEAD}def real(a: Tensor, b: Tensor) -> Tensor:\n    return {returned}\n"
    write(tmp_path, {"ops.py": text + REGISTER.format(returns="Tensor", result="torch.empty_like(a)", declared="[]")})
    assert [f.code for f in run(tmp_path).findings] == codes


@pytest.mark.parametrize(
    ("returned", "codes"),
    [("c, c", ["VL305"]), ("c, d", []), ("c, c.clone()", []), ("c.clone(), c.clone()", []), ("a + 1, b", ["VL305"])],
)
def test_two_results_have_memory_of_their_own(tmp_path: Path, returned: str, codes: list[str]) -> None:
    text = (
        f"{HEAD}def real(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:\n"
        f"    c, d = torch.empty(3), torch.zeros(3)\n    return {returned}\n"
    )
    result = "torch.empty(3), torch.empty(3)"
    registered = REGISTER.format(returns="tuple[Tensor, Tensor]", result=result, declared="[]")
    write(tmp_path, {"ops.py": text + registered})
    assert [f.code for f in run(tmp_path).findings if f.code == "VL305"] == codes


def test_recursion_comes_to_an_end(tmp_path: Path) -> None:
    helpers = "".join(f"def f{i}(x):\n    f{(i + 1) % 20}(x)\n    f{(i + 2) % 20}(x)\n" for i in range(20))
    assert check_body(tmp_path, "f0(a)", helpers) == []
