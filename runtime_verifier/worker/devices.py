"""The device that targets run on. Imported by worker processes only."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import torch
from torch.utils._triton import has_triton

from vllm_lint.runtime_verifier.jobs import Provider
from vllm_lint.runtime_verifier.outcomes import EagerFailed
from vllm_lint.runtime_verifier.targets.regions import Region, TargetError


@contextmanager
def hidden() -> Iterator[None]:
    """Have torch see no GPU: a process that has used one cannot fork children that use it."""
    with ExitStack() as patches:
        patches.enter_context(patch.object(torch.cuda, "is_available", return_value=False))
        if hasattr(torch._C, "_ensureCUDADeviceGuardSet"):  # torch 2.10 and newer
            # Fake tensors call it, and it counts the devices.
            patches.enter_context(patch.object(torch._C, "_ensureCUDADeviceGuardSet"))
        yield
    has_triton.cache_clear()  # the children ask again


def require_gpu() -> None:
    """Replays from a CUDA graph need one.

    Raises:
        TargetError: torch finds none.
    """
    if not torch.cuda.is_available():
        raise TargetError(EagerFailed("build", "replay from a CUDA graph needs a GPU, and torch finds none"))


def platform(provider: Provider) -> str:
    """What the targets of a provider run on: `cpu`, or `cuda (NVIDIA H200)`."""
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    if provider == "vllm" and (platforms := sys.modules.get("vllm.platforms")):
        kind = platforms.current_platform.device_type
    return f"cuda ({torch.cuda.get_device_name()})" if kind == "cuda" else kind


def placed(region: Region) -> Region:
    """The region with its module and its inputs on the GPU, if there is one."""
    if not torch.cuda.is_available():
        return region
    module = region.module.to("cuda")
    for part in module.modules():
        for name, value in list(vars(part).items()):
            if isinstance(value, torch.Tensor):  # neither a parameter nor a buffer, so `to` leaves it where it is
                setattr(part, name, value.to("cuda"))

    def inputs(tokens: int) -> dict[str, Any]:
        given = region.inputs(tokens)
        return {name: _moved(value) for name, value in given.items()}

    return replace(region, module=module, inputs=inputs)


def _moved(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to("cuda")
    if hasattr(value, "tensors"):  # vLLM's IntermediateTensors
        return type(value)({name: tensor.to("cuda") for name, tensor in value.tensors.items()})
    return value


def synchronize() -> None:
    """Wait for the GPU, so that what fails there fails here."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def is_lost() -> bool:
    """Whether the GPU answers this process no more, as after an illegal memory access."""
    try:
        synchronize()
    except RuntimeError:
        return True
    return False


def tensors(inputs: Mapping[str, Any]) -> Iterator[torch.Tensor]:
    """The tensors among arguments, those of vLLM's IntermediateTensors included."""
    for value in inputs.values():
        if isinstance(value, torch.Tensor):
            yield value
        elif hasattr(value, "tensors"):
            yield from value.tensors.values()


def copied(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the same shapes in memory of their own."""
    return copy.deepcopy(dict(inputs))
