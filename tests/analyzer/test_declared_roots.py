"""Roots that the user names in the settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.analyzer.programs import check_program, root_names, run, write
from vllm_lint.analyzer.findings import Severity


def test_declared_roots(tmp_path: Path) -> None:
    files = {
        "pkg/__init__.py": "from pkg.layers import Layer as Exported\n",
        "pkg/layers.py": """\
            import torch

            class Base:
                def forward(self, x: torch.Tensor):
                    return x if x.shape[0] > 64 else -x

            class Layer(Base):
                def forward(self, x: torch.Tensor):
                    print("traced")  # expect: VL103
                    return x

            def act(x: torch.Tensor):
                print("traced")  # expect: VL103
                return x

            def other(x: torch.Tensor):
                print("not traced")
            """,
    }
    result = check_program(tmp_path, files, roots=("pkg:Exported", "pkg.layers:act"))
    assert root_names(result) == ["Layer.forward", "act"]
    assert {finding.severity for finding in result.findings} == {Severity.ERROR}


def test_declared_root_has_dynamic_inputs(tmp_path: Path) -> None:
    files = {
        "layers.py": """\
            import torch

            class Layer:
                def forward(self, x: torch.Tensor):
                    if x.shape[1] > 64: return x
                    return x if x.shape[0] > 64 else -x  # expect: VL201

            def act(x: torch.Tensor):
                return x if x.shape[0] > 64 else -x  # expect: VL201
            """
    }
    check_program(tmp_path, files, roots=("layers:Layer", "layers:act"))


def test_the_only_dynamic_dim_counts_tokens_wherever_it_is(tmp_path: Path) -> None:
    files = {
        "layers.py": """\
            import torch

            def act(x: torch.Tensor):
                y = x[:, :64]  # expect: VL208
                return y + x.select(1, 100)  # expect: VL208
            """
    }
    check_program(tmp_path, files, roots=("layers:act(x=1)",))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nowhere.at_all:Model", "no module nowhere.at_all"),
        ("model:Missing", "defines no class or function Missing"),
        ("model:CONSTANT", "defines no class or function CONSTANT"),
        ("model:Empty", "has no forward"),
        ("model", "package.module:Name"),
        ("model:", "package.module:Name"),
        (":Model", "package.module:Name"),
        ("model:Empty(x)", "`Name(argument=1)`"),
        ("model:Empty(x=1", "`Name(argument=1)`"),
    ],
)
def test_declared_root_that_is_not_there(tmp_path: Path, name: str, reason: str) -> None:
    write(tmp_path, {"model.py": "CONSTANT = 1\nclass Empty:\n    pass\n", "other.py": ""})
    (finding,) = run(tmp_path, roots=(name,)).findings
    assert (finding.code, finding.severity) == ("VL007", Severity.ERROR)
    assert finding.message.startswith(f"cannot check `{name}`: ")
    assert reason in finding.message


def test_method_as_declared_root(tmp_path: Path) -> None:
    files = {
        "model.py": """\
            import torch

            class Model:
                def encode(self, x: torch.Tensor):
                    return x if x.shape[0] > 64 else -x  # expect: VL201

                @staticmethod
                def embed(x: torch.Tensor):
                    return x if x.shape[0] > 32 else -x  # expect: VL201

                def forward(self, x: torch.Tensor):
                    print(x)
            """
    }
    check_program(tmp_path, files, roots=("model:Model.encode", "model:Model.embed"))


def test_dimensions_of_a_declared_root(tmp_path: Path) -> None:
    files = {
        "model.py": """\
            import torch

            class Model:
                def forward(self, ids: torch.Tensor, mask: torch.Tensor):
                    if ids.shape[0] > 8:
                        ids = -ids
                    if ids.shape[1] > 8:  # expect: VL201
                        ids = -ids
                    return ids if mask.shape[0] > 8 else mask
            """,
    }
    check_program(tmp_path, files, roots=("model:Model(ids=1)",))
