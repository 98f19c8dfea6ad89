"""Reports rows that are taken at fixed places of a dimension whose size changes with the number of tokens."""

from __future__ import annotations

import ast

from vllm_lint.analyzer.context import Context, Frame
from vllm_lint.analyzer.events import RowsTaken, UnboundedSize
from vllm_lint.analyzer.sizes import Condition, Size
from vllm_lint.analyzer.source import Located
from vllm_lint.analyzer.values import Const, Int, Tensor, Value

#: So many tokens a batch seldom has: more rows are taken to be enough.
_MOST_TOKENS = 8192


def need(context: Context, tensor: Tensor, size: Size, count: int, node: Located, frame: Frame, form: str) -> None:
    """Report that an operation on a dimension of `tensor` needs `count` rows, if some number of tokens gives fewer."""
    if size.depends and size.known and Condition(">=", (size, Size.const(count))).decide() is not True:
        context.emit(RowsTaken, node, frame, tensor, form=form, rows=count, exact=not tensor.open)


def check_index(context: Context, tensor: Tensor, axis: int, index: Value, node: Located, frame: Frame) -> None:
    """Report one row at a fixed place, counted from either end."""
    place = index.value if isinstance(index, Const) else None
    if isinstance(place, int) and tensor.shape is not None and axis < len(tensor.shape):
        need(context, tensor, tensor.shape[axis], place + 1 if place >= 0 else -place, node, frame, "index")


def check_slice(
    context: Context,
    tensor: Tensor,
    size: Size,
    bounds: list[Value | None],
    node: Located,
    frame: Frame,
    *,
    stored: bool,
) -> None:
    """Report a slice with a fixed end, and one of a dimension of fixed size that ends where the tokens do.

    Measured: what is written to such a slice is written right.
    """
    if stored:
        return
    fixed = [abs(b.value) for b in bounds[:2] if isinstance(b, Const) and isinstance(b.value, int)]
    if fixed:
        need(context, tensor, size, max(fixed), node, frame, "slice")
    end, count = bounds[1], size.constant
    if not isinstance(end, Int) or not end.size.depends or not end.size.known or count is None:
        return
    if count < _MOST_TOKENS and Condition("<=", (end.size, size)).decide() is not True:
        context.emit(RowsTaken, node, frame, end, form="buffer", rows=count, exact=False)


def check_bounds(context: Context, tensor: Tensor, axis: int | None, node: Located, frame: Frame, form: str) -> None:
    """Report an operation along a size that comes out of data.

    A function that calls `torch._check` is taken to bound what it works with.
    """
    if not tensor.unbacked or axis != 0 or (frame.info is not None and _checks(frame.info.node)):
        return
    context.emit(UnboundedSize, node, frame, tensor, form=form)


def _checks(function: ast.AST) -> bool:
    return any(isinstance(n, ast.Attribute) and n.attr.startswith("_check") for n in ast.walk(function))
