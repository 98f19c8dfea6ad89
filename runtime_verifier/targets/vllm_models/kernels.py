"""What stands in for kernels that a step without requests leaves out.

Without attention metadata, attention returns zeros on CUDA and memory that nobody wrote on CPUs. Then nothing that a
model does before attention shows in its output, or the output differs from call to call.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from vllm import _custom_ops
from vllm.forward_context import get_forward_context
from vllm.model_executor.custom_op import CustomOp


def stand_in(model: torch.nn.Module) -> None:
    """Have attention and state spaces without metadata compute something of all their inputs."""
    for module in model.modules():
        implementation = getattr(module, "impl", None)
        if implementation is not None and hasattr(module, "layer_name") and hasattr(implementation, "forward"):
            implementation.forward = _attention(implementation.forward)
        if hasattr(module, "conv_ssm_forward"):
            module.conv_ssm_forward = _state_space(module)
        mixer = getattr(module, "forward_impl", None)
        if mixer is not None and list(inspect.signature(mixer).parameters) == ["hidden_states", "output"]:
            module.forward_impl = _written(mixer)


def use_plain_operators() -> None:
    """Have a model without compilation do what its source says.

    vLLM compiles single operators even where no module is compiled; then eager is no reference. On CPUs, linear layers
    call torch as on CUDA, and not a kernel of oneDNN that wants other strides.
    """

    def as_it_is(operator: CustomOp, forward: Callable[..., Any], *, enable: bool = True) -> Callable[..., Any]:
        del operator, enable
        return forward

    _custom_ops._supports_onednn = False
    CustomOp.maybe_compile = as_it_is


def _attention(forward: Callable[..., Any]) -> Callable[..., Any]:
    def attention(
        layer: Any,
        query: torch.Tensor,
        key: torch.Tensor | None,
        value: torch.Tensor | None,
        kv_cache: Any,
        attn_metadata: Any,
        *rest: Any,
        output: torch.Tensor | None = None,
        **options: Any,
    ) -> Any:
        if attn_metadata is not None or output is None:
            return forward(layer, query, key, value, kv_cache, attn_metadata, *rest, output=output, **options)
        return output.copy_(attend_to_itself(query, key, value, output))

    return attention


def _written(forward: Callable[..., Any]) -> Callable[..., None]:
    """Without metadata, the first kind of Mamba returns what it should have written."""

    def mixer(hidden_states: torch.Tensor, output: torch.Tensor) -> None:
        returned = forward(hidden_states=hidden_states, output=output)
        if isinstance(returned, torch.Tensor):
            output.copy_(returned)

    return mixer


def _state_space(module: torch.nn.Module) -> Callable[..., None]:
    forward, gate = module.conv_ssm_forward, module.tped_intermediate_size

    def state_space(projected_states: torch.Tensor, output: torch.Tensor) -> None:
        if get_forward_context().attn_metadata is not None:
            forward(projected_states=projected_states, output=output)
            return
        # A row is the gate, which is used outside, the values, and what decides how they are mixed over time.
        values, mixing = projected_states[..., gate:].split_with_sizes(
            [output.shape[-1], projected_states.shape[-1] - gate - output.shape[-1]], dim=-1
        )
        output.copy_(values * mixing.mean(-1, keepdim=True).sigmoid())

    return state_space


def attend_to_itself(
    query: torch.Tensor, key: torch.Tensor | None, value: torch.Tensor | None, output: torch.Tensor
) -> torch.Tensor:
    """Each token's value, weighted by how well its query and key fit. [tokens, heads, width]."""
    if key is None or value is None or key.shape[0] != query.shape[0]:
        return query if query.shape == output.shape else torch.zeros_like(output)
    groups = query.shape[1] // key.shape[1]
    weight = (query * key.repeat_interleave(groups, 1)).sum(-1, keepdim=True) * query.shape[-1] ** -0.5
    return (weight.sigmoid() * value.repeat_interleave(groups, 1)).view_as(output)
