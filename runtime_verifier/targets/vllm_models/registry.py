"""vLLM's registry of architectures, read in this process."""

from __future__ import annotations

import json
import re
import sys
import traceback
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ValidationError
from vllm.config import ModelConfig, VllmConfig
from vllm.model_executor.models import registry as vllm_registry
from vllm.multimodal.registry import MultiModalRegistry
from vllm.platforms import current_platform

from vllm_lint.runtime_verifier.targets.vllm_models.standin_packages import NotInstalled

#: What vLLM and torch say where a model has no code for CPUs.
_GPU_ONLY = re.compile(
    r"requires CUDA|requires the CUDA|only for CUDA|on CPU\b|not supported by backend CPU_ATTN|CPUAttentionBackendImpl"
    r"|dummy base class|'_moe_C' object|No module named 'cutlass|'set_allocator'|TORCH_SDPA"
    r"|'function' object is not subscriptable"  # a kernel in Triton
    r"|self\.scoring_func == .softmax.|No Unquantized MoE backend"
)

Stage = Literal["config", "build", "forward"]


class NotBuilt(Exception):
    """An architecture cannot be built or called. `str(error)` is one line for a user."""

    def __init__(self, stage: Stage, message: str) -> None:
        super().__init__(message)
        self.stage: Stage = stage


def architectures() -> tuple[str, ...]:
    """All names that vLLM's registry knows, sorted."""
    return tuple(sorted(vllm_registry.ModelRegistry.get_supported_archs()))


def model_class(architecture: str) -> type[torch.nn.Module]:
    """The class behind a name.

    Raises:
        NotBuilt: the name is unknown, or importing the class raises.
    """
    entry = vllm_registry.ModelRegistry.models.get(architecture)
    if entry is None:
        raise NotBuilt("config", f"vLLM knows no architecture {architecture}{_gone(architecture)}")
    try:
        loaded: type[torch.nn.Module] = entry.load_model_cls()
    except Exception as error:
        raise NotBuilt("build", one_line(error)) from error
    return loaded


def canonical(architecture: str) -> str:
    """The name that is the class's own where several names stand for one class."""
    models = vllm_registry.ModelRegistry.models
    entry, own = models[architecture], models.get(getattr(models[architecture], "class_name", ""))
    same = own is not None and (own.module_name, own.class_name) == (entry.module_name, entry.class_name)
    return entry.class_name if same else architecture


def is_draft(architecture: str) -> bool:
    """Whether the name is that of a draft head for speculative decoding."""
    return architecture in vllm_registry._SPECULATIVE_DECODING_MODELS


def inspect_in_process() -> None:
    """Have the registry look at model classes here: it would start a Python process for each."""

    def inspect(entry: Any) -> Any:
        return vllm_registry._ModelInfo.from_model_cls(entry.load_model_cls())

    def supports_multimodal(config: Any) -> bool:
        return bool(config.is_multimodal_model)

    def supports_multimodal_of(registry: Any, config: Any) -> bool:
        del registry
        return supports_multimodal(config)

    def accept(config: Any) -> None:
        del config

    vllm_registry._LazyRegisteredModel.inspect_model_cls = inspect
    # vLLM would ask the processor, which is made from files of the checkpoint, what inputs it limits to none.
    ModelConfig._supports_multimodal_inputs = supports_multimodal
    MultiModalRegistry.supports_multimodal_inputs = supports_multimodal_of  # the place of it before vLLM 0.32
    # A model is built and called here, and no model runner has a part in that.
    VllmConfig._validate_v1_model_runner = accept


def plain(name: str) -> str:
    """A name without what spelling varies in: case, underscores, hyphens."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def one_line(error: BaseException) -> str:
    """An exception as one line for a user: the cause that can be named, or what was raised."""
    if isinstance(error, ModuleNotFoundError) and error.name and not _GPU_ONLY.search(str(error)):
        return f"needs the package {error.name.partition('.')[0]}"
    if isinstance(error, NotInstalled):
        return str(error)
    if isinstance(error, ValidationError):  # pydantic wraps what a check of the configuration raised
        inner = error.errors()[0].get("ctx", {}).get("error")
        if isinstance(inner, Exception):
            return one_line(inner)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    name = type(error).__name__
    if name == "ValidationError" and len(lines) > 1:  # pydantic counts the errors first, then names the class
        lines = [lines[1].partition(" [type=")[0].removeprefix("Value error, ")]
    if not lines:  # the condition says more than nothing
        lines = [frame.line for frame in traceback.extract_tb(error.__traceback__)[-1:] if frame.line]
    text = f"{name}: {lines[0]}" if lines else name
    return f"only runs on a GPU: {text}" if _GPU_ONLY.search(text) and current_platform.is_cpu() else text


def _gone(architecture: str) -> str:
    version = vllm_registry._PREVIOUSLY_SUPPORTED_MODELS.get(architecture)
    return f": vLLM {version} was the last version to have it" if version else ""


def main() -> None:
    """Write what there is to standard output, as JSON in the form of `pool.Registry`."""
    models = vllm_registry.ModelRegistry.models
    named = {
        n: (models[n].module_name, models[n].class_name) for n in architectures() if hasattr(models[n], "module_name")
    }
    folder = str(Path(vllm_registry.__file__).resolve().parent)
    sys.stdout.write(json.dumps({"folder": folder, "models": named}) + "\n")
