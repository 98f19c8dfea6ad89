"""Calls of the encoders of images that vLLM compiles with `compile_mm_encoder`, without an image processor."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from vllm.compilation.wrapper import TorchCompileWithNoGuardsWrapper
from vllm.config import VllmConfig
from vllm.platforms import current_platform

from vllm_lint.runtime_verifier.targets.vllm_models.inputs import Call, context_for, normal

Inputs = Callable[[torch.nn.Module, VllmConfig, int], dict[str, Any]]


def encoder_calls(model: torch.nn.Module, vllm_config: VllmConfig) -> Iterator[Call]:
    """One call for each encoder that has compiled modules and takes inputs of a known form."""
    compiled = [
        name
        for name, module in model.named_modules()
        if isinstance(module, TorchCompileWithNoGuardsWrapper)
        and getattr(module, "_is_encoder", False)
        and not module.do_not_compile
    ]
    seen: set[str] = set()
    for name in compiled:
        found = _tower(model, name)
        if found is not None and found[0] not in seen:
            seen.add(found[0])
            yield _call(model.get_submodule(found[0]), found[1], vllm_config)


def _tower(model: torch.nn.Module, name: str) -> tuple[str, Inputs] | None:
    """The innermost module around a compiled one whose inputs can be made, that one included."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        candidate = ".".join(parts[:length])
        parameters = inspect.signature(model.get_submodule(candidate).forward).parameters
        for wanted, inputs in _FORMS:
            if wanted <= set(parameters):
                return candidate, inputs
    return None


def _call(tower: torch.nn.Module, inputs: Inputs, vllm_config: VllmConfig) -> Call:
    def run(n: int) -> object:
        with context_for(vllm_config, n):
            return tower(**inputs(tower, vllm_config, n))

    return Call("encoder", run, lambda n: context_for(vllm_config, n))


def _grid(tower: torch.nn.Module, config: VllmConfig, n: int) -> dict[str, Any]:
    """Flat patches of one image that is `n` merged patches wide, and its size in patches."""
    merge = int(getattr(tower, "spatial_merge_size", 2))
    count = merge * merge * n
    given: dict[str, Any] = {}
    for parameter in inspect.signature(tower.forward).parameters.values():
        if parameter.name == "grid_thw":
            as_list = "list" in str(parameter.annotation)
            grid = [[1, merge, merge * n]]
            given["grid_thw"] = grid if as_list else torch.tensor(grid)
        elif parameter.name == "patch_positions":
            rows = torch.arange(merge).repeat_interleave(merge * n)
            columns = torch.arange(merge * n).repeat(merge)
            given["patch_positions"] = torch.stack([torch.zeros_like(rows), rows, columns], 1)
        elif parameter.name in ("x", "pixel_values", "hidden_states"):
            given[parameter.name] = normal((count, _patch(tower)), n, config)
    return given


def _packed(tower: torch.nn.Module, config: VllmConfig, n: int) -> dict[str, Any]:
    """Patches of one image of one row, packed into a batch of one."""
    device = current_platform.device_type
    return {
        "pixel_values_packed": normal((1, n, _patch(tower)), n, config),
        "spatial_shapes": torch.tensor([[1, n]]),
        "cu_seqlens": torch.tensor([0, n], dtype=torch.int32, device=device),
        "max_seqlen": torch.tensor(n, device=device),
    }


def _images(tower: torch.nn.Module, config: VllmConfig, n: int) -> dict[str, Any]:
    """Images of one row of patches, no longer than the encoder allows, with `n` patches in all."""
    name = next(iter(inspect.signature(tower.forward).parameters))
    weight = next(p for p in tower.parameters() if p.ndim == 4)
    side = _side(tower) // weight.shape[-1]
    lengths = [side] * (n // side) + ([n % side] if n % side else [])
    shapes = [(weight.shape[1], weight.shape[2], weight.shape[3] * length) for length in lengths]
    return {name: [normal(shape, n + i, config) for i, shape in enumerate(shapes)]}


def _tiles(tower: torch.nn.Module, config: VllmConfig, n: int) -> dict[str, Any]:
    """`n` images of the size that the encoder is made for."""
    name, parameter = next(iter(inspect.signature(tower.forward).parameters.items()))
    if "list" in str(parameter.annotation):
        return _images(tower, config, n)
    return {name: normal((n, 3, _side(tower), _side(tower)), n, config)}


def _patch(tower: torch.nn.Module) -> int:
    """How many numbers a patch is: what the first layer takes."""
    weight = next(p for p in tower.parameters() if p.ndim > 1)
    return math.prod(weight.shape[1:])


def _side(tower: torch.nn.Module) -> int:
    size = getattr(getattr(tower, "config", None) or tower.args, "image_size", 84)
    return int(size[0] if isinstance(size, list | tuple) else size)


_FORMS: tuple[tuple[set[str], Inputs], ...] = (
    ({"x", "grid_thw"}, _grid),
    ({"pixel_values", "grid_thw"}, _grid),
    ({"hidden_states", "grid_thw"}, _grid),
    ({"pixel_values_packed", "spatial_shapes"}, _packed),
    ({"images"}, _images),
    ({"images_flattened"}, _tiles),
    ({"pixel_values"}, _tiles),
)
