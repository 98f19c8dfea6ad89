"""Errors that compiled code raises and catches itself: which of them TorchDynamo cannot build."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from vllm_lint.analyzer.index import FunctionInfo
from vllm_lint.analyzer.values import Class, External, Static, Value

if TYPE_CHECKING:
    from vllm_lint.analyzer.context import Context, Frame

_ERRORS = {
    name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, BaseException)
}
#: Attributes of errors that can be set while a graph is captured.
_OF_EVERY_ERROR = ("__cause__", "__context__", "__suppress_context__", "__traceback__")


def is_attribute_of_error(value: Value, name: str) -> bool:
    """Whether `name` is an attribute of its own of an error of Python that compiled code has made."""
    return isinstance(value, Static) and value.label.removesuffix("()") in _ERRORS and name not in _OF_EVERY_ERROR


def untraceable_raises(context: Context, node: ast.Try, frame: Frame) -> Iterator[tuple[ast.expr, Frame, str]]:
    """The errors that a `try` raises and handles and that cannot be built: where, and what they are reported as."""
    for statement in node.body:
        for part in ast.walk(statement):
            if isinstance(part, ast.Raise) and isinstance(part.exc, ast.Call):
                with context.silently():
                    kind = context.evaluate(part.exc.func, frame)
                if any(_handles(context, handler, kind, frame) for handler in node.handlers):
                    yield from _trouble(context, kind, part.exc, frame)


def _trouble(context: Context, kind: Value, call: ast.Call, frame: Frame) -> Iterator[tuple[ast.expr, Frame, str]]:
    if isinstance(kind, External) and kind.name.removeprefix("builtins.") in _ERRORS and call.keywords:
        yield call, frame, "builtins.Exception.keyword"
    if isinstance(kind, Class) and _names(context, kind) & _ERRORS:
        found = context.member(kind.cls, "__init__")
        if found is not None and isinstance(found[1], FunctionInfo):
            inner = replace(frame, module=found[0].module)
            for node in ast.walk(found[1].node):
                if isinstance(node, ast.Call) and _is_super_constructor(node.func):
                    yield node, inner, "builtins.Exception.__init__"


def _is_super_constructor(node: ast.expr) -> bool:
    if not isinstance(node, ast.Attribute) or node.attr != "__init__" or not isinstance(node.value, ast.Call):
        return False
    return isinstance(node.value.func, ast.Name) and node.value.func.id == "super"


def _handles(context: Context, handler: ast.ExceptHandler, kind: Value, frame: Frame) -> bool:
    """Whether a handler is for errors of this kind or for all."""
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    for wanted in kinds:
        if wanted is None or (isinstance(wanted, ast.Name) and wanted.id in ("Exception", "BaseException")):
            return True
        with context.silently():
            if _names(context, context.evaluate(wanted, frame)) & _names(context, kind):
                return True
    return False


def _names(context: Context, kind: Value) -> set[str]:
    if isinstance(kind, Class):
        return {kind.cls.qualified_name, *(b.removeprefix("builtins.") for b in context.external_bases(kind.cls))}
    return {kind.name.removeprefix("builtins.")} if isinstance(kind, External) else set()
