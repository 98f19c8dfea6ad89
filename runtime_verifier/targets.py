"""Builds the module that a job names, and its inputs."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vllm_lint.runtime_verifier import standins
from vllm_lint.runtime_verifier.outcomes import EagerFailed

HIDDEN = 8
"""Width of the inputs made for arguments that a module says nothing about."""


class TargetError(Exception):
    """The target cannot be built."""

    def __init__(self, outcome: EagerFailed) -> None:
        super().__init__(outcome.message)
        self.outcome = outcome


@dataclass(frozen=True)
class Target:
    """A module to capture. `build` gives a fresh copy with the same weights every time."""

    name: str
    build: Callable[[], torch.nn.Module]
    inputs: Callable[[int], dict[str, Any]]
    dims: standins.Dims


def load(path: str, name: str) -> Target:
    """The target for class `name` of the file at `path`.

    Raises:
        TargetError: importing or building it raises, or the class is not declared as compiled.
    """
    try:
        module = _import(Path(path))
        cls: type[torch.nn.Module] = getattr(module, name)
        dims: standins.Dims | None = getattr(cls, standins.DIMS_ATTRIBUTE, None)
    except Exception as error:  # user code may raise anything
        raise TargetError(EagerFailed("import", _line(error))) from error
    if dims is None or getattr(cls, standins.IGNORE_ATTRIBUTE, False):
        raise TargetError(EagerFailed("build", f"{name} is not decorated with support_torch_compile"))
    parameters = list(inspect.signature(cls.forward).parameters.values())[1:]

    def build() -> torch.nn.Module:
        torch.manual_seed(0)
        return cls()

    def inputs(n: int) -> dict[str, Any]:
        torch.manual_seed(n)
        given = module.inputs(n) if hasattr(module, "inputs") else {}
        made = {p.name: torch.randn(n, HIDDEN) for p in parameters if p.default is p.empty and p.name not in given}
        return made | {p.name: given[p.name] for p in parameters if p.name in given}

    try:
        build()
    except Exception as error:
        raise TargetError(EagerFailed("build", _line(error))) from error
    return Target(name, build, inputs, dims)


def _import(path: Path) -> Any:
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
