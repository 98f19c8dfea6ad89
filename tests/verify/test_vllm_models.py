"""Tiny models of vLLM's architectures: families, a local configuration, and what is said where nothing can be built."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.verify.vllm_builds import Facts, facts
from vllm_lint.runtime_verifier.targets.vllm_models.shrink import VOCABULARY, scaled, shrink

BUILD = "vllm_lint.runtime_verifier.targets.vllm_models.build"
needs_vllm = pytest.mark.vllm
slow = pytest.mark.slow


@pytest.fixture(scope="module")
def facts_of() -> Callable[[str], Facts]:
    """Asks a fresh child of one process that has imported vLLM."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([BUILD])

    def ask(source: str) -> Facts:
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            return pool.submit(facts, source).result(timeout=300)

    return ask


#: A family, the modules that it compiles, and its calls.
FAMILIES: dict[str, tuple[list[str], list[str]]] = {
    "LlamaForCausalLM": (["LlamaModel"], ["forward"]),
    "MixtralForCausalLM": (["MixtralModel"], ["forward"]),
    "Qwen3NextForCausalLM": (["Qwen3NextModel"], ["forward"]),
    "Mamba2ForCausalLM": (["Mamba2Model"], ["forward"]),
    "BertModel": (["BertModel"], ["forward"]),
    "Qwen2_5_VLForConditionalGeneration": (
        ["Qwen2Model", "Qwen2_5_VisionBlock", "Qwen2_5_VisionPatchEmbed", "Qwen2_5_VisionPatchMerger"],
        ["forward", "encoder"],
    ),
    "EagleLlamaForCausalLM": (["LlamaModel"], ["draft"]),
    "Qwen3NextMTP": (["Qwen3NextMTP", "Qwen3NextMultiTokenPredictor"], ["draft"]),
}


@needs_vllm
@slow
@pytest.mark.parametrize("architecture", FAMILIES)
def test_a_family_is_built_and_called(facts_of: Callable[[str], Facts], architecture: str) -> None:
    compiled, calls = FAMILIES[architecture]
    found = facts_of(architecture)
    assert found["architecture"] == architecture
    assert list(found["calls"]) == calls
    assert found["max_tokens"] == 509
    assert found["parameters"] < 10_000_000
    for output in found["calls"].values():
        assert output["lengths"] == (7, 11)
        assert output["repeats"], "an output that differs from call to call cannot be compared"
        assert 0.01 < output["spread"] < 100, "differences must show"
        assert output["queries matter"], "what stands in for attention must depend on its inputs"
    assert next(iter(found["calls"].values()))["compiled"] == compiled


@needs_vllm
@slow
def test_sizes_of_different_meaning_differ(facts_of: Callable[[str], Facts]) -> None:
    found = facts_of("MixtralForCausalLM")
    sizes = [*found["sizes"].values(), found["max_tokens"]]
    assert len(sizes) == 6
    assert len(set(sizes)) == len(sizes)
    assert min(sizes) > 2


@needs_vllm
@slow
def test_a_local_configuration_is_shrunk_and_keeps_one_layer_of_every_kind(
    facts_of: Callable[[str], Facts], tmp_path: Path
) -> None:
    config = {
        "architectures": ["Gemma3ForCausalLM"],
        "model_type": "gemma3_text",
        "hidden_size": 3840,
        "intermediate_size": 15360,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 256,
        "num_hidden_layers": 12,
        "sliding_window": 1024,
        "layer_types": [*["sliding_attention"] * 5, "full_attention"] * 2,
        "vocab_size": 262208,
    }
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for source in (tmp_path, tmp_path / "config.json"):
        found = facts_of(str(source))
        assert found.get("error") is None
        assert found["architecture"] == "Gemma3ForCausalLM"
        assert found["layers"] == ["full_attention", "sliding_attention"]
        assert found["sizes"]["vocab_size"] == VOCABULARY


@needs_vllm
@slow
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "config.json is no JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("[]", 'config.json does not name an architecture: expected "architectures": ["..."]'),
        ('{"architectures": ["NoSuchModel"]}', "vLLM knows no architecture NoSuchModel"),
        (None, "config.json: No such file or directory"),
    ],
)
def test_a_broken_configuration_is_one_clear_line(
    facts_of: Callable[[str], Facts], tmp_path: Path, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content, encoding="utf-8")
    found = facts_of(str(tmp_path))
    assert found["stage"] == "config"
    assert found["error"].endswith(message)
    assert "\n" not in found["error"]


@needs_vllm
@slow
def test_an_unknown_architecture_is_one_clear_line(facts_of: Callable[[str], Facts]) -> None:
    assert facts_of("NoSuchForCausalLM") == {
        "stage": "config",
        "error": "vLLM knows no architecture NoSuchForCausalLM",
    }


def test_one_layer_of_every_kind_stays() -> None:
    small = shrink({"num_hidden_layers": 6, "layer_types": ["a", "a", "b", "a", "a", "b"], "moe": [0, 0, 0, 1, 1, 1]})
    assert small == {"num_hidden_layers": 4, "layer_types": ["a", "b", "a", "b"], "moe": [0, 0, 1, 1]}


def test_values_for_single_layers_move_with_their_layers() -> None:
    small = shrink({"num_hidden_layers": 4, "layer_types": ["a", "a", "a", "b"], "by_layer": {"3": {"x": 1}}})
    assert small["layer_types"] == ["a", "b"]
    assert small["by_layer"] == {"1": {"x": 1}}


def test_indices_of_layers_stay_in_range() -> None:
    small = shrink({"num_hidden_layers": 32, "deepstack_visual_indexes": [8, 16, 24], "vision_feature_layer": -2})
    assert small == {"num_hidden_layers": 2, "deepstack_visual_indexes": [1], "vision_feature_layer": -2}


def test_special_tokens_come_into_the_vocabulary_each_its_own() -> None:
    small = shrink({"vocab_size": 32000, "bos_token_id": 1, "image_token_id": 31998, "video_token_id": 31999})
    tokens = [small[f"{name}_token_id"] for name in ("bos", "image", "video")]
    assert len(set(tokens)) == 3
    assert max(tokens) < small["vocab_size"] == VOCABULARY


@pytest.mark.parametrize(("sections", "total"), [([16, 24, 24], 16), ([11, 11, 10], 16), ([1, 1], 8)])
def test_sections_of_rotary_dims_add_up(sections: list[int], total: int) -> None:
    found = scaled(sections, total)
    assert sum(found) == total
    assert min(found) > 0


def test_parts_for_images_get_sizes_of_their_own() -> None:
    config: dict[str, Any] = {
        "hidden_size": 4096,
        "vision_config": {"hidden_size": 1024, "image_size": 336, "patch_size": 14, "out_hidden_size": 4096},
    }
    small = shrink(config)
    vision = small["vision_config"]
    assert vision["hidden_size"] not in (1024, small["hidden_size"])
    assert vision["out_hidden_size"] == small["hidden_size"]
    assert vision["image_size"] == 84
