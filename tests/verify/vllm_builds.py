"""What `test_vllm_models` does in a child of a process that has imported vLLM: it is asked for facts, not objects."""

from __future__ import annotations

from typing import Any

Facts = dict[str, Any]


def facts(source: str) -> Facts:
    """Build `source`, call it, and say what came of it."""
    import torch

    from vllm_lint.runtime_verifier.targets.vllm_models.build import NotBuilt, build

    torch.set_num_threads(1)
    try:
        built = build(source)
    except NotBuilt as error:
        return {"stage": error.stage, "error": str(error)}
    config = built.vllm_config.model_config.hf_text_config
    found: Facts = {
        "architecture": built.architecture,
        "calls": {call.name: _outputs(built.model, call) for call in built.calls},
        "layers": sorted(set(getattr(config, "layer_types", None) or [])),
        "sizes": {
            name: getattr(config, name)
            for name in ("hidden_size", "num_attention_heads", "num_key_value_heads", "num_local_experts", "vocab_size")
            if hasattr(config, name)
        },
        "parameters": sum(p.numel() for p in built.model.parameters()),
        "max_tokens": built.vllm_config.scheduler_config.max_num_batched_tokens,
    }
    return found


def _outputs(model: Any, call: Any) -> Facts:
    """The output without compilation: its length at two sizes, its spread, and whether it depends on what it should."""
    import torch

    compiled = [module for module in model.modules() if getattr(module, "do_not_compile", None) is False]
    for module in compiled:
        module.do_not_compile = True

    def tensor(n: int) -> torch.Tensor:
        output = call.run(n)
        while isinstance(output, list | tuple):
            output = output[0]
        assert isinstance(output, torch.Tensor)
        return output.clone()

    first, again, longer = tensor(7), tensor(7), tensor(11)
    with call.context(7), torch.no_grad():
        weights = [p for name, p in model.named_parameters() if name.endswith(("qkv_proj.weight", "qkv.weight"))]
        for weight in weights:
            weight[: weight.shape[0] // 3].mul_(-1)
    return {
        "compiled": sorted({type(module).__name__ for module in compiled}),
        "lengths": (first.shape[0], longer.shape[0]),
        "repeats": torch.equal(first, again),
        "spread": first.float().std().item(),
        "queries matter": not weights or not torch.equal(first, tensor(7)),
    }
