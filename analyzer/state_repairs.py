"""Edits for tensors that a CUDA graph must find where they were."""

from __future__ import annotations

import ast

from vllm_lint.analyzer.context import Frame
from vllm_lint.analyzer.findings import Edit
from vllm_lint.analyzer.index import walk_function
from vllm_lint.analyzer.repairs import laid_out
from vllm_lint.analyzer.values import Tensor, Value

#: Where a tensor may stand and be nobody else's afterwards.
_USES = (ast.BinOp, ast.UnaryOp, ast.Compare, ast.Attribute, ast.Subscript)


def written_in_place(statement: ast.stmt | None, before: Value | None, value: Value, frame: Frame) -> Edit | None:
    """`self.buffer.copy_(value)` for `self.buffer = value`, where both are tensors of one fixed shape.

    None where the function hands the tensor that is there to somebody, who would see it change, and where the new one
    may be one that somebody has.
    """
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1 or frame.info is None:
        return None
    target, made = statement.targets[0], statement.value
    if not _have_one_shape(before, value) or not isinstance(target, ast.Attribute):
        return None
    if not isinstance(made, (ast.BinOp, ast.Call)):
        return None
    text = ast.unparse(target)
    loads = [
        n
        for n in walk_function(frame.info.node)
        if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Load) and ast.unparse(n) == text
    ]
    uses = {part for n in walk_function(frame.info.node) if isinstance(n, _USES) for part in ast.iter_child_nodes(n)}
    if any(load not in uses for load in loads):
        return None
    source = frame.module.source
    span = source.span(statement)
    line = source.lines[span.line - 1]
    segment = source.segment(made)
    if span.line != span.end_line or source.segment(statement) != f"{source.segment(target)} = {segment}":
        return None
    call = laid_out(line[: span.column - 1], f"{source.segment(target)}.copy_", [segment])
    return None if call is None else Edit(span, call)


def _have_one_shape(before: Value | None, value: Value) -> bool:
    if not isinstance(before, Tensor) or not isinstance(value, Tensor) or before.parameter:
        return False
    is_known = before.shape is not None and before.shape == value.shape and not before.depends
    kinds = {before.dtype, value.dtype} - {""}
    return is_known and not before.open and not value.open and not value.unbacked and len(kinds) <= 1
