"""Defects to plant in vLLM's model code, each with the finding that it must lead to."""

from __future__ import annotations

from typing import Any

from tests.verify.planted import Plant

MODELS, LAYERS = "vllm.model_executor.models.", "vllm.model_executor.layers."
BRANCH, SPECIALIZED, ZERO_ONE, DIVISIBILITY = "VL201", "VL202", "VL203", "VL204"
TENSOR, DATA, PRINT, LOG, UNTRACEABLE = "VL101", "VL102", "VL103", "VL104", "VL105"
#: The encoder without a defect has these: its patches come in groups of four.
IN_FOURS = (DIVISIBILITY, BRANCH)
SYNC, REBOUND = "VL401", "VL403"
ENVIRONMENT, ATTRIBUTE, CONTEXT, GLOBAL, LAZY = "VL601", "VL602", "VL603", "VL604", "VL605"
MUTATES, ALIASES, DISAGREES = "VL304", "VL305", "VL306"


def _in(architecture: str, module: str, function: str, before: str) -> Any:
    def plant(name: str, promise: Any, finds: str, code: str, **more: Any) -> Plant:
        return Plant(name, architecture, module, function, before, code, promise, (finds,), **more)

    return plant


_llama_mlp = _in("LlamaForCausalLM", MODELS + "llama", "LlamaMLP.forward", "return x")
_llama_layer = _in(
    "LlamaForCausalLM", MODELS + "llama", "LlamaDecoderLayer.forward", "hidden_states = self.mlp(hidden_states)"
)
_llama_model = _in(
    "LlamaForCausalLM", MODELS + "llama", "LlamaModel.forward", "aux_hidden_states: list[torch.Tensor] = []"
)
_phi3 = _in("Phi3ForCausalLM", MODELS + "llama", "LlamaAttention.forward", "attn_output = self.attn(q, k, v)")
_qwen2 = _in("Qwen2ForCausalLM", MODELS + "qwen2", "Qwen2MLP.forward", "x = self.act_fn(gate_up)")
_qwen2_attention = _in(
    "Qwen2ForCausalLM", MODELS + "qwen2", "Qwen2Attention.forward", "attn_output = self.attn(q, k, v)"
)
_qwen3 = _in("Qwen3ForCausalLM", MODELS + "qwen3", "Qwen3Attention.forward", "attn_output = self.attn(q, k, v)")
_gemma3 = _in("Gemma3ForCausalLM", MODELS + "gemma3", "Gemma3MLP.forward", "return x")
_gemma3_model = _in(
    "Gemma3ForCausalLM",
    MODELS + "gemma3",
    "Gemma3Model.forward",
    "hidden_states, _ = self.norm(hidden_states, residual)",
)
_opt = _in("OPTForCausalLM", MODELS + "opt", "OPTDecoderLayer.forward", "return hidden_states")
_gpt2 = _in("GPT2LMHeadModel", MODELS + "gpt2", "GPT2MLP.forward", "return hidden_states")
_mixtral = _in(
    "MixtralForCausalLM", MODELS + "mixtral", "MixtralMoE.forward", "router_logits, _ = self.gate(hidden_states)"
)
_qwen3_moe = _in(
    "Qwen3MoeForCausalLM",
    MODELS + "qwen3_moe",
    "Qwen3MoeSparseMoeBlock.forward",
    "final_hidden_states = self.experts(",
)
_gpt_oss = _in(
    "GptOssForCausalLM",
    MODELS + "gpt_oss",
    "MLPBlock.forward",
    "x = self.experts(hidden_states=x, router_logits=g)[:, : self.hidden_size]",
)
_olmoe = _in("OlmoeForCausalLM", MODELS + "olmoe", "OlmoeMoE.forward", "final_hidden_states = self.experts(")
_falcon_h1 = _in(
    "FalconH1ForCausalLM",
    MODELS + "falcon_h1",
    "FalconH1ParallelHybrid.forward",
    "hidden_states = hidden_states + residual",
)
_jamba = _in("JambaForCausalLM", MODELS + "jamba", "JambaMoE.forward", "return hidden_states.view(orig_shape)")
_granite_h = _in(
    "GraniteMoeHybridForCausalLM",
    MODELS + "granitemoehybrid",
    "GraniteMoeHybridMambaDecoderLayer.forward",
    "return hidden_states, residual",
)
_mamba2 = _in(
    "Mamba2ForCausalLM", MODELS + "mamba2", "Mamba2DecoderLayer.forward", "output = self.mixer(hidden_states)"
)
_mixer2 = _in(
    "FalconH1ForCausalLM",
    LAYERS + "mamba.mamba_mixer2",
    "MambaMixer2.forward",
    "output, _ = self.out_proj(hidden_states)",
)
_vision = _in(
    "Qwen2_5_VLForConditionalGeneration",
    MODELS + "qwen2_5_vl",
    "Qwen2_5_VisionMLP.forward",
    "x_down, _ = self.down_proj(x)",
)
_vision_merger = _in(
    "Qwen2_5_VLForConditionalGeneration",
    MODELS + "qwen2_5_vl",
    "Qwen2_5_VisionPatchMerger.forward",
    "out = self.mlp(x)",
)
_behind_embeds = _in(
    "Qwen2_5_VLForConditionalGeneration",
    MODELS + "qwen2",
    "Qwen2Model.forward",
    "hidden_states, _ = self.norm(hidden_states, residual)",
)
_llava = _in("LlavaForConditionalGeneration", MODELS + "llama", "LlamaMLP.forward", "return x")
_norm = _in("LlamaForCausalLM", LAYERS + "layernorm", "RMSNorm.forward_native", "if residual is None:")
_gemma_norm = _in(
    "Gemma3ForCausalLM", LAYERS + "layernorm", "GemmaRMSNorm.forward_native", "weight = self.weight.float() + 1.0"
)
_silu = _in("Qwen2ForCausalLM", LAYERS + "activation", "SiluAndMul.forward_native", "d = x.shape[-1] // 2")
_gelu = _in("Gemma3ForCausalLM", LAYERS + "activation", "GeluAndMul.forward_native", "d = x.shape[-1] // 2")
_rotary = _in(
    "Qwen3ForCausalLM", LAYERS + "rotary_embedding.base", "RotaryEmbedding.forward_static", "query_shape = query.shape"
)
_rotary_helper = _in(
    "LlamaForCausalLM", LAYERS + "rotary_embedding.common", "ApplyRotaryEmb.forward_static", "origin_dtype = x.dtype"
)
_linear = _in("MixtralForCausalLM", LAYERS + "linear", "RowParallelLinear.forward", "if not self.return_bias:")
_embedding = _in(
    "LlamaForCausalLM", LAYERS + "vocab_parallel_embedding", "VocabParallelEmbedding.forward", "if self.tp_size == 1:"
)

#: The edits that plain capture was measured with.
FIRST = (
    _llama_mlp("llama-larger-than", "C2", BRANCH, "if x.shape[0] > 256:  # here\n    x = x * 2"),
    _llama_mlp("llama-multiple-of", "C2", BRANCH, "if x.shape[0] % 8 == 0:  # here\n    x = x * 2"),
    _llama_mlp("llama-baked-zeros", "C2", SPECIALIZED, "x = x + torch.zeros(509, 1)  # here"),
    _llama_mlp("llama-slice-of-traced-size", "C2", BRANCH, "x = x[:509]  # here", also=(SPECIALIZED,)),
    _llama_mlp("llama-tensor-truth", "C1", TENSOR, "if x.abs().max() > 1:  # here\n    x = x * 2"),
    _llama_mlp("llama-print", "C1", PRINT, "print(x.shape[0])  # here"),
    _llama_mlp("llama-item", "C5", SYNC, "x = x * x.abs().max().item()  # here"),
    _llama_mlp("llama-one-token", "C2", ZERO_ONE, "if x.shape[0] == 1:  # here\n    x = x * 2"),
    _llama_mlp(
        "llama-forward-context",
        "C3",
        CONTEXT,
        "from vllm.forward_context import get_forward_context\n"
        "if get_forward_context().attn_metadata is None:  # here\n"
        "    x = x * 2",
    ),
    _llama_mlp("llama-counter", "C3", ATTRIBUTE, "self.calls += 1  # here\nx = x * self.calls", init="self.calls = 0"),
    _llama_mlp("llama-blocks-of-eight", "C2", DIVISIBILITY, "x = x.view(-1, 8, x.shape[-1]).flatten(0, 1)  # here"),
)

_OPERATOR = "import torch.library\n\n\n@torch.library.custom_op('planted::{name}', mutates_args=())\n"

SIZES = (
    _qwen2(
        "qwen2-ternary",
        "C2",
        BRANCH,
        "scale = 2.0 if gate_up.shape[0] <= 128 else 1.0  # here\ngate_up = gate_up * scale",
    ),
    _phi3(
        "phi3-match",
        "C2",
        BRANCH,
        "match q.shape[0] // 64:\n    case 7:  # here\n        q = q * 2\n    case _:\n        pass",
    ),
    _qwen3("qwen3-min-of-sizes", "C2", BRANCH, "if min(q.shape[0], 256) < 256:  # here\n    q = q * 2"),
    _gemma3(
        "gemma3-while",
        "C2",
        BRANCH,
        "blocks = x.shape[0]\nwhile blocks > 100:  # here\n    blocks = blocks // 2\n    x = x * 2",
    ),
    _qwen2_attention(
        "qwen2-dict-lookup",
        "C2",
        SPECIALIZED,
        "q = q * {509: 2.0}.get(q.shape[0], 1.0)  # here",
    ),
    _opt(
        "opt-range-over-tokens",
        "C2",
        SPECIALIZED,
        "for i in range(hidden_states.shape[0]):  # here\n    hidden_states = hidden_states + i",
    ),
    _mixtral("mixtral-chunk", "C2", BRANCH, "hidden_states = torch.cat(hidden_states.chunk(4, 0), 0)  # here"),
    _qwen3_moe(
        "qwen3-moe-reshape-groups",
        "C2",
        DIVISIBILITY,
        "hidden_states = hidden_states + hidden_states.reshape(-1, 4, hidden_dim).sum()  # here",
    ),
    _gpt_oss("gpt-oss-one-token", "C2", ZERO_ONE, "if num_tokens == 1:  # here\n    x = x * 2"),
    _falcon_h1("falcon-h1-narrow", "C2", BRANCH, "hidden_states = hidden_states + hidden_states[:64].sum()  # here"),
    _jamba("jamba-divisible", "C2", BRANCH, "hidden_states = hidden_states * (1 if orig_shape[0] % 64 else 2)  # here"),
    _mamba2(
        "mamba2-baked-size", "C2", SPECIALIZED, "hidden_states = hidden_states + hidden_states.new_ones(509, 1)  # here"
    ),
    _vision("vision-mlp-branch", "C2", BRANCH, "if x.shape[0] > 300:  # here\n    x = x * 2", also=IN_FOURS),
    _behind_embeds(
        "behind-embeds-branch",
        "C2",
        BRANCH,
        "if hidden_states.numel() > 20000:  # here\n    hidden_states = hidden_states * 2",
        also=IN_FOURS,
    ),
    _norm("norm-one-token", "C2", ZERO_ONE, "if x.shape[0] < 2:  # here\n    x = x * 2"),
    _rotary_helper(
        "rotary-helper-power-of-two", "C2", BRANCH, "if x.shape[0] & (x.shape[0] - 1) == 0:  # here\n    x = x * 2"
    ),
    _rotary("rotary-padding", "C2", BRANCH, "pad = -num_tokens % 8\nif pad:  # here\n    query = query * 2"),
    _silu("silu-squared-size", "C2", BRANCH, "factor = int(x.shape[0] > 64)  # here\nx = x * (1 + factor)"),
    _llama_model("llama-model-early-assert", "C2", BRANCH, "assert hidden_states.shape[0] >= 64  # here"),
    _linear(
        "linear-two-decisions",
        "C2",
        ZERO_ONE,
        "if output.shape[0] > 400:\n    output = output * 2\nif output.shape[0] == 1:  # here\n    output = output * 3",
        also=(BRANCH,),
    ),
)

DATA_AND_BREAKS = (
    _qwen2("qwen2-logger", "C1", LOG, "import logging\nlogging.getLogger('x').info('mlp')  # here"),
    _gpt2("gpt2-time", "C1", UNTRACEABLE, "import time\nhidden_states = hidden_states + time.perf_counter()  # here"),
    _mixtral(
        "mixtral-expert-loop",
        "C1",
        DATA,
        "for i in range(int(hidden_states.abs().max())):  # here\n    hidden_states = hidden_states + i",
    ),
    _gpt_oss("gpt-oss-any", "C1", TENSOR, "if (x > 3).any():  # here\n    x = x * 2"),
    _granite_h(
        "granite-h-nan-check",
        "C1",
        DATA,
        "if torch.isnan(hidden_states).sum().item() > 0:  # here\n    hidden_states = hidden_states * 0",
    ),
    _vision_merger("vision-print", "C1", PRINT, "print('merging', x.shape)  # here", also=IN_FOURS),
    _rotary("rotary-warning", "C1", LOG, "import warnings\nwarnings.warn('slow path', stacklevel=2)  # here"),
    _gemma_norm("gemma-norm-list-index", "C1", DATA, "x = x * [1.0, 2.0][int(x.argmax() > 0)]  # here"),
    _llava("llava-random", "C1", UNTRACEABLE, "import random\nx = x * random.choice([1.0, 2.0])  # here"),
    _olmoe(
        "olmoe-file",
        "C1",
        UNTRACEABLE,
        "import os\nif os.path.exists('/tmp/debug'):  # here\n    hidden_states = hidden_states * 2",
    ),
)

SYNCS = (
    _opt("opt-nonzero", "C5", SYNC, "hidden_states = hidden_states + (hidden_states > 0).nonzero().sum()  # here"),
    _mixtral(
        "mixtral-mask-read",
        "C5",
        SYNC,
        "hidden_states = hidden_states + hidden_states[hidden_states > 0].sum()  # here",
    ),
    _qwen3_moe(
        "qwen3-moe-cpu",
        "C5",
        SYNC,
        "hidden_states = hidden_states + hidden_states.sum(0).cpu().to(hidden_states.device)  # here",
    ),
    _jamba("jamba-unique", "C5", SYNC, "hidden_states = hidden_states + hidden_states.long().unique().sum()  # here"),
    _gpt2(
        "gpt2-repeat-interleave",
        "C5",
        SYNC,
        "counts = torch.ones_like(hidden_states[:, 0], dtype=torch.int64)\n"
        "hidden_states = hidden_states.repeat_interleave(counts, 0)[: hidden_states.shape[0]]  # here",
    ),
    _falcon_h1(
        "falcon-h1-tolist",
        "C5",
        SYNC,
        "first, second = hidden_states.argmax(0)[:2].tolist()  # here\nhidden_states = hidden_states + first + second",
    ),
    _gelu("gelu-mask-write", "C5", SYNC, "x = x.clone()\nx[x > 1] = x.flatten()[x.flatten() > 1]  # here"),
    _embedding("embedding-to-host", "C5", SYNC, "input_ = input_.to('cpu').to(self.weight.device)  # here"),
)

STEPS = (
    _qwen2(
        "qwen2-global-counter",
        "C3",
        GLOBAL,
        "global _STEPS\n_STEPS += 1  # here\ngate_up = gate_up * _STEPS",
        top="_STEPS = 0\n\n",
    ),
    _qwen3(
        "qwen3-global-list",
        "C3",
        GLOBAL,
        "_SEEN.append(1)  # here\nq = q * len(_SEEN)",
        top="_SEEN: list[int] = []\n\n",
    ),
    _gemma3(
        "gemma3-closure",
        "C3",
        GLOBAL,
        "x = x * _count()",
        top=(
            "def _counter():\n    count = 0\n\n    def step():\n        nonlocal count\n"
            "        count += 1  # here\n        return count\n\n    return step\n\n\n_count = _counter()\n\n"
        ),
    ),
    _mixtral(
        "mixtral-growing-list",
        "C3",
        ATTRIBUTE,
        "self.history.append(1)  # here\nhidden_states = hidden_states * len(self.history)",
        init="self.history = []",
    ),
    _gpt_oss(
        "gpt-oss-lazy-init",
        "C3",
        LAZY,
        "if self.first is None:  # here\n    self.first = 2.0\n    x = x * self.first",
        init="self.first = None",
    ),
    _falcon_h1(
        "falcon-h1-toggle",
        "C3",
        ATTRIBUTE,
        "hidden_states = hidden_states * (2 if self.even else 1)  # here\nself.even = not self.even",
        init="self.even = True",
    ),
    _mamba2(
        "mamba2-dict-cache",
        "C3",
        ATTRIBUTE,
        "self.cache['n'] = self.cache.get('n', 0) + 1  # here\nhidden_states = hidden_states * self.cache['n']",
        init="self.cache = {}",
    ),
    _mixer2(
        "mixer2-context-num-tokens",
        "C3",
        CONTEXT,
        "from vllm.forward_context import get_forward_context\n"
        "if get_forward_context().batch_descriptor is not None:  # here\n    hidden_states = hidden_states * 2",
    ),
    _behind_embeds(
        "behind-embeds-config-object",
        "C3",
        ATTRIBUTE,
        "_STATE.step += 1  # here\nhidden_states = hidden_states * _STATE.step",
        top="class _State:\n    step = 0\n\n\n_STATE = _State()\n\n",
        also=IN_FOURS,
    ),
    _gpt2(
        "gpt2-environment",
        "C3",
        ENVIRONMENT,
        "import os\nif os.environ.get('PLANTED_DEBUG'):  # here\n    hidden_states = hidden_states * 2",
    ),
    _opt(
        "opt-buffer-rebound",
        "C5",
        REBOUND,
        "self.seen = self.seen + hidden_states.sum()  # here\nhidden_states = hidden_states + self.seen",
        init="self.register_buffer('seen', torch.zeros(()), persistent=False)",
    ),
    _llama_layer(
        "llama-tensor-kept",
        "C5",
        REBOUND,
        "self.last_hidden = hidden_states  # here",
        init="self.last_hidden = None",
    ),
)

OPERATORS = (
    _llama_mlp(
        "operator-mutates",
        "C4",
        MUTATES,
        "x = torch.ops.planted.scale_in_place(x)  # here",
        top=_OPERATOR.format(name="scale_in_place")
        + "def _scale(x: torch.Tensor) -> torch.Tensor:\n    x.mul_(2)\n    return x.clone()\n\n\n"
        "@_scale.register_fake\ndef _(x):\n    return torch.empty_like(x)\n\n",
    ),
    _qwen2(
        "operator-wrong-shape",
        "C4",
        DISAGREES,
        "gate_up = gate_up + torch.ops.planted.halved(gate_up).sum()  # here",
        top=_OPERATOR.format(name="halved")
        + "def _halved(x: torch.Tensor) -> torch.Tensor:\n    return x[:, : x.shape[1] // 2].clone()\n\n\n"
        "@_halved.register_fake\ndef _(x):\n    return torch.empty_like(x)\n\n",
    ),
    _mixtral(
        "operator-wrong-dtype",
        "C4",
        DISAGREES,
        "hidden_states = hidden_states + torch.ops.planted.routed(hidden_states).float()  # here",
        top=_OPERATOR.format(name="routed")
        + "def _routed(x: torch.Tensor) -> torch.Tensor:\n    return x.to(torch.bfloat16)\n\n\n"
        "@_routed.register_fake\ndef _(x):\n    return torch.empty_like(x)\n\n",
    ),
    _falcon_h1(
        "operator-wrong-stride",
        "C4",
        DISAGREES,
        "hidden_states = torch.ops.planted.columns(hidden_states).contiguous()  # here",
        top=_OPERATOR.format(name="columns")
        + "def _columns(x: torch.Tensor) -> torch.Tensor:\n    return x.t().contiguous().t()\n\n\n"
        "@_columns.register_fake\ndef _(x):\n    return torch.empty_like(x)\n\n",
    ),
    _vision(
        "operator-aliases",
        "C4",
        ALIASES,
        "x = torch.ops.planted.same(x)  # here",
        also=IN_FOURS,
        top="_library = torch.library.Library('planted', 'FRAGMENT')\n"
        "_library.define('same(Tensor x) -> Tensor')\n_library.impl('same', lambda x: x, 'CPU')\n"
        "_library.impl('same', lambda x: torch.empty_like(x), 'Meta')\n\n",
    ),
    _qwen3_moe(
        "operator-without-fake",
        "C4",
        "GB4315",
        "hidden_states = torch.ops.planted.plain(hidden_states)  # here",
        top=_OPERATOR.format(name="plain") + "def _plain(x: torch.Tensor) -> torch.Tensor:\n    return x.clone()\n\n",
    ),
)

ON_A_GPU = "a tensor of a CPU is on the host already, so the graph holds no copy"
GPU_ONLY = (
    _llama_mlp(
        "host-to-device-copy",
        "C5",
        "host-to-device-copy",
        "x = x * torch.tensor([2.0]).to(x.device)  # here",
        gpu_only=ON_A_GPU,
    ),
    _opt(
        "pageable-input",
        "C5",
        "host-to-device-copy",
        "hidden_states = hidden_states + torch.ones(1).to(hidden_states.device)  # here",
        gpu_only=ON_A_GPU,
    ),
)

DEFECTS = (*FIRST, *SIZES, *DATA_AND_BREAKS, *SYNCS, *STEPS, *OPERATORS)
