"""Calls of a model as vLLM's model runner makes them when it warms up."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from vllm.config import VllmConfig, set_current_vllm_config
from vllm.forward_context import set_forward_context
from vllm.platforms import current_platform

from vllm_lint.runtime_verifier.targets.vllm_models.registry import NotBuilt


@dataclass(frozen=True)
class Call:
    """One thing that the model runner does with a model."""

    name: str
    run: Callable[[int], object]
    """Calls the model with n tokens; every tensor is fresh and depends on n alone."""
    context: Callable[[int], AbstractContextManager[None]]
    """What `run` calls the model within, for n tokens."""


def forward_call(name: str, model: torch.nn.Module, vllm_config: VllmConfig) -> Call:
    """The call of a language model, or of a draft head if `name` is draft."""

    def run(n: int) -> object:
        with context_for(vllm_config, n):
            return model(**arguments(model, vllm_config, n, draft=name == "draft"))

    return Call(name, run, lambda n: context_for(vllm_config, n))


@contextmanager
def context_for(vllm_config: VllmConfig, n: int) -> Iterator[None]:
    """What the model runner calls a model within, for `n` tokens and no request."""
    with torch.no_grad(), set_current_vllm_config(vllm_config), set_forward_context(None, vllm_config, num_tokens=n):
        yield


def arguments(model: torch.nn.Module, vllm_config: VllmConfig, n: int, *, draft: bool) -> dict[str, Any]:
    """Arguments for `n` tokens; seeded by `n`.

    Raises:
        NotBuilt: the model requires an argument that a text-only warm-up of vLLM does not give.
    """
    config = vllm_config.speculative_config.draft_model_config if draft else vllm_config.model_config
    device = torch.device(current_platform.device_type)
    generator = torch.Generator().manual_seed(n)
    ids = torch.randint(0, config.get_vocab_size(), (n,), generator=generator).to(device)
    positions = torch.arange(n, device=device)
    if config.uses_mrope:
        dims = getattr(config, "mrope_num_dims", 3) or 3
        positions = positions.expand(dims, n).contiguous()
    embedded = config.is_multimodal_model and not draft and not config.is_encoder_decoder
    width = config.get_inputs_embeds_size() if hasattr(config, "get_inputs_embeds_size") else config.get_hidden_size()
    given: dict[str, Any] = {
        "input_ids": None if embedded and not getattr(model, "requires_raw_input_tokens", False) else ids,
        "positions": positions,
        "intermediate_tensors": None,
        "inputs_embeds": normal((n, width), n, vllm_config) if embedded else None,
    }
    if draft:  # what the target leaves behind; some heads take it at a multiple of the hidden size
        streams = getattr(config.hf_config, "hc_mult", 1) if hasattr(config.hf_config, "compress_ratios") else 1
        hidden = config.get_hidden_size() * streams
        given["hidden_states"] = normal((n, hidden), n, vllm_config)
    parameters = inspect.signature(model.forward).parameters
    missing = [
        p.name
        for p in parameters.values()
        if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and p.name not in given
    ]
    if missing:
        raise NotBuilt("forward", f"forward requires {', '.join(missing)}, which no text-only step gives")
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return {k: v for k, v in given.items() if takes_all or k in parameters}


def normal(shape: tuple[int, ...], seed: int, vllm_config: VllmConfig) -> torch.Tensor:
    """Random numbers of the model's type, on its device."""
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return values.to(device=current_platform.device_type, dtype=vllm_config.model_config.dtype)
