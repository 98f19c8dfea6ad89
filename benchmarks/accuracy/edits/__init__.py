"""The edits that `mutate.py` plants: for each rule code that breaks it, and code that looks like it and is right.

A rule gets its edits as entries of its family's list, and nothing else.
"""

from __future__ import annotations

from benchmarks.accuracy.edits.compile_cache import COMPILE_CACHE
from benchmarks.accuracy.edits.cuda_graphs import CUDA_GRAPHS
from benchmarks.accuracy.edits.custom_operators import CUSTOM_OPERATORS
from benchmarks.accuracy.edits.dynamic_shapes import DYNAMIC_SHAPES
from benchmarks.accuracy.edits.edit import Edit
from benchmarks.accuracy.edits.graph_breaks import GRAPH_BREAKS
from benchmarks.accuracy.edits.step_state import STEP_STATE

__all__ = ["EDITS", "Edit"]

EDITS: tuple[Edit, ...] = (
    *GRAPH_BREAKS,
    *DYNAMIC_SHAPES,
    *CUSTOM_OPERATORS,
    *CUDA_GRAPHS,
    *COMPILE_CACHE,
    *STEP_STATE,
)
