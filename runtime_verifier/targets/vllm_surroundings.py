"""vLLM around a user's module: its configuration, a world of one process, and the context of a step."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from vllm.compilation.wrapper import TorchCompileWithNoGuardsWrapper
from vllm.config import CompilationConfig, CompilationMode, VllmConfig, set_current_vllm_config
from vllm.distributed import initialize_model_parallel
from vllm.forward_context import set_forward_context
from vllm.model_executor.layers.quantization.base_config import QuantizeMethodBase

from vllm_lint.runtime_verifier.targets.surroundings import Declared, ignored
from vllm_lint.runtime_verifier.targets.vllm_models import kernels, weights
from vllm_lint.runtime_verifier.targets.vllm_models.build import join_world
from vllm_lint.runtime_verifier.targets.vllm_regions import declared, is_compiled


class WithVllm:
    """As `surroundings.Surroundings`, without a model in the configuration."""

    def __init__(self) -> None:
        self._config = VllmConfig(
            compilation_config=CompilationConfig(mode=CompilationMode.VLLM_COMPILE, custom_ops=["none"])
        )

    @contextmanager
    def building(self) -> Iterator[None]:
        """The configuration of vLLM, with the process groups that its layers ask for."""
        with tempfile.TemporaryDirectory(prefix="vllm-lint-") as folder, set_current_vllm_config(self._config):
            join_world(folder)
            initialize_model_parallel(1, 1)
            kernels.use_plain_operators()
            yield

    def prepare(self, module: torch.nn.Module, *, has_weights: bool) -> None:
        """Layers of vLLM's are made with memory that nobody wrote, and take their kernels after loading."""
        if not has_weights:
            weights.fill(module)
        with set_current_vllm_config(self._config):
            for part in module.modules():
                method = getattr(part, "quant_method", None)
                if isinstance(method, QuantizeMethodBase):
                    method.process_weights_after_loading(part)
        kernels.stand_in(module)

    @contextmanager
    def context(self, tokens: int) -> Iterator[None]:
        """A step of so many tokens, without metadata of attention."""
        with set_current_vllm_config(self._config), set_forward_context(None, self._config, num_tokens=tokens):
            yield

    def declared(self, module: torch.nn.Module) -> Declared:
        """What vLLM's decorator keeps."""
        if not isinstance(module, TorchCompileWithNoGuardsWrapper):
            return {}, {}
        if not is_compiled(module):
            raise ignored(module)
        return declared(module)
