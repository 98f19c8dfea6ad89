"""Draft heads for speculative decoding: what they draft for, and how vLLM is told to use them."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from vllm_lint.runtime_verifier.targets.vllm_models.registry import architectures, is_draft, plain

#: Targets that the name of the head does not lead to. A head of no family drafts for Llama.
_TARGETS = {
    "DeepSeekMTPModel": "DeepseekV3ForCausalLM",
    "EagleLlama4ForCausalLM": "Llama4ForCausalLM",
    "EagleCohereForCausalLM": "Cohere2ForCausalLM",
    "EagleDeepSeekMTPModel": "DeepseekV3ForCausalLM",
    "EagleMistralLarge3ForCausalLM": "DeepseekV3ForCausalLM",
    "Eagle3DeepseekV2ForCausalLM": "DeepseekV3ForCausalLM",
    "Eagle3DeepseekV3ForCausalLM": "DeepseekV3ForCausalLM",
    "ErnieMTPModel": "Ernie4_5_MoeForCausalLM",
    "InklingMTPModel": "InklingForConditionalGeneration",
    "MiMoMTPModel": "MiMoForCausalLM",
    "MiMoV2MTPModel": "MiMoV2FlashForCausalLM",
    "MiniMaxM3MTP": "MiniMaxM3SparseForConditionalGeneration",
    "OpenPanguMTPModel": "PanguUltraMoEForCausalLM",
    "ExaoneMoeMTP": "ExaoneMoEForCausalLM",
}
_METHODS = (("MTP", "mtp"), ("Medusa", "medusa"), ("DSpark", "dspark"), ("DFlash|LiLiCorr|Assistant", "dflash"))
_FAMILY = re.compile(r"_?MTP(Model)?$")


class Draft(NamedTuple):
    """How vLLM is told to use a draft head."""

    method: str
    target: str


def draft_of(architecture: str) -> Draft | None:
    """The method and the target of a draft head; None for any other architecture."""
    if not is_draft(architecture):
        return None
    if architecture == "ExtractHiddenStatesModel":
        return Draft("extract_hidden_states", "LlamaForCausalLM")
    if architecture.startswith("Eagle") and "MTP" in architecture:
        return Draft("eagle", _TARGETS[architecture])
    method = next((m for pattern, m in _METHODS if re.search(pattern, architecture)), None)
    if method == "mtp":
        return Draft(method, _target(architecture))
    if method is None:
        method = "eagle3" if re.search("[Ee]agle3|[Pp][Ee]agle", architecture) else "eagle"
    return Draft(method, _TARGETS.get(architecture, "LlamaForCausalLM"))


def speculative_config(draft: Draft, folder: str) -> dict[str, Any]:
    """What a user would pass as `--speculative-config`; the head's `config.json` lies in `folder`."""
    config: dict[str, Any] = {"method": draft.method, "num_speculative_tokens": 1}
    return config if draft.method in ("mtp", "extract_hidden_states") else config | {"model": folder}


def _target(architecture: str) -> str:
    """The target of a multi-token prediction module is named like it."""
    if architecture in _TARGETS:
        return _TARGETS[architecture]
    family = plain(_FAMILY.sub("", architecture))
    named = [a for a in architectures() if plain(a).startswith(family + "for") and not is_draft(a)]
    return min(named, key=len, default="LlamaForCausalLM")
