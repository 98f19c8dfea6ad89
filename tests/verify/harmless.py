"""Edits of vLLM's model code that keep the contract: nothing may be found."""

from __future__ import annotations

from typing import Any

from tests.verify.defects import LAYERS, MODELS
from tests.verify.planted import Plant


def _in(architecture: str, module: str, function: str, before: str) -> Any:
    def plant(name: str, promise: Any, code: str, **more: Any) -> Plant:
        return Plant(name, architecture, module, function, before, code, promise, **more)

    return plant


_mlp = _in("LlamaForCausalLM", MODELS + "llama", "LlamaMLP.forward", "return x")
_model = _in("LlamaForCausalLM", MODELS + "llama", "LlamaModel.forward", "aux_hidden_states: list[torch.Tensor] = []")
_qwen2 = _in("Qwen2ForCausalLM", MODELS + "qwen2", "Qwen2Attention.forward", "attn_output = self.attn(q, k, v)")
_gemma3 = _in("Gemma3ForCausalLM", MODELS + "gemma3", "Gemma3MLP.forward", "return x")
_mixtral = _in(
    "MixtralForCausalLM", MODELS + "mixtral", "MixtralMoE.forward", "router_logits, _ = self.gate(hidden_states)"
)
_falcon_h1 = _in(
    "FalconH1ForCausalLM",
    MODELS + "falcon_h1",
    "FalconH1ParallelHybrid.forward",
    "hidden_states = hidden_states + residual",
)
_vision = _in(
    "Qwen2_5_VLForConditionalGeneration",
    MODELS + "qwen2_5_vl",
    "Qwen2_5_VisionMLP.forward",
    "x_down, _ = self.down_proj(x)",
)
_rotary = _in(
    "Qwen3ForCausalLM", LAYERS + "rotary_embedding.base", "RotaryEmbedding.forward_static", "query_shape = query.shape"
)
_linear = _in("MixtralForCausalLM", LAYERS + "linear", "RowParallelLinear.forward", "if not self.return_bias:")
_opt = _in("OPTForCausalLM", MODELS + "opt", "OPTDecoderLayer.forward", "return hidden_states")

HARMLESS = (
    _mlp("static-assert", "C2", "assert x.shape[-1] % 2 == 0, f'odd width {x.shape[-1]}'"),
    _mlp("view-with-tokens", "C2", "x = x.view(x.shape[0], -1, 2).flatten(1)"),
    _mlp("logging-when-not-compiling", "C1", "if not torch.compiler.is_compiling():\n    print('eager', x.shape)"),
    _mlp("where-instead-of-if", "C1", "x = torch.where(x.abs().max() > 1, x * 0.5, x)"),
    _model("size-from-positions", "C2", "hidden_states = hidden_states.view(positions.shape[0], -1)"),
    _qwen2("isinstance", "C1", "if isinstance(q, torch.Tensor) and q.dim() == 2:\n    q = q.contiguous()"),
    _qwen2("decided-by-configuration", "C3", "if self.total_num_kv_heads > 64:\n    q = q * 2"),
    _qwen2("item-that-nobody-uses", "C5", "largest = q.abs().sum().item()"),  # torch leaves it out of the graph
    _gemma3("narrow-static-dim", "C2", "x = x + x[:, :4].sum(-1, keepdim=True)"),
    _gemma3("buffer-of-tokens", "C2", "x = x + torch.zeros(x.shape[0], 1, dtype=x.dtype)"),
    _mixtral(
        "minimum-as-slice-end",
        "C2",
        "hidden_states = hidden_states + hidden_states[: min(hidden_states.shape[0], 4)].sum()",
    ),
    _mixtral(
        "round-up",
        "C2",
        "tokens = hidden_states.shape[0]\npadded = (tokens + 63) // 64 * 64\n"
        "hidden_states = torch.nn.functional.pad(hidden_states, (0, 0, 0, padded - tokens))[:tokens]",
    ),
    _falcon_h1(
        "buffer-filled-in-place",
        "C5",
        "self.largest.copy_(hidden_states.abs().max())\nhidden_states = hidden_states + self.largest",
        init="self.register_buffer('largest', torch.zeros(()), persistent=False)",
    ),
    _vision("static-loop", "C1", "for part in x.chunk(2, dim=-1):\n    x = x + part.sum()"),
    _rotary(
        "arange-of-tokens", "C2", "query = query + torch.arange(num_tokens, device=query.device).unsqueeze(-1) * 0.001"
    ),
    _linear("closed-over-constant", "C3", "scale = _SCALE\noutput = output * scale", top="_SCALE = 2.0\n\n"),
    _opt(
        "honest-operator",
        "C4",
        "hidden_states = torch.ops.planted.honest(hidden_states)",
        top="import torch.library\n\n\n@torch.library.custom_op('planted::honest', mutates_args=())\n"
        "def _honest(x: torch.Tensor) -> torch.Tensor:\n    return x * 2\n\n\n"
        "@_honest.register_fake\ndef _(x):\n    return torch.empty_like(x)\n\n",
    ),
    _opt(
        "declared-mutation",
        "C4",
        "hidden_states = hidden_states.clone()\ntorch.ops.planted.scale_(hidden_states)",
        top="import torch.library\n\n\n@torch.library.custom_op('planted::scale_', mutates_args=('x',))\n"
        "def _scale(x: torch.Tensor) -> None:\n    x.mul_(2)\n\n",
    ),
)
