"""What an implementation that is traced asks about its arguments: decisions on sizes, and values of tensors."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from vllm_lint.analyzer.index import walk_function
from vllm_lint.analyzer.operator_results import Described, Dims, Result, Scope, Several
from vllm_lint.analyzer.sizes import Size

_ROWS = re.compile(r"(\w+)\.(?:shape\[0\]|numel\(\))$")
_READS = frozenset({"item", "tolist", "numpy", "data_ptr"})
#: Methods of tensors that tell nothing of their values.
_METADATA = frozenset(
    {"size", "dim", "stride", "numel", "element_size", "is_contiguous", "storage_offset", "get_device", "ndimension"}
)


def leading(results: list[Described]) -> frozenset[str]:
    """Arguments whose rows the rows of a result are counted by: those have a row for each token."""
    found: set[str] = set()
    for value in results:
        for result in value.parts if isinstance(value, Several) else (value,):
            first = result.shape[0] if isinstance(result, Result) and result.shape else None
            if isinstance(first, Dims) and first.start == 0:
                found.add(first.argument)
            elif isinstance(first, Size):
                found |= {match[1] for static in first.statics() if (match := _ROWS.match(static))}
    return frozenset(found)


def size_decisions(scope: Scope, arguments: frozenset[str]) -> Iterator[tuple[ast.expr, str]]:
    """Control flow on the number of rows of one of `arguments`, each with how it decides; checks are left out."""
    node = scope.info.node
    if isinstance(node, ast.Lambda):
        return
    for inner in walk_function(node):
        test = inner.test if isinstance(inner, (ast.If, ast.IfExp, ast.While)) else None
        if isinstance(inner, ast.If) and any(_only_raises(body) for body in (inner.body, inner.orelse)):
            continue
        if test is not None and _asks(scope, test, arguments):
            yield test, "while" if isinstance(inner, ast.While) else "if"
        called = inner.func.id if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Name) else ""
        if isinstance(inner, ast.Call) and called in ("int", "range"):
            yield from ((inner, f"{called}()") for argument in inner.args if _rows(scope, argument, arguments))


def _only_raises(body: list[ast.stmt]) -> bool:
    return bool(body) and isinstance(body[-1], ast.Raise)


def _asks(scope: Scope, test: ast.expr, arguments: frozenset[str]) -> bool:
    """Whether a condition compares a number of rows with anything but zero, which no batch has."""
    if isinstance(test, ast.BoolOp):
        return any(_asks(scope, value, arguments) for value in test.values)
    if isinstance(test, ast.UnaryOp):
        return _asks(scope, test.operand, arguments)
    if isinstance(test, ast.Compare):
        sides = [test.left, *test.comparators]
        if any(isinstance(s, ast.Constant) and s.value == 0 for s in sides) and not any(
            isinstance(n, ast.Mod) for s in sides for n in ast.walk(s)
        ):
            return False
        return any(_rows(scope, side, arguments) for side in sides)
    return isinstance(test, ast.BinOp) and _rows(scope, test, arguments)


def _rows(scope: Scope, node: ast.expr, arguments: frozenset[str]) -> bool:
    """Whether a number depends on the number of rows of one of `arguments`."""
    for value in scope.values(node):
        if isinstance(value, Size):
            for static in value.statics():
                match = _ROWS.match(static)
                if match is not None and match[1] in arguments:
                    return True
    return False


def data_reads(scope: Scope) -> Iterator[ast.expr]:
    """Expressions that ask for the value of a tensor."""
    node = scope.info.node
    for inner in ast.walk(node.body) if isinstance(node, ast.Lambda) else walk_function(node):
        if isinstance(inner, ast.Call):
            function = inner.func
            asked = None
            if isinstance(function, ast.Attribute) and function.attr in _READS:
                asked = function.value
            elif isinstance(function, ast.Name) and function.id in ("int", "float", "bool") and len(inner.args) == 1:
                asked = inner.args[0]
            if asked is not None and _is_data(scope, asked):
                yield inner
        elif isinstance(inner, (ast.If, ast.IfExp, ast.While)) and _is_data(scope, inner.test):
            yield inner.test


def _is_data(scope: Scope, node: ast.expr) -> bool:
    """Whether an expression is computed from the values of a tensor."""
    if isinstance(node, ast.Name):
        values = scope.values(node)
        return all(isinstance(v, Result) for v in values)
    if isinstance(node, ast.Call):
        function = node.func
        if isinstance(function, ast.Attribute):
            if function.attr in _METADATA | _READS:
                return False
            if _is_data(scope, function.value):
                return True
        return scope.is_torch(function) and any(_is_data(scope, argument) for argument in node.args)
    if isinstance(node, ast.Subscript):
        return _is_data(scope, node.value)
    if isinstance(node, ast.BinOp):
        return _is_data(scope, node.left) or _is_data(scope, node.right)
    if isinstance(node, ast.Compare):
        if any(isinstance(op, (ast.Is, ast.IsNot, ast.In, ast.NotIn)) for op in node.ops):
            return False
        return any(_is_data(scope, side) for side in (node.left, *node.comparators))
    return isinstance(node, ast.UnaryOp) and _is_data(scope, node.operand)
