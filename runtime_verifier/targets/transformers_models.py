"""Builds a tiny random model of transformers by its model type."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from vllm_lint.runtime_verifier.jobs import Job
from vllm_lint.runtime_verifier.outcomes import line_of
from vllm_lint.runtime_verifier.targets.made_inputs import failed
from vllm_lint.runtime_verifier.targets.regions import Region
from vllm_lint.runtime_verifier.targets.vllm_models import weights
from vllm_lint.runtime_verifier.targets.vllm_models.shrink import shrink

Sizes = Mapping[str, tuple["int | None", ...]]
"""Argument to its sizes; None is the number of tokens."""
_IDS = ("input_ids", "decoder_input_ids", "bbox")
#: The first numbers of a vocabulary are often special.
_FIRST_ID = 3
#: Samples of sound, in models that take no spectrogram: enough for a few frames.
_SAMPLES = 4000


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
    torch.manual_seed(0)
    try:
        config = _tiny(CONFIG_MAPPING[job.target])
        model = _model(config)
    except Exception as error:  # models ask for packages, files and combinations of values
        raise failed(f"cannot be built from its configuration alone: {line_of(error)}; write a harness") from error
    sizes = _working(model, config, job.trace_size)
    vocabulary = _vocabulary(config)

    def inputs(n: int) -> dict[str, Any]:
        return _made(sizes, vocabulary, n) | _options(model)

    dims = {name: {size.index(None): None} for name, size in sizes.items() if None in size}
    return Region(type(model).__name__, model, dims, inputs)


def _tiny(cls: Any) -> Any:
    config = cls.from_dict(shrink(cls().to_dict()))
    for part in (config, config.get_text_config()):
        part.use_cache = False  # a cache is an object that vLLM does not have
    return config


def _model(config: Any) -> torch.nn.Module:
    from transformers import AutoModel, AutoModelForCausalLM
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    is_decoder = not config.is_encoder_decoder and getattr(config, "is_decoder", True)
    auto = AutoModelForCausalLM if is_decoder and type(config) in MODEL_FOR_CAUSAL_LM_MAPPING else AutoModel
    model: torch.nn.Module = auto.from_config(config).eval()
    weights.fill(model)
    return model


def _vocabulary(config: Any) -> int:
    return int(
        getattr(config.get_text_config(), "vocab_size", None) or getattr(config, "vocab_size", 0) or _FIRST_ID + 1
    )


def _options(model: torch.nn.Module) -> dict[str, Any]:
    return {"use_cache": False} if "use_cache" in model.forward.__code__.co_varnames else {}


def _working(model: torch.nn.Module, config: Any, tokens: int) -> Sizes:
    """The first inputs with which the model runs."""
    first = ""
    for sizes in _candidates(model, config):
        try:
            model(**_made(sizes, _vocabulary(config), tokens), **_options(model))
        except Exception as error:  # noqa: BLE001 - the next may be what it takes
            first = first or f"{line_of(error)}, called with {', '.join(sizes)}"
        else:
            return sizes
    raise failed(f"does not run with what can be made from its configuration: {first}; write a harness")


def _candidates(model: torch.nn.Module, config: Any) -> Iterator[Sizes]:
    main: str = getattr(model, "main_input_name", "input_ids")
    encoder = next((c for k in ("vision_config", "audio_config", "encoder") if (c := getattr(config, k, None))), config)
    edge = getattr(encoder, "image_size", None) or 32
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
