"""Builds what a job names: the regions that vLLM would compile."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from vllm_lint.runtime_verifier import standins
from vllm_lint.runtime_verifier.jobs import Job
from vllm_lint.runtime_verifier.outcomes import EagerFailed, line_of
from vllm_lint.runtime_verifier.regions import Dims, Region

HIDDEN = 8
"""Width of the inputs made for arguments that a module says nothing about."""


class TargetError(Exception):
    """The target cannot be built."""

    def __init__(self, outcome: EagerFailed) -> None:
        super().__init__(outcome.message)
        self.outcome = outcome


def regions(job: Job) -> Iterator[Region]:
    """The compiled forwards of the target of `job`.

    Raises:
        TargetError: it cannot be built, or does not run without compilation either.
    """
    if job.provider == "vllm":
        from vllm_lint.runtime_verifier import vllm_regions

        yield from vllm_regions.regions(job.target, job.trace_size)
    else:
        standins.install()
        yield from (load(job.path, job.target),)


def load(path: str, name: str) -> Region:
    """The forward of class `name` of the file at `path`, built without arguments.

    Raises:
        TargetError: importing or building it raises, or the class is not declared as compiled.
    """
    try:
        module = _import(Path(path))
        cls: type[torch.nn.Module] = getattr(module, name)
        dims: Dims | None = getattr(cls, standins.DIMS_ATTRIBUTE, None)
    except Exception as error:  # user code may raise anything
        raise TargetError(EagerFailed("import", line_of(error))) from error
    if dims is None or getattr(cls, standins.IGNORE_ATTRIBUTE, False):
        raise TargetError(EagerFailed("build", f"{name} is not decorated with support_torch_compile"))
    parameters = list(inspect.signature(cls.forward).parameters.values())[1:]

    def inputs(n: int) -> dict[str, Any]:
        torch.manual_seed(n)
        given = module.inputs(n) if hasattr(module, "inputs") else {}
        made = {p.name: torch.randn(n, HIDDEN) for p in parameters if p.default is p.empty and p.name not in given}
        return made | {p.name: given[p.name] for p in parameters if p.name in given}

    torch.manual_seed(0)
    try:
        built = cls()
    except Exception as error:
        raise TargetError(EagerFailed("build", line_of(error))) from error
    return Region(name, built, dims, inputs)


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
