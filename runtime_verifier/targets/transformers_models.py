"""Builds a tiny random model of transformers by its model type."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from vllm_lint.runtime_verifier.jobs import Job
from vllm_lint.runtime_verifier.outcomes import line_of
from vllm_lint.runtime_verifier.targets.made_inputs import failed
from vllm_lint.runtime_verifier.targets.regions import Region, TargetError
from vllm_lint.runtime_verifier.targets.vllm_models import weights
from vllm_lint.runtime_verifier.targets.vllm_models.shrink import JSON, scaled, shrink
from vllm_lint.runtime_verifier.worker.snapshot import Snapshot

Sizes = Mapping[str, tuple["int | None", ...]]
"""Argument to its sizes; None is the number of tokens."""
_IDS = ("input_ids", "decoder_input_ids", "bbox")
#: The first numbers of a vocabulary are often special.
_FIRST_ID = 3
#: Samples of sound, in models that take no spectrogram: enough for a few frames.
_SAMPLES = 4000
#: What fits into the memory of a job several times over and runs in seconds.
_MOST_PARAMETERS = 60 << 20


def region(job: Job) -> Region:
    """The forward of the model of type `job.target`, called with `input_ids` of [1, n].

    A model that takes images or sounds alone has a batch of n of them in place of tokens.

    Raises:
        TargetError: transformers has no such type, or it cannot be built or called with what is made here.
    """
    try:
        from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    except ImportError as error:
        raise failed(f"needs transformers: {line_of(error)}") from error
    if job.target not in CONFIG_MAPPING:
        near = difflib.get_close_matches(job.target, list(CONFIG_MAPPING.keys()), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise failed(f"transformers has no model type {job.target!r}{hint}")
    model, config, sizes = _first_working(CONFIG_MAPPING[job.target], job.trace_size)
    vocabulary = _vocabulary(config)

    def inputs(n: int) -> dict[str, Any]:
        return _made(sizes, vocabulary, n) | _options(model)

    dims = {name: {size.index(None): None} for name, size in sizes.items() if None in size}
    return Region(type(model).__name__, model, dims, inputs)


def _first_working(cls: Any, tokens: int) -> tuple[torch.nn.Module, Any, Sizes]:
    """The model of the smallest configuration that can be built and called.

    Raises:
        TargetError: there is none; says why the smallest is none.
    """
    first: TargetError | None = None
    for smaller in (_tiny, _sectioned, _narrow):
        torch.manual_seed(0)
        try:
            config = smaller(cls)
            if smaller is _narrow:
                _refuse_large(config)
            model = _model(config)
        except Exception as error:  # noqa: BLE001 - models ask for packages, files and combinations of values
            said = f"cannot be built from its configuration alone: {line_of(error)}; write a harness"
            first = first or failed(said)
            continue
        try:
            return model, config, _working(model, config, tokens)
        except TargetError as error:
            first = first or error
    assert first is not None
    raise first


def _refuse_large(config: Any) -> None:
    with torch.device("meta"):
        parameters = sum(p.numel() for p in _made_model(config).parameters())
    if parameters > _MOST_PARAMETERS:
        raise ValueError(f"{parameters >> 20} million parameters are too many")


#: Names of stages follow from their number; what is kept of an encoder is its last.
_STAGES = re.compile(r"out_features|out_indices|_out_features|_out_indices|stage_names")
#: How much there is of something, which no width depends on.
_COUNTS = re.compile(
    r"num_hidden_layers|n_layers?|num_layers|(en|de)coder_layers|num_(en|de)coder_layers|depth|vocab_size|n_layer"
    r"|(num|n)_(local_|routed_)?experts|moe_num_experts|\w*intermediate_size|\w*ffn_dim|image_size"
)


def _tiny(cls: Any) -> Any:
    """Every size small."""
    return _config(cls, _tiny_values(cls))


def _tiny_values(cls: Any) -> JSON:
    small = _without_stages(shrink(cls().to_dict()))
    for part in _parts(small):
        if "qk_rope_head_dim" in part and part.get("head_dim"):
            part["head_dim"] = part["qk_rope_head_dim"]  # the rotary part alone
    return small


def _narrow(cls: Any) -> Any:
    """Few layers, experts and words, and the widths that the model comes with."""
    whole = cls().to_dict()
    return _config(cls, _without_stages(_counted(whole, shrink(whole))))


def _sectioned(cls: Any) -> Any:
    """Like `_tiny`, with the rotary dims shared out where the model's own sections add up to more."""
    small = _tiny_values(cls)
    for part in _parts(small):
        rope = part.get("rope_parameters")
        if isinstance(rope, dict) and "mrope_section" not in rope:
            width = part.get("head_dim") or part["hidden_size"] // part["num_attention_heads"]
            pairs = int(width * rope.get("partial_rotary_factor", part.get("partial_rotary_factor") or 1.0)) // 2
            rope["mrope_section"] = scaled([1, 1, 1], pairs)
    return _config(cls, small)


def _counted(whole: JSON, small: JSON) -> JSON:
    """`whole` with the counts, lists and tables of `small`."""
    chosen: JSON = {}
    for key, value in small.items():
        known = whole.get(key)
        if isinstance(value, dict) and isinstance(known, dict):
            chosen[key] = known if key.startswith("rope") else _counted(known, value)
        else:
            is_count = _COUNTS.fullmatch(key) or isinstance(value, (list, str))
            chosen[key] = value if is_count else known
    return chosen


def _parts(config: JSON) -> Iterator[JSON]:
    yield config
    for value in config.values():
        if isinstance(value, dict):
            yield from _parts(value)


def _without_stages(config: JSON) -> JSON:
    return {
        key: _without_stages(value) if isinstance(value, dict) else value
        for key, value in config.items()
        if not _STAGES.fullmatch(key)
    }


def _config(cls: Any, values: JSON) -> Any:
    config = cls.from_dict(values)
    for part in (config, config.get_text_config()):
        part.use_cache = False  # a cache is an object that vLLM does not have
    return config


def _model(config: Any) -> torch.nn.Module:
    model = _made_model(config).eval()
    weights.fill(model)
    return model


def _made_model(config: Any) -> torch.nn.Module:
    from transformers import AutoModel, AutoModelForCausalLM
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    is_decoder = not config.is_encoder_decoder and getattr(config, "is_decoder", True)
    auto = AutoModelForCausalLM if is_decoder and type(config) in MODEL_FOR_CAUSAL_LM_MAPPING else AutoModel
    model: torch.nn.Module = auto.from_config(config)
    return model


def _vocabulary(config: Any) -> int:
    return int(
        getattr(config.get_text_config(), "vocab_size", None) or getattr(config, "vocab_size", 0) or _FIRST_ID + 1
    )


def _options(model: torch.nn.Module) -> dict[str, Any]:
    return {"use_cache": False} if "use_cache" in model.forward.__code__.co_varnames else {}


def _working(model: torch.nn.Module, config: Any, tokens: int) -> Sizes:
    """The first inputs with which the model runs; what it keeps of a run is taken back."""
    first, start = "", Snapshot(model)
    for sizes in _candidates(model, config):
        try:
            model(**_made(sizes, _vocabulary(config), tokens), **_options(model))
        except Exception as error:  # noqa: BLE001 - the next may be what it takes
            first = first or f"{line_of(error)}, called with {', '.join(sizes)}"
        else:
            return sizes
        finally:
            start.restore()
    raise failed(f"does not run with what can be made from its configuration: {first}; write a harness")


def _candidates(model: torch.nn.Module, config: Any) -> Iterator[Sizes]:
    main: str = getattr(model, "main_input_name", "input_ids")
    encoder = next((c for k in ("vision_config", "audio_config", "encoder") if (c := getattr(config, k, None))), config)
    edge = getattr(encoder, "image_size", None) or 64
    height, width = edge if isinstance(edge, (list, tuple)) else (edge, edge)
    image = (getattr(encoder, "num_channels", 3) or 3, height, width)
    bins = getattr(encoder, "num_mel_bins", None) or getattr(config, "feature_size", None) or 80
    frames = 2 * (getattr(encoder, "max_source_positions", None) or 50)
    ids: Sizes = {"input_ids": (1, None)}
    decoder: Sizes = {"decoder_input_ids": (1, None)}
    if main == "input_ids":
        yield ids
        yield {**ids, **decoder}
        yield {**ids, "pixel_values": (1, *image)}
        yield {**ids, "bbox": (1, None, 4)}
    elif main == "pixel_values":
        yield {"pixel_values": (None, *image)}
        yield {"pixel_values": (1, *image), **decoder}
        yield {"pixel_values": (1, *image), **ids}
        yield {"pixel_values": (None, 4, *image)}  # a video
    elif main == "input_features":
        yield {"input_features": (1, bins, frames), **decoder}
        yield {"input_features": (1, None, bins)}
        yield {"input_features": (1, bins, None)}
    elif main == "input_values":
        yield {"input_values": (None, _SAMPLES)}
        yield {"input_values": (None, 1, _SAMPLES)}
        yield {"input_values": (None, frames, bins)}
    else:
        yield {main: (1, None)}
        yield {main: (1, None, getattr(config, "hidden_size", 1))}


def _made(sizes: Sizes, vocabulary: int, tokens: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(tokens)
    made = {}
    for name, size in sizes.items():
        shape = tuple(tokens if s is None else s for s in size)
        if name in _IDS:
            made[name] = torch.randint(_FIRST_ID, max(vocabulary, _FIRST_ID + 1), shape, generator=generator)
        else:
            made[name] = torch.randn(shape, generator=generator)
    return made
