"""Code of the kind that is found in vLLM and must not be flagged, next to near-twins that must."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rules.samples import codes, found
from vllm_lint.analyzer.engine import Settings, check
from vllm_lint.analyzer.findings import Severity
from vllm_lint.rules.catalogue import RULES

EINOPS = "from einops import rearrange, reduce, repeat\n"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("rearrange(x, '(b k) h -> b k h', k=4)", ["VL204"]),
        ("rearrange(x, '(b k) h -> b (k h)', b=2)", ["VL204"]),
        ("reduce(x, '(b k) h -> b h', 'mean', k=4)", ["VL204"]),
        ("rearrange(x, 'n (h d) -> n h d', d=4)", []),
        ("rearrange(x, '(n 1) h -> n h')", []),
        ("reduce(x, 'n h -> n 1', 'max')", []),
        ("torch.chunk(rearrange(x, 'n h -> h n'), 2, dim=0)", []),
        ("torch.chunk(rearrange(x, 'n h -> (n h)'), 2, dim=0)", ["VL204"]),
        ("torch.chunk(repeat(x, 'n h -> (k n) h', k=2), 2, dim=0)", []),
        ("torch.chunk(rearrange([x, x], 'k n h -> k n h'), 2, dim=0)", []),
        ("torch.chunk(rearrange(nn.functional.pad(x, (0, 1)), '... h -> h ...'), 2, dim=0)", []),
        ("torch.chunk(rearrange(nn.functional.pad(x, (0, 1)), '... h -> ... h'), 2, dim=0)", ["VL204"]),
        ("torch.chunk(rearrange(x, 'not a pattern'), 2, dim=0)", []),
    ],
)
def test_patterns_of_einops(tmp_path: Path, expression: str, expected: list[str]) -> None:
    assert codes(found(tmp_path, f"return {expression}", before=EINOPS)) == expected


LENGTHS = "\nrows = x.shape[0] if self.many else 1\ncount = self.scale.shape[0] if self.many else 1\n"


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("count != x.shape[0] and count != 1", []),
        ("rows != x.shape[0] and rows != 1", []),
        ("rows == x.shape[0] or rows == 1", []),
        ("rows != x.shape[0] and rows != 2", ["VL203"]),
        ("rows != 1 and self.other", ["VL203"]),
    ],
)
def test_operands_see_the_same_one_of_several_sizes(tmp_path: Path, condition: str, expected: list[str]) -> None:
    assert codes(found(tmp_path, f"{LENGTHS}if {condition}:\n    return x * 2\nreturn x")) == expected


def test_contiguity_of_one_row_is_a_warning(tmp_path: Path) -> None:
    (finding,) = found(tmp_path, "y = x.t()\nreturn y * 2 if self.fast and y.is_contiguous() else y")
    assert (finding.code, finding.severity) == ("VL203", Severity.WARNING)
    (size,) = found(tmp_path, "return x * 2 if x.shape[0] == 1 else x")
    assert (size.code, size.severity) == ("VL203", Severity.ERROR)


@pytest.mark.parametrize(
    ("statement", "kind", "expected"),
    [
        ("import fast_kernels", "ImportError", ["VL112"]),
        ("import math", "ImportError", []),
        ("import fast_kernels", "ValueError", ["VL104"]),
        ("importlib.import_module('fast')", "ImportError", ["VL105"]),
        ("y = x * 2", "ImportError", ["VL104"]),
    ],
)
def test_a_handler_of_failed_imports_is_never_traced(
    tmp_path: Path, statement: str, kind: str, expected: list[str]
) -> None:
    body = f"import importlib\ntry:\n    {statement}\nexcept {kind}:\n    logger.info('not there')\nreturn x"
    assert codes(found(tmp_path, body)) == expected


@pytest.mark.parametrize("decorator", ["functools.cache", "functools.lru_cache", "functools.lru_cache(maxsize=None)"])
def test_cached_functions_are_traced_however_often_they_ran(tmp_path: Path, decorator: str) -> None:
    before = f"import functools\n@{decorator}\ndef probe():\n    logger.info('probing')\n    return True\n"
    assert codes(found(tmp_path, "return x * 2 if probe() else x", before=before)) == ["VL104"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        # (3, n) and (n,) are told apart by the rank, which a parameter alone does not give.
        ("p = positions[0] if positions.ndim == 2 else positions\nif p.shape[-1] != x.shape[0]: raise ValueError", []),
        ("if positions.ndim == 2 and positions.shape[0] != 3: raise ValueError", []),
        ("two = positions.ndim == 2\nif two and positions.shape[0] != 3: raise ValueError", []),
    ],
)
def test_a_rank_that_is_assumed_decides_nothing(tmp_path: Path, body: str, expected: list[str]) -> None:
    arguments = "x: torch.Tensor, positions: torch.Tensor"
    ids = '@support_torch_compile(dynamic_arg_dims={"x": {0: "n"}, "positions": {0: "n"}})'
    assert codes(found(tmp_path, f"{body}\nreturn x", arguments, ids)) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("two = x.ndim == 2\nif two and x.shape[0] > 64: return x * 2", ["VL201"]),
        ("three = x.dim() == 3\nif three and x.shape[0] > 64: return x * 2", ["VL201"]),
        ("if len(x.shape) != 2 and x.shape[0] > 64: return x * 2", ["VL201"]),
        ("if x.ndim == 3: x = x[0]\nif x.shape[0] > 64: return x * 2", ["VL201"]),
        ("rows = x.shape[0] > 64\nx = x[:, 0]\nif rows: return x * 2", ["VL201"]),
    ],
)
def test_a_rank_that_is_asked_for_keeps_the_rows(tmp_path: Path, body: str, expected: list[str]) -> None:
    assert codes(found(tmp_path, f"{body}\nreturn x")) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("mrope = positions.ndim == 2\nif mrope and positions.shape[0] != 3: return x * 2", []),
        ("mrope = positions.ndim == 2\npositions = x\nif mrope and positions.shape[0] != 3: return x * 2", ["VL201"]),
        (
            "mrope = positions.ndim == 2\nmrope = self.fast\nif mrope and positions.shape[0] != 3: return x * 2",
            ["VL201"],
        ),
        ("plain = positions.ndim == 1\nif plain and positions.shape[0] != 3: return x * 2", ["VL201"]),
    ],
)
def test_what_a_variable_tells_about_a_rank(tmp_path: Path, body: str, expected: list[str]) -> None:
    last = '@support_torch_compile(dynamic_arg_dims={"x": 0, "positions": -1})'
    assert codes(found(tmp_path, f"{body}\nreturn x", "x: torch.Tensor, positions: torch.Tensor", last)) == expected


def test_an_assumed_rank_gives_way_to_a_known_one(tmp_path: Path) -> None:
    body = "y = x.unsqueeze(-2).repeat(1, 4, 1) if self.first else x\nreturn y.view(-1, y.shape[-2], 8)"
    assert not found(tmp_path, body)


@pytest.mark.parametrize(
    "body",
    [
        "width = 0 if self.plain else self.width\nreturn x.reshape(x.shape[0], self.heads, width)",
        "y = self.unknown(x)\nreturn y.view(x.shape[0], 2, 4)",
    ],
)
def test_views_with_sizes_that_are_not_known(tmp_path: Path, body: str) -> None:
    assert not found(tmp_path, body)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("n = x.shape[0] * pool\nassert n % factor == 0\nreturn x", []),
        ("y = x.repeat(pool, 1)\nreturn y.view(y.shape[0] // factor, 8 * factor)", []),
        ("n = x.shape[0]\nassert n % factor == 0\nreturn x", ["VL201"]),
        ("return x.view(x.shape[0] // factor, factor, x.shape[1])", ["VL204"]),
    ],
)
def test_a_multiple_of_one_setting_may_be_one_of_another(tmp_path: Path, body: str, expected: list[str]) -> None:
    assert codes(found(tmp_path, body, "x: torch.Tensor, pool: int, factor: int")) == expected


@pytest.mark.parametrize(("name", "expected"), [("attn_metadata", []), ("batch_descriptor", ["VL104"])])
def test_the_capture_has_no_attention_metadata(tmp_path: Path, name: str, expected: list[str]) -> None:
    before = "from vllm.forward_context import get_forward_context\n"
    body = f"metadata = get_forward_context().{name}\nif metadata is None:\n    return x\nlogger.info('step')\nreturn x"
    assert [c for c in codes(found(tmp_path, body, before=before)) if c != "VL603"] == expected


METHODS = """\
import abc
class Method(abc.ABC):
    @abc.abstractmethod
    def apply(self, x): ...
class Layer:
    def __init__(self, method: Method):
        self.method = method
    def forward(self, x):
        return self.method.apply(x)
"""
FAST = """\
from vllm.methods import Method
class Fast(Method):
    def apply(self, x):
        return x * 2 if x.shape[0] > 64 else x
"""
MODEL = """\
import torch
from torch import nn
from vllm.compilation.decorators import support_torch_compile
from vllm.methods import Layer, Method
@support_torch_compile
class M(nn.Module):
    def __init__(self, method: Method):
        super().__init__()
        self.layer = Layer(method)
    def forward(self, x: torch.Tensor):
        return self.layer.forward(x)
"""


@pytest.mark.parametrize(
    ("place", "expected"),
    [("kernels.py", ["VL201"]), ("models/other/ops.py", []), ("models/common/ops.py", ["VL201"])],
)
def test_what_a_model_defines_is_for_itself(tmp_path: Path, place: str, expected: list[str]) -> None:
    files = {"methods.py": METHODS, place: FAST, "models/one/model.py": MODEL}
    for name, text in files.items():
        path = tmp_path / "vllm" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        for folder in [*path.relative_to(tmp_path).parents][:-1]:
            (tmp_path / folder / "__init__.py").touch()
    result = check(Settings(paths=(tmp_path / "vllm",), base=tmp_path, search_installed=False, jobs=1), RULES)
    assert codes(list(result.findings)) == expected


@pytest.mark.parametrize(
    ("condition", "taken"),
    [
        ("'trt' in kind", False),
        ("'on' in kind", True),
        ("kind.upper() == 'NONE'", True),
        ("kind.startswith('x')", False),
        ("kind in {'a', 'b'}", False),
        ("kind not in {'a', 'none'}", False),
    ],
)
def test_what_is_known_of_text(tmp_path: Path, condition: str, taken: bool) -> None:
    before = f"def quantize(x, kind='none'):\n    return x * 2 if {condition} and x.shape[0] <= 32 else x\n"
    assert codes(found(tmp_path, "return quantize(x)", before=before)) == ["VL201"] * taken


def test_a_kernel_kept_in_a_class_is_launched_not_looked_up(tmp_path: Path) -> None:
    before = """\
        import triton
        @triton.jit
        def kernel(x, rows): ...
        class Launcher:
            kernel = staticmethod(kernel)
            def __call__(self, x):
                self.kernel[(x.shape[0], 2)](x, x.shape[0])
                return x
        LAUNCHER = Launcher()
        """
    assert not found(tmp_path, "return LAUNCHER(x)", before=before)


def test_a_tuple_of_tensors_is_unpacked_as_such(tmp_path: Path) -> None:
    text = """\
import torch
def rotate(x: torch.Tensor, angles: tuple[torch.Tensor, torch.Tensor] | None = None) -> torch.Tensor:
    cos, sin = angles
    return x * cos if cos.shape[0] > 64 else x * sin
"""
    (tmp_path / "model.py").write_text(text, encoding="utf-8")
    settings = Settings(
        paths=(tmp_path / "model.py",), base=tmp_path, search_installed=False, jobs=1, roots=("model:rotate",)
    )
    (finding,) = check(settings, RULES).findings
    assert (finding.code, finding.line) == ("VL201", 4)


def test_the_call_of_a_module_is_its_forward(tmp_path: Path) -> None:
    before = """\
        class Checkpointed(nn.Module):
            def __call__(self, *args, **kwargs):
                return super().__call__(*args, **kwargs)
        class Block(Checkpointed):
            def forward(self, x):
                return x * 2 if x.shape[0] > 64 else x
        BLOCK = Block()
        """
    assert codes(found(tmp_path, "return BLOCK(x)", before=before)) == ["VL201"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        # The operand that is asked is where the answer is frozen; what comes of it is a constant.
        ("big = x.shape[0] > 64 and self.fast\nreturn x * 2 if big else x", ["VL201"]),
        ("big = self.fast and x.shape[0] > 64\nreturn x * 2 if big else x", ["VL201"]),
        ("wide = self.fast and x.shape[-1] > 4\nif wide and x.shape[0] > 64: return x * 2\nreturn x", ["VL201"]),
    ],
)
def test_a_condition_is_reported_once(tmp_path: Path, body: str, expected: list[str]) -> None:
    assert codes(found(tmp_path, body)) == expected


@pytest.mark.parametrize(
    ("body", "severity"),
    [
        ("logger.info('here')\nreturn x", Severity.ERROR),
        ("if x.shape[0] > 64: logger.info('here')\nreturn x", Severity.WARNING),
        ("None if x.shape[0] > 64 else logger.info('here')\nreturn x", Severity.WARNING),
        ("None if self.fast else logger.info('here')\nreturn x", Severity.WARNING),
    ],
)
def test_an_arm_that_the_captured_batch_may_not_take(tmp_path: Path, body: str, severity: Severity) -> None:
    assert [f.severity for f in found(tmp_path, body) if f.code == "VL104"] == [severity]


COUNTER = """
class Layer(nn.Module):
    def __init__(self, save: bool):
        super().__init__()
        self.save = save
        self.calls = 0
    def forward(self, x):
        before = self.calls
        self.calls = (before + 1) % 16
        wrapped = self.calls == 0 and before == {last}
        if wrapped and self.save:
            logger.info('a full round')
        return x
layer = Layer(True)
"""


@pytest.mark.parametrize(("last", "expected"), [(15, []), (0, ["VL104"])])
def test_a_counter_is_where_it_began(tmp_path: Path, last: int, expected: list[str]) -> None:
    before = COUNTER.format(last=last).replace("% 16", "% 1" if last == 0 else "% 16")
    findings = codes(found(tmp_path, "for i in range(20): x = layer(x + i)\nreturn x", before=before))
    assert [c for c in findings if c != "VL602"] == expected


STAND_IN = """
def probe():
    logger.info('not there')
    return None
def quantize(x):
    return probe() or x
if {condition}:
    @torch.library.custom_op('own::quantize', mutates_args=())
    def quantize_fast(x: torch.Tensor) -> torch.Tensor:
        return x.clone()
    quantize_fast.register_fake(torch.empty_like)
"""


@pytest.mark.parametrize(("name", "expected"), [("quantize", []), ("quantize_fast", ["VL104"])])
def test_an_operator_supersedes_what_stands_in_for_it(tmp_path: Path, name: str, expected: list[str]) -> None:
    before = STAND_IN.format(condition="torch.cuda.is_available()").replace("quantize_fast", name)
    assert codes(found(tmp_path, "return quantize(x)", before=before)) == expected
