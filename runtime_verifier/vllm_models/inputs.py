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

from vllm_lint.runtime_verifier.vllm_models.registry import NotBuilt


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

    @contextmanager
    def context(n: int) -> Iterator[None]:
        with (
            torch.no_grad(),
            set_current_vllm_config(vllm_config),
            set_forward_context(None, vllm_config, num_tokens=n),
        ):
            yield

    def run(n: int) -> object:
        with context(n):
            return model(**arguments(model, vllm_config, n, draft=name == "draft"))

    return Call(name, run, context)


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
        "inputs_embeds": _normal((n, width), generator, vllm_config) if embedded else None,
    }
    if draft:  # what the target leaves behind; some heads take it at a multiple of the hidden size
        hidden = config.get_hidden_size() * getattr(config.hf_config, "hc_mult", 1)
        given["hidden_states"] = _normal((n, hidden), generator, vllm_config)
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


def _normal(shape: tuple[int, ...], generator: torch.Generator, vllm_config: VllmConfig) -> torch.Tensor:
    values = torch.randn(shape, generator=generator)
    return values.to(device=current_platform.device_type, dtype=vllm_config.model_config.dtype)
