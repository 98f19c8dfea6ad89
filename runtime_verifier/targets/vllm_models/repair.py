"""Adds to a configuration what a model reads from it and nobody gave: one attribute for each failed attempt."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from vllm_lint.runtime_verifier.targets.vllm_models.configs import class_of_type
from vllm_lint.runtime_verifier.targets.vllm_models.shrink import ENCODER_KEY, JSON, MAX_POSITION, size_of

_MISSING = re.compile(r"'([\w.]*Config)' object has no attribute '(\w+)'")

#: Values for attributes that are no size, by a pattern for their whole name; the first match counts.
_VALUES: list[tuple[str, Any]] = [
    (r"\w*(eps|epsilon)", 1e-6),
    (r"(\w+_)?rope\w*_theta|rotary_emb_base", 10000.0),
    (r"\w*(partial_rotary_factor|rotary_pct)", 0.5),
    (r"rope_(parameters|scaling)", {"rope_type": "default", "rope_theta": 10000.0}),
    (r"hidden_act|\w*activation\w*|\w+_act(_fn)?|act_fn", "silu"),
    (r"scoring_func", "softmax"),
    (r"score_func|router_score_function|moe_router_score_function|score_function", "sigmoid"),
    (r"topk_method", "noaux_tc"),
    (r"\w*ratio", 4),
    (r"type_vocab_size|o_groups|n_groups", 3),
    (r"query_num|num_quer(y|ies)", 9),
    (r"conv_dim|conv_dim_out|block_dim", 192),
    (r"pixel_hidden_size|mm_hidden_size", 160),
    (r"\w*group_size|\w*stride", 2),
    (r"position_embedding_type", "absolute"),
    (r"norm_topk_prob|route_norm|norm_topk", True),
    (r"\w*(scale|scaling|scaling_factor|multiplier|factor)", 1.0),
    (r"\w*(dropout|pdrop|dropout_prob)\w*", 0.0),
    (r"max_\w*positions?|\w*max_position\w*|\w*context_length|max_length", MAX_POSITION),
    (r"\w+_(config|conf)", {}),
    (r"image_size|input_size", 84),
    (r"patch_size", 14),
    (r"num_channels|in_channels|in_chans", 3),
    (r"spatial_merge_size|merge_size|temporal_patch_size", 2),
    (r"out_hidden_size|text_hidden_size|output_dim|projection_dim|target_hidden_size", 192),
    (r"num_\w*shared_experts?|n_shared_experts|num_shared_expert", 1),
    (r"\w*(freq|frequency|interval|period|step)", 2),
    (r"\w*kernel(_size)?|conv_L_cache|\w*conv_size|d_conv|mamba_d_conv", 4),
    (r"\w*(window|window_size)", 128),
    (r"\w*token_(id|index)", 1),
    (r"\w*_layer_ids|\w*_layers|\w*_indexes|\w*_indices", []),
    (
        r"(use|is|has|enable|with|apply|add|tie|attention|mlp|qkv|do|no|moe)_\w+|\w*bias|\w*qk_norm|\w*_enabled?|\w+_norm",
        False,
    ),
]


def repair(config: JSON, error: BaseException) -> bool:
    """Add the attribute that `error` misses, in place; whether there was one that was not added before."""
    for cause in _causes(error):
        found = _MISSING.search(str(cause))
        if found is None:
            continue
        owner = _owner(config, found[1])
        if found[2] in owner:
            return False
        owner[found[2]] = guess(found[2], encoder=bool(ENCODER_KEY.search(found[1].lower())))
        return True
    return False


def guess(name: str, *, encoder: bool = False) -> Any:
    """A value that an attribute of this name may have, in the part for a language model or for an encoder."""
    size = size_of(name, encoder=encoder)
    if size is not None:
        return size
    return next((value for pattern, value in _VALUES if re.fullmatch(pattern, name)), None)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _owner(config: JSON, class_name: str) -> JSON:
    """The part of a configuration that an object of the class is made from; the whole if no part is known to be."""
    *parts, _ = class_name.split(".")
    for name in reversed(parts):
        config = config[name]
    for part in config.values():
        if isinstance(part, dict) and isinstance(part.get("model_type"), str):
            cls = class_of_type(part["model_type"])
            if cls is not None and cls.__name__ == class_name:
                return part
            inner = _owner(part, class_name)
            if inner is not part:
                return inner
    for word in ("vision", "audio", "text"):
        part = config.get(f"{word}_config")
        if word in class_name.lower() and isinstance(part, dict):
            return part
    return config
