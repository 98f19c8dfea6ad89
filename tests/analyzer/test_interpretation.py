"""The values that the interpreter computes: what is known stays known, what is static is never flagged."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from tests.analyzer.programs import HEAD, check_model, found, run, write
from vllm_lint.analyzer.findings import Confidence

#: Bodies of `forward(self, x, y, maybe)`: `x` and `y` have a row for each token, `maybe` may be None.
BODIES = {
    # Narrowing
    "is None": """
        size = x.shape[0] if maybe is None else maybe.shape[1]
        if size > 64: x = -x  # expect: VL201
        """,
    "is not None": """
        if maybe is not None:
            if maybe.shape[0] > 64: x = -x  # expect: VL201
        """,
    "early return": """
        if maybe is None:
            return x
        if maybe.shape[1] > 64: x = -x
        if maybe.shape[0] > 64: x = -x  # expect: VL201
        """,
    "assertion": """
        assert maybe is not None
        if maybe.shape[0] > 64: x = -x  # expect: VL201
        """,
    "truth of a name": """
        size = x.shape[0]
        limit = None
        if limit and size > 64: x = -x
        limit = 64
        if limit and size > limit: x = -x  # expect: VL201
        """,
    "walrus": """
        if (size := x.shape[0]) > 64: x = -x  # expect: VL201
        if size > 32: x = -x  # expect: VL201
        if (width := x.shape[1]) > 64 or width > 32: x = -x
        """,
    "isinstance": """
        value = x.shape[0] if self.flag else x
        if isinstance(value, int):
            if value > 64: x = -x  # expect: VL201
        else:
            if value.shape[1] > 64: x = -x
        if isinstance(value, torch.Tensor): x = -x
        """,
    "isinstance of a tuple": """
        pair = (x, y)
        if isinstance(pair, tuple): x = pair[0]
        if x.shape[0] > 64: x = -x  # expect: VL201
        """,
    "not": """
        if not maybe is None and maybe.shape[0] > 64: x = -x  # expect: VL201
        if not x.shape[0] > 64: x = -x  # expect: VL201
        if not x.shape[1]: x = -x
        """,
    "raise ends the other way": """
        if self.flag:
            n = x.shape[0]
        else:
            raise ValueError("flag")
        if n > 64: x = -x  # expect: VL201
        """,
    "dead code": """
        if False:
            if x.shape[0] > 8: x = -x
        if x.shape[0] > 64: return -x  # expect: VL201
        return x
        if x.shape[0] > 16: x = -x
        """,
    "constant condition": """
        mode = "fast"
        if mode == "slow":
            if x.shape[0] > 8: x = -x
        elif mode == "fast":
            if x.shape[0] > 64: x = -x  # expect: VL201
        else:
            if x.shape[0] > 16: x = -x
        """,
    # Joins and loops
    "joined sizes": """
        if self.flag:
            n = x.shape[0]
        else:
            n = x.shape[1]
        if n > 64: x = -x  # expect: VL201
        """,
    "joined static sizes": """
        n = x.shape[1] if self.flag else 4
        if n > 64: x = -x
        if x.shape[0] > 64: x = -x  # expect: VL201
        """,
    "loop over constants": """
        n = 0
        for part in (x, y):
            n += part.shape[0]
        if n > 64: x = -x  # expect: VL201
        """,
    "loop over layers": """
        n = x.shape[0]
        for _ in range(self.depth):
            n = n // 2
        if n > 64: x = -x  # expect: VL201
        """,
    "static loop": """
        width = x.shape[1]
        for i in range(self.depth):
            width = width * 2 + i
            if width > 64: continue
            if i > 2: break
        if x.shape[0] > 64: x = -x  # expect: VL201
        """,
    "loop over a list that grows": """
        parts = []
        for i in range(self.depth):
            parts.append(x[:, i])
        if parts[0].shape[0] > 64: x = -x  # expect: VL201
        if len(parts) > 2: x = -x
        """,
    "while": """
        i = 0
        while i < 4:
            i += 1
        while x.shape[0] > 64:  # expect: VL201
            x = x * 2
            break
        """,
    "for else": """
        for i in range(3):
            if i == self.last: break
        else:
            if x.shape[0] > 64: x = -x  # expect: VL201
        """,
    "break keeps what it knows": """
        n = 1
        for i in range(self.depth):
            if i == self.last:
                n = x.shape[0]
                break
        if n > 64: x = -x  # expect: VL201
        """,
    "range of tokens": """
        for i in range(x.shape[0]): x = x + i  # expect: VL202
        for i in range(x.shape[1]): x = x + i
        for row in x: y = y + row  # expect: VL202
        """,
    # Exceptions and match
    "try": """
        try:
            n = x.shape[0]
        except AttributeError:
            n = 4
        finally:
            width = x.shape[1]
        if width > 64: x = -x
        if n > 64: x = -x  # expect: VL201
        """,
    "try else": """
        try:
            pass
        except ValueError:
            pass
        else:
            if x.shape[0] > 64: x = -x  # expect: VL201
        """,
    "match on a size": """
        match x.shape[0]:
            case 8:  # expect: VL201
                x = -x
            case _:
                x = x * 2
        """,
    "match on a constant": """
        match "fast":
            case "slow":
                if x.shape[0] > 8: x = -x
            case "fast":
                if x.shape[0] > 64: x = -x  # expect: VL201
        """,
    "match on configuration": """
        match self.kind:
            case "a" | "b":
                if x.shape[0] > 64: x = -x  # expect: VL201
            case other if other:
                if x.shape[1] > 64: x = -x
        """,
    "match takes apart": """
        match (x.shape[1], x.shape[0]):
            case (width, tokens):
                if tokens > 64: x = -x  # expect: VL201
                if width > 64: x = -x
        """,
    # Scopes
    "comprehension scope": """
        n = x.shape[1]
        sizes = [n for n in (x.shape[0], y.shape[0])]
        if n > 64: x = -x
        if sizes[0] > 64: x = -x  # expect: VL201
        """,
    "dictionary comprehension": """
        sizes = {k: v.shape[0] for k, v in (("x", x), ("y", y))}
        if sizes["y"] > 64: x = -x  # expect: VL201
        """,
    "condition in a comprehension": """
        kept = [t for t in (x, y) if t.shape[0] > 64]  # expect: VL201
        wide = [t for t in (x, y) if t.shape[1] > 64]
        """,
    "lambda": """
        n = x.shape[0]
        large = lambda limit: n > limit
        if large(64): x = -x  # expect: VL201
        """,
    # Unpacking and slices
    "unpacked shape": """
        n, width = x.shape
        if width > 64: x = -x
        if n > 64: x = -x  # expect: VL201
        """,
    "star": """
        n, *rest = x.shape
        *front, width = x.shape
        if width > 64 or len(rest) > 2: x = -x
        if n > 64: x = -x  # expect: VL201
        """,
    "nested": """
        (n, _), [m, w] = x.shape, y.size()
        if w > 64: x = -x
        if n > 64: x = -x  # expect: VL201
        if m > 32: x = -x  # expect: VL201
        """,
    "swapped": """
        n, width = x.shape
        n, width = width, n
        if n > 64: x = -x
        if width > 64: x = -x  # expect: VL201
        """,
    "slice of the shape": """
        if x.shape[1:] == y.shape[1:]: x = -x
        if x.shape[:1][0] > 64: x = -x  # expect: VL201
        if x.shape[-1] > 64: x = -x
        """,
    "slice of tokens": """
        n = x.shape[0]
        half = x[: n // 2]
        if half.shape[0] > 64: x = -x  # expect: VL201
        if half.shape[1] > 64: x = -x
        """,
    "at most": """
        head = x[: min(x.shape[0], 8)]
        if head.shape[0] > 64: x = -x
        if head.shape[0] > 4: x = -x  # expect: VL201
        """,
    # Arithmetic
    "computed": """
        n = (x.shape[0] + 127) // 128 * 128
        if n % 128 == 0: x = -x
        if n % 256 == 0: x = -x  # expect: VL201
        """,
    "cancelled": """
        n = x.shape[0]
        if n - n + 4 > 2: x = -x
        if (n * 8) // n > 4: x = -x
        if (n * 8) // 8 > 4: x = -x  # expect: VL201
        """,
    "number of elements": """
        if x.numel() > 4096: x = -x  # expect: VL201
        if x.numel() // x.shape[0] > 64: x = -x
        """,
    "length": """
        if len(x) > 64: x = -x  # expect: VL201
        if len(x.shape) > 2 or x.ndim > 2 or x.dim() > 2: x = -x
        """,
    "bool of a size": """
        large = bool(x.shape[0] > 64)  # expect: VL201
        wide = bool(x.shape[1] > 64)
        """,
    "any": """
        if any(s > 64 for s in (x.shape[1], 8)): x = -x
        if any(s > 64 for s in (x.shape[0], 8)): x = -x  # expect: VL201
        """,
    "in": """
        if x.shape[0] in (8, 16): x = -x  # expect: VL201
        if x.shape[1] in (8, 16): x = -x
        """,
    "chained": """
        if 8 < x.shape[0] < 64: x = -x  # expect: VL201
        if 8 < x.shape[1] < 64: x = -x
        """,
    "conditional expression": """
        scale = 2 if x.shape[0] > 64 else 1  # expect: VL201
        other = 2 if x.shape[1] > 64 else 1
        """,
    "other numbers than those tried": """
        if x.shape[0] == 77: x = -x  # expect: VL201
        if x.shape[0] // 3 != 101: x = -x  # expect: VL201
        """,
    # Tensors
    "padded to a multiple": """
        n = x.shape[0]
        padded = F.pad(x, (0, 0, 0, -n % 4))
        blocks = padded.view(-1, 4, x.shape[1])
        x = blocks.view(-1, x.shape[1])[:n]
        if x.shape[0] > 64: x = -x  # expect: VL201
        """,
    "not padded": """
        blocks = x.view(-1, 4, x.shape[1])  # expect: VL204
        """,
    "rounded down": """
        n = x.shape[0] // 4 * 4
        blocks = x[:n].view(n // 4, 4, x.shape[1])
        if blocks.shape[0] > 64: x = -x  # expect: VL201
        """,
    "heads": """
        q, k = x.split([x.shape[1] // 2, x.shape[1] // 2], dim=-1)
        q = q.view(-1, 8, 16).transpose(1, 2).reshape(-1, 128)
        if q.shape[1] > 64: x = -x
        if k.shape[0] > 64: x = -x  # expect: VL201
        """,
    "two inputs of one length": """
        x = x + y
        z = torch.cat([x, y], dim=-1)
        if z.shape[0] != x.shape[0]: x = -x
        if z.shape[0] > 64: x = -x  # expect: VL201
        """,
    "made from sizes": """
        z = torch.zeros(x.shape[0], 4)
        z2 = torch.empty_like(x)
        z3 = x.new_zeros((x.shape[1], x.shape[0]))
        if z3.shape[0] > 64: x = -x
        if z.shape[0] > 64: x = -x  # expect: VL201
        if z2.shape[0] > 32: x = -x  # expect: VL201
        if z3.shape[1] > 16: x = -x  # expect: VL201
        """,
    "static tensors": """
        weight = torch.zeros(8, 4)
        if weight.shape[0] > 4 and self.weight.shape[0] > 4: x = -x
        for row in weight: x = x + row.sum()
        if (x @ weight.t()).shape[0] > 64: x = -x  # expect: VL201
        """,
    "concatenated": """
        z = torch.cat([x, y])
        if z.shape[0] % 2: x = -x
        if z.shape[0] > 64: x = -x  # expect: VL201
        """,
    "reduced": """
        mean = x.mean(0)
        if mean.shape[0] > 64: x = -x
        total = x.sum(-1, keepdim=True)
        if total.shape[0] > 64: x = -x  # expect: VL201
        if total.shape[1] > 64: x = -x
        """,
    "truth of data": """
        if x.any(): x = -x  # expect: VL101
        if x.shape[1] and x.dtype == torch.float16: x = -x
        n = int(x.sum())
        if n > 4: x = -x  # expect: VL102
        """,
    "state of the module": """
        if self.training: x = -x
        if self.flag: x = -x
        if hasattr(self, "late"): x = -x
        if x.shape[0] > self.limit: x = -x  # expect: VL201
        if x.shape[1] > self.limit: x = -x
        """,
    "augmented": """
        n = x.shape[0]
        n *= 2
        n //= 4
        if n > 64: x = -x  # expect: VL201
        w = x.shape[1]
        w *= 2
        if w > 64: x = -x
        """,
    "deleted": """
        n = x.shape[0]
        m = n
        del n
        n = 4
        if n > 64: x = -x
        if m > 64: x = -x  # expect: VL201
        """,
}
MODEL = """
@support_torch_compile
class Model(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.flag = config.flag
        self.kind = config.kind
        self.depth = config.depth
        self.last = config.last
        self.limit = config.limit
        self.weight = nn.Parameter(torch.empty(config.width, 4))

    def forward(self, x: torch.Tensor, y: torch.Tensor, maybe: torch.Tensor | None = None):
{body}
        return x
"""


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_bodies(tmp_path: Path, body: str) -> None:
    check_model(tmp_path, MODEL.format(body=indent(dedent(body).strip("\n"), " " * 8)))


@pytest.mark.parametrize(
    "expression",
    [
        "library.act(x)",
        "library.Layer()(x)",
        "self.layer(x)",
        "self.act(x)",
        "unknown(x)",
        "self.table[self.kind](x)",
        "getattr(library, self.kind)(x)",
    ],
)
@pytest.mark.parametrize(
    "condition", ["{}.shape[0] > 64", "{}.shape[0] % 8 == 0", "{}", "len({}) > 2", "{}.size(0) > 4"]
)
def test_what_is_not_known_is_not_said_for_certain(tmp_path: Path, expression: str, condition: str) -> None:
    test = condition.format("z")
    text = f"""\
import library
from somewhere import *

@support_torch_compile
class Model(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.layer = library.Layer(config)
        self.act = library.ACTS[config.act]
        self.table = config.table
        self.kind = config.kind

    def forward(self, x: torch.Tensor):
        z = {expression}
        if {test}: x = -x
        z.view(-1, 4)
        return z
"""
    write(tmp_path, {"model.py": HEAD + text})
    result = run(tmp_path)
    assert [f for f in result.findings if f.confidence is Confidence.HIGH] == []
    write(tmp_path, {"model.py": HEAD + text.replace(f"z = {expression}", "z = x")})
    assert found(run(tmp_path)), "the same conditions on the input itself are flagged"
