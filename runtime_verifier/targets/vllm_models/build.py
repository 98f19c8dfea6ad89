"""Builds a tiny random model of an architecture through vLLM's own configuration and loader."""

from __future__ import annotations

import json
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from vllm.config import CompilationConfig, CompilationMode, VllmConfig, set_current_vllm_config
from vllm.distributed import init_distributed_environment, initialize_model_parallel
from vllm.distributed.parallel_state import destroy_model_parallel
from vllm.engine.arg_utils import EngineArgs
from vllm.model_executor.model_loader.utils import initialize_model, process_weights_after_loading
from vllm.platforms import current_platform

from vllm_lint.runtime_verifier.targets.vllm_models import configs, kernels, tokenizers, weights
from vllm_lint.runtime_verifier.targets.vllm_models.drafts import Draft, draft_of, speculative_config
from vllm_lint.runtime_verifier.targets.vllm_models.encoders import encoder_calls
from vllm_lint.runtime_verifier.targets.vllm_models.inputs import Call, forward_call
from vllm_lint.runtime_verifier.targets.vllm_models.registry import (
    NotBuilt,
    Stage,
    architectures,
    canonical,
    inspect_in_process,
    model_class,
    one_line,
)
from vllm_lint.runtime_verifier.targets.vllm_models.repair import guess, repair
from vllm_lint.runtime_verifier.targets.vllm_models.shrink import shrink
from vllm_lint.runtime_verifier.targets.vllm_models.special import apply, required, special

__all__ = ["BuiltModel", "Call", "NotBuilt", "architectures", "build"]

#: Read by vLLM and transformers when they are used, not when they are imported.
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_USE_AOT_COMPILE": "0",
    "VLLM_USE_BYTECODE_HOOK": "0",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_HOST_IP": "127.0.0.1",
    "GLOO_SOCKET_IFNAME": "lo",
    "NCCL_SOCKET_IFNAME": "lo",
}
_ATTEMPTS = 40

#: What a configuration that is made up starts with; the rest is added when a model asks for it.
_COMMON = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "max_position_embeddings",
    "rms_norm_eps",
    "hidden_act",
    "rope_parameters",
)


@dataclass
class Plan:
    """What an attempt is made with, and what the next one changes."""

    config: dict[str, Any]
    draft: Draft | None
    draft_config: dict[str, Any] | None = None
    compile_encoder: bool = True
    dtype: str = "float32"
    """Rounding errors stay small, so that a difference is one. In bfloat16 those of Inductor choose other experts."""

    def repaired(self, error: BaseException) -> bool:
        """Whether another attempt may get further."""
        if repair(self.config, error) or (self.draft_config is not None and repair(self.draft_config, error)):
            return True
        if self.compile_encoder and re.search("compile_mm_encoder|dynamic_arg_dims", str(error)):
            self.compile_encoder = False  # it has none that vLLM can compile
            return True
        if self.dtype == "float32" and re.search(r"bfloat16|BFloat16|bf16|float16|dtype", one_line(error)):
            self.dtype = "bfloat16"
            return True
        return False


@dataclass
class BuiltModel:
    """A model and what the model runner does with it."""

    architecture: str
    model: torch.nn.Module
    vllm_config: VllmConfig
    calls: tuple[Call, ...]


def build(source: str, max_tokens: int = 509) -> BuiltModel:
    """Build a tiny random model, once in a process.

    Args:
        source: the name of an architecture, or the path of a `config.json` or of its folder.
        max_tokens: the largest number of tokens in a call.

    Raises:
        NotBuilt: there is no such architecture, no configuration for it, or building it raises.
    """
    os.environ.update(ENVIRONMENT)
    inspect_in_process()
    kernels.use_plain_operators()
    config, architecture = _config(source)
    tokenizers.stand_in(model_class(architecture))
    draft = draft_of(architecture)
    if draft is not None and draft.method != "mtp":
        plan = Plan(_default_config(draft.target), draft, config | {"architectures": [canonical(architecture)]})
    else:
        if draft is not None and not config.get("num_nextn_predict_layers"):
            config["num_nextn_predict_layers"] = 1
        plan = Plan(config, draft)
    with tempfile.TemporaryDirectory(prefix="vllm-lint-") as folder:
        os.environ["VLLM_CACHE_ROOT"] = os.path.join(folder, "cache")
        join_world(folder)
        vllm_config, model = _attempts(plan, Path(folder), max_tokens)
    forward = forward_call("draft" if draft else "forward", model, vllm_config)
    return BuiltModel(architecture, model, vllm_config, (forward, *encoder_calls(model, vllm_config)))


def _attempts(plan: Plan, folder: Path, max_tokens: int) -> tuple[VllmConfig, torch.nn.Module]:
    """Build; where an attribute or another type of numbers is all that lacks, try again with that."""
    for attempt in range(_ATTEMPTS):
        inside = folder / str(attempt)
        inside.mkdir()
        stage: Stage = "config"
        try:
            vllm_config = _vllm_config(plan, inside, max_tokens)
            stage = "build"
            return vllm_config, _load(vllm_config, plan.draft)
        except Exception as error:
            if plan.repaired(error):
                continue
            raise NotBuilt(stage, one_line(error)) from error
    raise NotBuilt("config", f"the configuration still lacks something after {_ATTEMPTS} attempts")


def _config(source: str) -> tuple[dict[str, Any], str]:
    if os.sep in source or source.endswith(".json") or os.path.isdir(source):
        config = read_config(Path(source))
        architecture = config["architectures"][0]
        model_class(architecture)
        return shrink(config), architecture
    model_class(source)
    draft = draft_of(source)  # a multi-token prediction module is described by the configuration of its target
    return _default_config(draft.target if draft and draft.method == "mtp" else source), source


def _default_config(architecture: str) -> dict[str, Any]:
    entries = special(architecture)
    named = next((e.class_name for e in reversed(entries) if e.class_name), None)
    typed = next((e.model_type for e in reversed(entries) if e.model_type), None)
    cls = None
    if named is None:
        cls = configs.class_of_type(typed) if typed else configs.config_class(architecture)[0]
    if cls is None:
        cls = configs.made_up(architecture, named)
        config = {name: guess(name) for name in _COMMON}
        cls.model_type = next((e.values["model_type"] for e in entries if "model_type" in e.values), cls.model_type)
    else:
        config = shrink(configs.defaults(cls, required(entries)))
    return {"model_type": configs.register(cls)} | apply(config, entries) | {"architectures": [architecture]}


def read_config(path: Path) -> dict[str, Any]:
    """A `config.json`.

    Raises:
        NotBuilt: it cannot be read, is no JSON object, or does not name an architecture.
    """
    file = path / "config.json" if path.is_dir() else path
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise NotBuilt("config", f"cannot read {file}: {error.strerror}") from error
    except ValueError as error:
        raise NotBuilt("config", f"{file} is no JSON: {error}") from error
    names = config.get("architectures") if isinstance(config, dict) else None
    if not isinstance(names, list) or not names or not isinstance(names[0], str):
        raise NotBuilt("config", f'{file} does not name an architecture: expected "architectures": ["..."]')
    known: dict[str, Any] = config
    return known


def _vllm_config(plan: Plan, folder: Path, max_tokens: int) -> VllmConfig:
    speculative = None
    if plan.draft is not None:
        speculative = speculative_config(plan.draft, _write(folder / "draft", plan.draft_config or {}))
    return EngineArgs(
        model=_write(folder / "model", plan.config),
        speculative_config=speculative,
        skip_tokenizer_init=True,
        load_format="dummy",
        dtype=plan.dtype,
        max_model_len=max_tokens,
        max_num_batched_tokens=max_tokens,
        max_num_seqs=min(max_tokens, 16),
        enable_prefix_caching=False,
        enable_chunked_prefill=True,
        compilation_config=CompilationConfig(
            mode=CompilationMode.VLLM_COMPILE, custom_ops=["none"], compile_mm_encoder=plan.compile_encoder
        ),
    ).create_engine_config()


def _write(folder: Path, config: dict[str, Any]) -> str:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return str(folder)


def _load(vllm_config: VllmConfig, draft: Draft | None) -> torch.nn.Module:
    model_config = vllm_config.model_config
    if draft is not None:
        model_config = vllm_config.speculative_config.draft_model_config
    device = torch.device(current_platform.device_type)
    before = torch.get_default_dtype()
    with set_current_vllm_config(vllm_config):
        initialize_model_parallel(1, 1)  # which groups there are depends on the configuration
        try:
            torch.set_default_dtype(model_config.dtype)
            with device:
                model = initialize_model(vllm_config, model_config=model_config)
                weights.fill(model)
                process_weights_after_loading(model, model_config, device)
        except BaseException:
            destroy_model_parallel()
            raise
        finally:
            torch.set_default_dtype(before)
    kernels.stand_in(model)
    return model.eval()


def join_world(folder: str) -> None:
    """Make a world of one process."""
    if current_platform.device_type == "cuda":
        torch.cuda.set_device(0)
    backend = getattr(current_platform, "dist_backend", "gloo") or "gloo"
    init_distributed_environment(1, 0, f"file://{folder}/rendezvous", 0, backend)
    try:
        from vllm.v1.worker.workspace import init_workspace_manager
    except ImportError:  # before vLLM had one
        return
    init_workspace_manager(torch.device(current_platform.device_type))
