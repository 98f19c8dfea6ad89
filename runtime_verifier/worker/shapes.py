"""Compares the shapes that a captured graph notes of its operations with those that they have at another size.

A compiler believes what the capture noted: Inductor reads beyond the end of a slice that has fewer rows than that. The
captured graph itself, run as it is, shows nothing of it. Worker processes only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sympy
import torch


class WatchedGraph(torch.fx.Interpreter):  # type: ignore[misc]  # torch has no types here
    """A captured graph that notes in `differs`, while `watching`, whether an operation has another shape than noted."""

    def __init__(self, graph: torch.fx.GraphModule) -> None:
        super().__init__(graph)
        self.extra_traceback = False
        self.watching = False
        self.differs = False
        self._graph = graph
        self._symbols: dict[sympy.Symbol, sympy.Integer] = {}
        self._known: dict[sympy.Expr, sympy.Expr] = {}

    def __call__(self, *arguments: Any) -> Any:
        """What the graph returns."""
        if not self.watching:
            return self._graph(*arguments)
        self._symbols, self._known = _symbols_of(self._graph, arguments), {}
        return self.run(*arguments)

    def run_node(self, n: torch.fx.Node) -> Any:
        """Run one operation, and compare."""
        result = super().run_node(n)
        noted = n.meta.get("example_value")
        if isinstance(noted, torch.Tensor) and isinstance(result, torch.Tensor):
            self.differs |= noted.ndim != result.ndim or not all(map(self._is, noted.shape, result.shape))
        return result

    def _is(self, noted: int | torch.SymInt, size: int) -> bool:
        """Whether a size is as noted, or came out of data."""
        if isinstance(noted, int):
            return noted == size
        expression = noted.node.expr
        if expression not in self._known:
            self._known[expression] = expression.xreplace(self._symbols)
        value = self._known[expression]
        return bool(value.free_symbols) or int(value) == size


@contextmanager
def watching(graph: WatchedGraph | None) -> Iterator[WatchedGraph | None]:
    """Compare shapes in the calls within."""
    if graph is not None:
        graph.watching, graph.differs = True, False
    try:
        yield graph
    finally:
        if graph is not None:
            graph.watching = False


def _symbols_of(graph: torch.fx.GraphModule, arguments: tuple[Any, ...]) -> dict[sympy.Symbol, sympy.Integer]:
    """The sizes of this call, by the symbol that the capture gave them."""
    found: dict[Any, Any] = {}
    for node, given in zip(graph.graph.find_nodes(op="placeholder"), arguments, strict=True):
        noted = node.meta.get("example_value")
        pairs = [(noted, given)]
        if isinstance(noted, torch.Tensor) and isinstance(given, torch.Tensor):
            pairs = list(zip(noted.shape, given.shape, strict=True))
        for size, number in pairs:
            if isinstance(size, torch.SymInt) and isinstance(size.node.expr, sympy.Symbol):
                found[size.node.expr] = sympy.Integer(int(number))
    return found
