"""Random weights of a size that lets differences show."""

from __future__ import annotations

import math

import torch


def fill(model: torch.nn.Module) -> None:
    """Draw every floating-point parameter: outputs of order 1, from a fixed seed.

    vLLM's dummy weights are within 1e-3, so that any comparison passes.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.is_floating_point() and not parameter.is_meta:
                parameter.copy_(_values(name, tuple(parameter.shape), generator))


def _values(name: str, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    values = torch.randn(shape, generator=generator, device="cpu")
    leaf = name.rpartition(".")[2]
    if leaf in ("A", "A_log"):  # decay of a state space model: negative, or the logarithm of its size
        return -values.abs() if leaf == "A" else values * 0.1
    if "bias" in leaf:
        return values * 0.1
    if len(shape) < 2:  # scales, around 1 and all different
        return 1 + values * 0.1
    if "embed" in name or leaf.startswith("wte"):
        return values
    return values / math.sqrt(math.prod(shape[1:]) if len(shape) != 3 else shape[-1])
