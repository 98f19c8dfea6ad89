"""Makes a configuration tiny: seconds and tens of megabytes, but every size still tells what it is a size of.

Sizes of different meaning differ, no size is 1 or 2 where that can be avoided, and one layer of every kind stays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

JSON = dict[str, Any]

VOCABULARY = 704
MAX_POSITION = 1024
HEAD_DIM = 32  # what vLLM's attention on CPUs supports, and rotary embeddings can halve twice

#: Sizes by the meaning of a key, for a language model and for an encoder of images or sounds.
_TEXT = {
    "hidden": 192,
    "heads": 6,
    "kv_heads": 3,
    "head_dim": HEAD_DIM,
    "inner": 320,
    "expert_inner": 224,
    "shared_inner": 352,
    "experts": 15,
    "groups": 5,
    "top_k": 4,
    "layers": 2,
}
_ENCODER = _TEXT | {"hidden": 160, "heads": 5, "kv_heads": 5, "inner": 288}

#: Keys of one meaning, as regular expressions that match the whole key; the first match counts.
_MEANINGS = [
    (
        "hidden",
        r"hidden_size|word_embed_proj_dim|n_embd|d_model|n_embed|embed_dim|embedding_size|dim|width|model_dim|hidden_dim|emb_dim",
    ),
    ("kv_heads", r"num_key_value_heads|n_kv_heads?|num_kv_heads|n_head_kv|multi_query_group_num|num_query_groups"),
    ("kv_heads", r"(swa|global|attention)_num_key_value_heads|num_global_key_value_heads|num_attention_groups"),
    (
        "heads",
        r"num_attention_heads|n_heads?|num_heads|heads|((en|de)coder_)?attention_heads|(swa_|index_)?num_attention_heads",
    ),
    ("head_dim", r"(\w+_)?head_dim|d_head|kv_channels|attention_head_dim|head_size|v_head_dim|attention_key_size"),
    ("shared_inner", r"(\w+_)?shared_expert_intermediate_size|\w*shared_intermediate_size"),
    (
        "expert_inner",
        r"(moe|expert)\w*(intermediate|ffn|hidden)\w*(size|dim)|expert_(dim|inter\w+)|moe_inter\w+|moe_dim",
    ),
    ("inner", r"\w*intermediate_size\w*|\w*ffn_dim|\w*ffn_hidden_size|n_inner|d_ff|inner_dim|mlp_dim|d_inner|ffn_size"),
    ("experts", r"(num|n)(_\w+)?_experts|moe_num_experts|num_experts_per_layer|n_experts|num_local_experts"),
    ("groups", r"(num_expert|n|moe_n|num_moe)_groups?|n_group|num_expert_group"),
    ("layers", r"num_hidden_layers|n_layers?|num_layers|depth|(en|de)coder_layers|layers|num_decoder_layers"),
    ("layers", r"num_encoder_layers|num_transformer_layers|vit_layers"),
]
_COMPILED = [(meaning, re.compile(pattern)) for meaning, pattern in _MEANINGS]
_KEPT = re.compile(r"(moe_)?n(um)?_shared_experts?|num_(zero|null|copy|const)\w*|num_experts_per_tok")

#: Sizes that mean the same everywhere.
_FIXED: JSON = {
    "vocab_size": VOCABULARY,
    "padded_vocab_size": VOCABULARY,
    "text_vocab_size": VOCABULARY,
    "max_position_embeddings": MAX_POSITION,
    "n_positions": MAX_POSITION,
    "max_seq_len": MAX_POSITION,
    "seq_length": MAX_POSITION,
    "max_sequence_length": MAX_POSITION,
    "model_max_length": MAX_POSITION,
    "n_ctx": MAX_POSITION,
    "q_lora_rank": 96,
    "kv_lora_rank": 128,
    "qk_nope_head_dim": 64,
    "qk_rope_head_dim": 16,
    "qk_head_dim": 80,
    "v_head_dim": 32,
    "rotary_dim": 16,
    "o_lora_rank": 64,
    "first_k_dense_replace": 1,
    "topk_group": 3,
    "moe_topk_group": 3,
    "full_attention_interval": 2,
    "attn_layer_period": 2,
    "attn_layer_offset": 1,
    "expert_layer_period": 2,
    "expert_layer_offset": 1,
    "mamba_expand": 2,
    "expand": 2,
    "state_size": 12,
    "ssm_state_size": 12,
    "mamba_d_state": 12,
    "mamba_n_heads": 12,
    "mamba_num_heads": 12,
    "mamba_d_head": HEAD_DIM,
    "mamba_head_dim": HEAD_DIM,
    "mamba_d_ssm": 384,
    "mamba_n_groups": 3,
    "n_groups": 3,
    "mamba_num_groups": 3,
    "time_step_rank": 24,
    "mamba_dt_rank": 24,
    "linear_num_key_heads": 3,
    "linear_num_value_heads": 6,
    "linear_key_head_dim": HEAD_DIM,
    "linear_value_head_dim": HEAD_DIM,
    "num_nextn_predict_layers": 1,
    "mtp_num_hidden_layers": 1,
    "num_mtp_modules": 1,
    "max_source_positions": 96,
    "index_topk": 64,
    "codebook_size": 96,
    "classify_num": 7,
    "max_target_positions": MAX_POSITION,
}
_PATCHES_A_SIDE = 6
_NO_PART = ("rope_parameters", "rope_scaling", "quantization_config", "id2label", "label2id")
_KINDS_OF_LAYERS = re.compile(r"interval|period|first_k_dense|_freq|moe_layer|_pattern|_step\b")
ENCODER_KEY = re.compile(r"vision|visual|image|vit|audio|speech|sound|whisper|sam|clip|siglip|encoder_config")
_TEXT_SIZE_IN_ENCODER = re.compile(r"(out|output|text|llm|lm|language)_hidden_size|output_dim|projection_dim|llm_dim")
_TOP_K = re.compile(
    r"num_experts_per_tok(en)?|(moe_)?top_?k(_experts)?|moe_num_active_primary_experts|num_selected_experts"
)
_LAYER_INDEX = re.compile(r"\w*(index(es)?|idxs|indices|layer_ids|feature_layers?|layers_ids|block_ids)")


def shrink(config: Mapping[str, Any]) -> JSON:
    """A tiny copy of a configuration in the form of `config.json`."""
    plain = json.loads(json.dumps(config, default=str))  # keys become text, as in the file
    return _shrink(plain, encoder=False)


def _shrink(config: Mapping[str, Any], *, encoder: bool) -> JSON:
    sizes = _ENCODER if encoder else _TEXT
    small: JSON = dict(config)
    for key, value in config.items():
        if isinstance(value, Mapping) and key not in _NO_PART:
            inner = encoder or bool(ENCODER_KEY.search(key))
            small[key] = _shrink(value, encoder=inner and not re.match(r"text|llm|language", key))
        elif isinstance(value, int) and not isinstance(value, bool):
            small[key] = _small(key, value, sizes, encoder=encoder)
    _heads(config, small, sizes)
    _groups(small)
    _layers(config, small, encoder=encoder)
    _tokens(small)
    _images(config, small)
    _rope(small, sizes)
    _mamba(config, small)
    small.pop("quantization_config", None)  # there are no quantised weights to load
    return small


def meaning_of(key: str) -> str | None:
    """What a key is the size of."""
    if _KEPT.fullmatch(key):
        return None
    return next((meaning for meaning, pattern in _COMPILED if pattern.fullmatch(key)), None)


def size_of(key: str, *, encoder: bool = False) -> int | None:
    """The size that a key gets in a language model or in an encoder; None if it is none that is known."""
    if key in _FIXED:
        return int(_FIXED[key])
    if _TOP_K.fullmatch(key):
        return _TEXT["top_k"]
    meaning = meaning_of(key)
    return None if meaning is None else (_ENCODER if encoder else _TEXT)[meaning]


def _small(key: str, value: int, sizes: Mapping[str, int], *, encoder: bool) -> int:
    if value == 0:
        return 0
    if key in _FIXED:
        return min(value, _FIXED[key]) if key.startswith(("n_groups", "first_k")) else int(_FIXED[key])
    if encoder and _TEXT_SIZE_IN_ENCODER.fullmatch(key):
        return _TEXT["hidden"]
    if _TOP_K.fullmatch(key):
        return min(value, sizes["top_k"])
    meaning = meaning_of(key)
    if meaning is None or value <= 0:
        return value
    if meaning == "groups" and value == 1:
        return 1
    return sizes[meaning]


def _heads(config: Mapping[str, Any], small: JSON, sizes: Mapping[str, int]) -> None:
    """Where every head has its own keys, or all share one, that stays so."""
    heads, shared = config.get("num_attention_heads"), config.get("num_key_value_heads")
    if isinstance(shared, int) and shared == heads:
        small["num_key_value_heads"] = sizes["heads"]
    elif shared == 1 and config.get("multi_query"):
        small["num_key_value_heads"] = 1


def _groups(small: JSON) -> None:
    """Experts in groups: all of the sizes, or one group."""
    for count, chosen in (("n_group", "topk_group"), ("moe_n_group", "moe_topk_group")):
        if count in small and small[count] is None:
            small[count], small[chosen] = _TEXT["groups"], _FIXED["topk_group"]
            small["num_experts_per_tok"] = small.get("num_experts_per_tok") or _TEXT["top_k"]
        elif small.get(count) == 1:
            small[chosen] = 1


def _layers(config: Mapping[str, Any], small: JSON, *, encoder: bool) -> None:
    """Keep the layers whose entries in the lists that have one entry a layer occur for the first time."""
    counts = {k: v for k, v in config.items() if meaning_of(k) == "layers" and isinstance(v, int) and v > 0}
    if not counts:
        return
    count = config.get("num_hidden_layers") or max(counts.values())
    lists = {
        k: v
        for k, v in config.items()
        if isinstance(v, list | str)
        and len(v) == count
        and not _LAYER_INDEX.fullmatch(k)
        and not (isinstance(v, str) and set(v) - set("M*-E|"))
    }
    kept = _first_of_each(list(zip(*lists.values(), strict=True))) if lists else []
    wanted = _TEXT["layers"]
    if not encoder and any(map(_KINDS_OF_LAYERS.search, config)):
        wanted = 4
    if kept:
        kept += [i for i in range(count) if i not in kept][: max(0, _TEXT["layers"] - len(kept))]
        kept.sort()
        wanted = len(kept)
        for key, values in lists.items():
            chosen = [values[i] for i in kept]
            small[key] = "".join(chosen) if isinstance(values, str) else chosen
        for key, value in config.items():
            if isinstance(value, Mapping) and value and all(k.isdigit() and int(k) < count for k in value):
                small[key] = {str(kept.index(int(k))): small[key][k] for k in value if int(k) in kept}
    wanted = min(wanted, count)
    for key in counts:
        small[key] = wanted
    for key, value in config.items():
        if _LAYER_INDEX.fullmatch(key) and isinstance(value, list) and all(isinstance(i, int) for i in value):
            small[key] = list(dict.fromkeys(i if i < 0 and -i <= wanted else min(abs(i), wanted - 1) for i in value))


def _first_of_each(rows: list[Any]) -> list[int]:
    seen: list[Any] = []
    kept = []
    for index, row in enumerate(rows):
        if row not in seen:
            seen.append(row)
            kept.append(index)
    return kept


def _tokens(small: JSON) -> None:
    """Bring special tokens into the vocabulary, each its own."""
    last = VOCABULARY
    for key in sorted(small):
        value = small[key]
        if re.search(r"token_(id|index)$|_token$|token_ids$", key):
            if isinstance(value, int) and not isinstance(value, bool) and value >= VOCABULARY:
                last -= 1
                small[key] = last
            elif isinstance(value, list) and all(isinstance(v, int) for v in value):
                small[key] = [v if v < VOCABULARY else VOCABULARY - 1 - i for i, v in enumerate(value)]


def _images(config: Mapping[str, Any], small: JSON) -> None:
    patch = config.get("patch_size")
    if isinstance(patch, int) and isinstance(config.get("image_size"), int):
        small["image_size"] = patch * _PATCHES_A_SIDE
    if isinstance(config.get("mm_tokens_per_image"), int):
        small["mm_tokens_per_image"] = (_PATCHES_A_SIDE // 2) ** 2


def _rope(small: JSON, sizes: Mapping[str, int]) -> None:
    """Scale what has one entry for a pair of rotary dims."""
    head_dim = small.get("head_dim") or sizes["head_dim"]
    for key in ("rope_parameters", "rope_scaling"):
        if isinstance(small.get(key), Mapping):
            small[key] = _rope_dict(small[key], small, head_dim)
    for key in ("mrope_section", "xdrope_section"):
        if isinstance(small.get(key), list):
            small[key] = scaled(small[key], head_dim // 2)


def _rope_dict(rope: Mapping[str, Any], small: JSON, head_dim: int) -> JSON:
    rope = dict(rope)
    partial = rope.get("partial_rotary_factor") or small.get("partial_rotary_factor") or 1.0
    pairs = int(head_dim * partial) // 2
    for key, value in rope.items():
        if isinstance(value, Mapping):  # one of these for a kind of layer
            rope[key] = _rope_dict(value, small, head_dim)
        elif key in ("mrope_section", "xdrope_section") and isinstance(value, list):
            rope[key] = scaled(value, pairs)
        elif key in ("short_factor", "long_factor") and isinstance(value, list):
            rope[key] = [1.0 + i / pairs for i in range(pairs)]
    return rope


def scaled(sections: list[int], total: int) -> list[int]:
    """Sections in about the same proportion that add up to `total`."""
    whole = sum(sections) or 1
    result = [max(1, s * total // whole) for s in sections]
    result[-1] += total - sum(result)
    return result


def _mamba(config: Mapping[str, Any], small: JSON) -> None:
    """The inner width of a state space layer is a multiple of the hidden size."""
    if "state_size" in config and "expand" in config and "intermediate_size" in config:
        small["intermediate_size"] = small["expand"] * small["hidden_size"]
    if "state_size" in config and "num_heads" in config and "expand" in config:
        small["head_dim"] = HEAD_DIM
        small["num_heads"] = small["expand"] * small["hidden_size"] // HEAD_DIM
