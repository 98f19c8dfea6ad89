"""Finds operators in a captured graph that synchronise host and GPU, which a CUDA graph cannot record."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from vllm_lint.runtime_verifier.outcomes import GraphSync
from vllm_lint.runtime_verifier.worker.evidence import place_of_node

#: Names of methods and functions whose result is on the host or has a size that depends on data.
SYNCS = frozenset(
    {"item", "tolist", "cpu", "numpy", "is_nonzero", "equal", "allclose"}
    | {"nonzero", "argwhere", "masked_select", "bincount"}
    | {"unique", "_unique2", "unique_consecutive", "unique_dim"}
)


def scan(graph: torch.fx.GraphModule) -> Iterator[GraphSync]:
    """The synchronising operators in the order in which they run."""
    for node in graph.graph.nodes:
        if node.op not in ("call_function", "call_method"):
            continue
        name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")
        # Dynamo binds a symbol where a size or a number comes out of data, however that is spelled.
        if "unbacked_bindings" in node.meta or name in SYNCS or _copies_to_host(node, name) or _selects(node, name):
            yield GraphSync(name, place_of_node(node))


def _copies_to_host(node: torch.fx.Node, name: str) -> bool:
    """Whether it is `x.to("cpu")`, or leads there from another device.

    Where everything is on the CPU, `x.to(y.device)` ends there as well, and says nothing about a GPU.
    """
    if name != "to":
        return False
    values = [*node.args, *node.kwargs.values()]
    example = node.args[0].meta.get("example_value") if isinstance(node.args[0], torch.fx.Node) else None
    comes_from_elsewhere = isinstance(example, torch.Tensor) and example.device.type != "cpu"
    return "cpu" in [v for v in values if isinstance(v, str)] or (
        comes_from_elsewhere and any(isinstance(v, torch.device) and v.type == "cpu" for v in values)
    )


def _selects(node: torch.fx.Node, name: str) -> bool:
    """Whether it is `where` with the condition alone, or `x[mask]` with a boolean mask; one number needs no count."""
    if name == "where":
        return len(node.args) + len(node.kwargs) == 1
    if name not in ("getitem", "setitem") or len(node.args) < 2:
        return False
    if name == "setitem" and not _holds_several(node.args[2]):
        return False
    keys = node.args[1] if isinstance(node.args[1], tuple) else (node.args[1],)
    examples = (k.meta.get("example_value") for k in keys if isinstance(k, torch.fx.Node))
    return any(isinstance(e, torch.Tensor) and e.dtype == torch.bool for e in examples)


def _holds_several(value: object) -> bool:
    """Whether what is written to `x[mask]` is a tensor of more than one element."""
    example = value.meta.get("example_value") if isinstance(value, torch.fx.Node) else None
    return isinstance(example, torch.Tensor) and any(not isinstance(n, int) or n != 1 for n in example.shape)
