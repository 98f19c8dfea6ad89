"""What vLLM's layers return, for when vLLM itself cannot be read.

A plugin is often checked where vLLM is not installed, as in a pre-commit environment. By the names of vLLM's modules
their layers' results are known as far as the token count goes; widths are not.
"""

from __future__ import annotations

from collections.abc import Callable

from vllm_lint.analyzer.sizes import Size
from vllm_lint.analyzer.values import NONE, UNKNOWN, Sequence, Tensor, Value, choice, tensor_among

PACKAGE = "vllm.model_executor.layers."


def call_vllm_layer(name: str, args: list[Value], kwargs: dict[str, Value]) -> Value:
    """The result of calling a layer of the class `name`, a dotted name below `PACKAGE`."""
    tensors = [t for t in map(tensor_among, [*args, *kwargs.values()]) if t is not None]
    if not tensors:
        return UNKNOWN
    module = name.removeprefix(PACKAGE).partition(".")[0]
    result = _RESULTS.get(module)
    return result(tensors) if result is not None else UNKNOWN


def _rows(tensor: Tensor) -> Tensor:
    """A tensor with a row for each row of `tensor`."""
    shape = None if not tensor.shape else (tensor.shape[0], Size.static("?"))
    return Tensor(shape, exact=False, trail=tensor.trail, inputs=tensor.inputs)


def _linear(tensors: list[Tensor]) -> Value:
    return Sequence("tuple", [_rows(tensors[0]), choice([Tensor(parameter=True), NONE])], UNKNOWN)


def _norm(tensors: list[Tensor]) -> Value:
    """With a residual, both come back."""
    rows: list[Value] = [_rows(t) for t in tensors[:2]]
    return Sequence("tuple", rows, UNKNOWN) if len(rows) > 1 else rows[0]


def _rotary(tensors: list[Tensor]) -> Value:
    """`rotary_emb(positions, query, key)` gives query and key."""
    rows: list[Value] = [_rows(t) for t in tensors[1:3]]
    return Sequence("tuple", rows, UNKNOWN) if rows else UNKNOWN


def _first(tensors: list[Tensor]) -> Value:
    return _rows(tensors[0])


_RESULTS: dict[str, Callable[[list[Tensor]], Value]] = {
    "linear": _linear,
    "layernorm": _norm,
    "rotary_embedding": _rotary,
    "activation": _first,
    "attention": _first,
    "fused_moe": _first,
    "vocab_parallel_embedding": _first,
}
