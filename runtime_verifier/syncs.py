"""Finds operators in a captured graph that synchronise host and GPU, which a CUDA graph cannot record."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from vllm_lint.runtime_verifier.outcomes import GraphSync, Place
from vllm_lint.runtime_verifier.trace_evidence import FRAME

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
        if name in SYNCS or _copies_to_host(node, name) or _selects_by_mask(node, name):
            frames = FRAME.findall(node.stack_trace or "")
            place = Place(frames[-1][0], int(frames[-1][1]), frames[-1][2]) if frames else None
            yield GraphSync(name, place)


def _copies_to_host(node: torch.fx.Node, name: str) -> bool:
    values = [*node.args, *node.kwargs.values()]
    return name == "to" and any(v == "cpu" or v == torch.device("cpu") for v in values)


def _selects_by_mask(node: torch.fx.Node, name: str) -> bool:
    """Whether it is `x[mask]` read with a boolean mask, or `where` with the condition alone."""
    if name == "where":
        return len(node.args) + len(node.kwargs) == 1
    if name != "getitem" or len(node.args) < 2:
        return False
    keys = node.args[1] if isinstance(node.args[1], tuple) else (node.args[1],)
    examples = (k.meta.get("example_value") for k in keys if isinstance(k, torch.fx.Node))
    return any(isinstance(e, torch.Tensor) and e.dtype == torch.bool for e in examples)
