"""Classes and functions of a user's file, with inputs from annotations and hints."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.verify.conftest import Verify
from vllm_lint.runtime_verifier.jobs import Job
from vllm_lint.runtime_verifier.outcomes import EagerFailed, ShapeGuard, WrongAnswer
from vllm_lint.runtime_verifier.pool import Pool

pytestmark = pytest.mark.torch

BRANCH = """
class M(nn.Module):
    def forward(self, {arguments}):
        return {value} * 2 if {value}.shape[{dim}] % 32 == 0 else {value}
"""
IGNORED = """
from vllm.compilation.decorators import ignore_torch_compile

@ignore_torch_compile
class M(nn.Module):
    def forward(self, x):
        return x
"""


def guards(verify: Verify, source: str, **options: object) -> list[str]:
    result = verify(source, **options)
    assert not any(isinstance(o, EagerFailed) for o in result.outcomes), result.outcomes
    assert any(isinstance(o, WrongAnswer) for o in result.outcomes), result.outcomes
    return [o.expression for o in result.outcomes if isinstance(o, ShapeGuard)]


def failure(verify: Verify, source: str, **options: object) -> str:
    (outcome,) = verify(source, **options).outcomes
    assert isinstance(outcome, EagerFailed)
    return outcome.message


@pytest.mark.parametrize(
    ("arguments", "value", "dim", "shape"),
    [
        ("x: torch.Tensor", "x", 0, ""),
        ("x", "x", 0, ""),
        ("x: 'torch.Tensor | None', y: int | None", "x", 0, ""),
        ("scale: float, x: torch.Tensor, flag: bool", "x", 0, ""),
        ("x: torch.Tensor", "x", 1, "x=3,n,4"),
        ("a: torch.Tensor, x: torch.Tensor = None", "x", 1, "x=3,n:int64"),
    ],
)
def test_sizes_of_an_undecorated_module_are_dynamic(
    verify: Verify, arguments: str, value: str, dim: int, shape: str
) -> None:
    source = BRANCH.format(arguments=arguments, value=value, dim=dim)
    assert guards(verify, source, shape=shape) == [f"{value}.size({dim}) % 32 == 0"]


def test_names_tell_the_types_of_numbers(verify: Verify) -> None:
    source = """
    class M(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(5, 24)
            self.norm = nn.LayerNorm(24)

        def forward(self, input_ids: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor, x: torch.Tensor):
            assert (input_ids.dtype, positions.dtype, mask.dtype) == (torch.int64, torch.int64, torch.bool)
            h = self.norm(self.embed(input_ids) + x) * mask[:, None] + positions[:, None]
            return h * 2 if h.shape[0] > 64 else h
    """
    (guard,) = guards(verify, source)
    assert guard.endswith(".size(0) > 64")


def test_arguments_of_the_class_come_from_annotations(verify: Verify) -> None:
    source = """
    class M(nn.Module):
        def __init__(self, hidden_size: int, num_layers: int, eps: float, prefix: str = ""):
            super().__init__()
            self.layers = nn.ModuleList(nn.Linear(hidden_size, hidden_size) for _ in range(num_layers))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for layer in self.layers:
                x = layer(x)
            return x if x.shape[0] % 32 else x * 2
    """
    assert guards(verify, source) == ["x.size(0) % 32 == 0"]


@pytest.mark.parametrize("decorator", ["", "@torch.compile"])
def test_a_function_is_a_target(verify: Verify, decorator: str) -> None:
    source = f"{decorator}\ndef M(x, bias=None):\n    return x * 2 if x.shape[0] > 64 else x\n"
    assert guards(verify, source) == ["x.size(0) > 64"]


def test_an_instance_and_a_dotted_name_are_targets(verify: Verify) -> None:
    source = BRANCH.format(arguments="x", value="x", dim=0) + "class Models:\n    first = M()\n"
    assert guards(verify, source, target="Models.first") == ["x.size(0) % 32 == 0"]


def test_the_files_own_inputs_win(verify: Verify) -> None:
    source = BRANCH.format(arguments="x, y", value="x", dim=1) + "def inputs(n):\n    return {'x': torch.randn(1, n)}\n"
    assert guards(verify, source, shape="x=n,8 y=n") == ["x.size(1) % 32 == 0"]


def test_a_file_of_a_package_is_imported_under_its_full_name(pool: Pool, tmp_path: Path) -> None:
    package = tmp_path / "package" / "models"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").write_text("")
    (package.parent / "sizes.py").write_text("LIMIT = 64\n")
    (package / "queue.py").write_text(
        "from ..sizes import LIMIT\n\ndef run(x):\n    return x * 2 if x.shape[0] > LIMIT else x\n"
    )
    by_path = Job(path=str(package / "queue.py"), target="run", standins=True)
    by_name = Job(path="package.models.queue", search=(str(tmp_path),), target="run", standins=True)
    for job in (by_path, by_name):
        found = [o.expression for o in pool.run(job).outcomes if isinstance(o, ShapeGuard)]
        assert found == ["x.size(0) > 64"]


def test_a_file_may_have_the_name_of_a_loaded_module(pool: Pool, tmp_path: Path) -> None:
    path = tmp_path / "json.py"
    path.write_text("def run(x):\n    return x * 2\n")
    assert pool.run(Job(path=str(path), target="run", standins=True)).outcomes == ()


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("class Model(nn.Module): pass", {"target": "Modell"}, "has no Modell; did you mean Model?"),
        ("class M: pass", {}, "M is a class, but not one of torch.nn.Module"),
        ("M = 3", {}, "M is an int, neither a class of torch.nn.Module nor a function"),
        (
            "class M(nn.Module):\n    def __init__(self, config): pass",
            {},
            "nothing is known of the argument `config` of M",
        ),
        ("class M(nn.Module):\n    def __init__(self): 1 / 0", {}, "M() raises ZeroDivisionError: division by zero"),
        (
            "def M(x, meta: dict): return x",
            {},
            "nothing is known of the argument `meta: dict` of forward; write `def inp",
        ),
        ("def M(x: int): return torch.ones(x)", {}, "no argument of M is a tensor whose size is the number of tokens"),
        ("def M(x): return x", {"shape": "y=n"}, "forward(x) has no argument 'y', of which a shape is given"),
        ("def M(x): return x", {"shape": "x"}, "'x' is no shape: expected NAME=SIZE,SIZE"),
        ("def M(x): return x\ndef inputs(n): return [1]", {}, "inputs(96) returns a list of 1 (int), not a dict"),
        ("def M(x): return x @ torch.ones(3, 3)", {}, "it was called with x=n,8:float32, which --shape can change"),
        (
            IGNORED,
            {},
            "vLLM does not compile M, by ignore_torch_compile or enable_if",
        ),
        ("import vllm.nothing", {}, "it needs vLLM itself: name the Python that has it with --python"),
    ],
)
def test_what_cannot_be_built_says_why(verify: Verify, source: str, options: dict[str, object], message: str) -> None:
    assert message in failure(verify, source, **options)


@pytest.mark.vllm
def test_a_class_that_the_installed_vllm_decorates(verify: Verify) -> None:
    source = """
    from vllm.compilation.decorators import support_torch_compile
    from vllm.model_executor.layers.layernorm import RMSNorm
    from vllm.model_executor.layers.linear import ColumnParallelLinear

    @support_torch_compile(dynamic_arg_dims={"x": -1})
    class M(nn.Module):
        def __init__(self, hidden_size: int):
            super().__init__()
            self.norm = RMSNorm(hidden_size)
            self.linear = ColumnParallelLinear(hidden_size, hidden_size, bias=False)
            nn.init.normal_(self.linear.weight)

        def forward(self, x: torch.Tensor, y: torch.Tensor):
            h, _ = self.linear(self.norm(y))
            return x * h.sum() if x.shape[1] % 32 == 0 else x
    """
    assert guards(verify, source, standins=False, shape="x=8,n y=3,8", timeout=120) == ["x.size(1) % 32 == 0"]
