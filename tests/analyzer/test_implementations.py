"""Implementations of which configuration chooses one are all followed, and agree on what they return."""

from __future__ import annotations

import textwrap
from pathlib import Path

from vllm_lint.analyzer.engine import Settings, check
from vllm_lint.rules.catalogue import RULES

BASE = """
from abc import ABC, abstractmethod
import torch

class QuantizeMethodBase(ABC):
    @abstractmethod
    def apply(self, layer: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError
"""
METHODS = """
import torch
from vllm.model_executor.layers.quantization.base_config import QuantizeMethodBase

class Plain(QuantizeMethodBase):
    def apply(self, layer, x):
        return x @ layer.weight

class ByTokens(QuantizeMethodBase):
    def apply(self, layer, x):
        if x.shape[0] < 48:
            return x @ layer.weight
        return torch.ops.kernels.gemm(x, layer.weight)

class Inherited(ByTokens):
    pass
"""
MODEL = """
import torch
from torch import nn
from vllm.compilation.decorators import support_torch_compile
from vllm.model_executor.layers.quantization.base_config import QuantizeMethodBase

class Linear(nn.Module):
    def __init__(self, method: QuantizeMethodBase, width: int):
        super().__init__()
        self.method = method
        self.output_size_per_partition = width
    def forward(self, x):
        return self.method.apply(self, x)

@support_torch_compile
class Model(nn.Module):
    def __init__(self, method: QuantizeMethodBase):
        super().__init__()
        self.linear = Linear(method, 16)
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.linear(x)
        return y * 2 if y.shape[0] > 64 else y
"""


def test_every_implementation_is_followed(tmp_path: Path) -> None:
    quantization = tmp_path / "vllm" / "model_executor" / "layers" / "quantization"
    models = tmp_path / "vllm" / "model_executor" / "models"
    quantization.mkdir(parents=True)
    models.mkdir()
    for folder in (quantization, models, *list(models.parents)[:2], quantization.parent):
        (folder / "__init__.py").touch()
    for path, text in (
        (quantization / "base_config.py", BASE),
        (quantization / "methods.py", METHODS),
        (models / "model.py", MODEL),
    ):
        path.write_text(textwrap.dedent(text), encoding="utf-8")
    settings = Settings(paths=(tmp_path / "vllm",), base=tmp_path, search_installed=False, jobs=1)
    found = [(Path(f.path).name, f.line, f.code) for f in check(settings, RULES).findings]
    # One rows check in the model, whose tensor still has a row for each token, and one in an implementation.
    assert found == [("methods.py", 11, "VL201"), ("model.py", 22, "VL201")]
    (model_only,) = check(
        Settings(paths=(models / "model.py",), base=tmp_path, search_installed=False, jobs=1), RULES
    ).findings
    assert model_only.line == 22
