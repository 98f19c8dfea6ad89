"""Reads the schemas of custom operators: as torch writes them, and as it infers them from annotations."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from vllm_lint.analyzer.events import Parameter
from vllm_lint.analyzer.index import FunctionNode

_SIMPLE = {
    "Tensor": "Tensor",
    "int": "int",
    "SymInt": "int",
    "float": "float",
    "bool": "bool",
    "str": "str",
    "dtype": "ScalarType",
    "ScalarType": "ScalarType",
    "device": "Device",
    "Device": "Device",
    "Number": "Scalar",
    "Scalar": "Scalar",
}
_LISTS = ("list", "List", "Sequence", "tuple", "Tuple")
_PARAMETER = re.compile(
    r"(?P<type>\w+(?:\(\w+!?(?:\s*->\s*\*)?\))?[\[\]\d?!]*)\s+(?P<name>\w+)(?:\s*=\s*(?P<default>.+))?$"
)


@dataclass(frozen=True)
class Schema:
    """Parameters and types of the results; `returns` is None where they are not known."""

    parameters: tuple[Parameter, ...]
    returns: tuple[str, ...] | None


def parsed_schema(text: str) -> Schema | None:
    """The schema that `(Tensor x, Tensor(a!) out, int n=1) -> Tensor` describes; None if it cannot be read."""
    head, arrow, tail = text.rpartition("->")
    inner = head.strip()
    if not arrow or not inner.startswith("(") or not inner.endswith(")"):
        return None
    parameters = []
    by_keyword = False
    for part in _split(inner[1:-1]):
        if part == "*":
            by_keyword = True
            continue
        found = _PARAMETER.match(part)
        if found is None:
            return None
        kind = found["type"]
        parameters.append(
            Parameter(
                name=found["name"],
                type=_plain(kind),
                default=found["default"],
                written="!" in kind,
                by_keyword=by_keyword,
            )
        )
    results = tail.strip()
    several = _split(results[1:-1]) if results.startswith("(") else [results]
    return Schema(tuple(parameters), tuple(_plain(r.split()[0]) for r in several))


def _plain(kind: str) -> str:
    """A type of a schema without aliasing and sizes: `Tensor(a!)` is a `Tensor`, `SymInt[2]` is an `int[]`."""
    name = re.sub(r"\(.*?\)", "", kind)
    name = re.sub(r"\[\d+\]", "[]", name)
    base = re.match(r"\w+", name)
    return name if base is None else _SIMPLE.get(base[0], base[0]) + name[base.end() :]


def _split(text: str) -> list[str]:
    parts, depth, current = [], 0, ""
    for character in text:
        depth += (character in "([") - (character in ")]")
        if character == "," and not depth:
            parts.append(current.strip())
            current = ""
        else:
            current += character
    return [*parts, current.strip()] if current.strip() else parts


def type_of(annotation: ast.expr | None) -> str:
    """The type in a schema that torch infers from an annotation; empty where that is not known."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        try:
            annotation = ast.parse(annotation.value, mode="eval").body
        except SyntaxError:
            return ""
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        sides = [annotation.left, annotation.right]
        inner = [s for s in sides if not _is_none(s)]
        return f"{type_of(inner[0])}?" if len(inner) == 1 and type_of(inner[0]) else ""
    if isinstance(annotation, ast.Subscript):
        head = ast.unparse(annotation.value).rpartition(".")[2]
        parts = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
        inner = [p for p in parts if not _is_none(p)]
        if head == "Optional" or (head == "Union" and len(inner) == 1 < len(parts)):
            return f"{type_of(inner[0])}?" if type_of(inner[0]) else ""
        if head in _LISTS and type_of(parts[0]):
            return f"{type_of(parts[0])}[]"
        return ""
    if isinstance(annotation, (ast.Name, ast.Attribute)):
        return _SIMPLE.get(ast.unparse(annotation).rpartition(".")[2], "")
    return ""


def returned_types(node: FunctionNode) -> tuple[str, ...] | None:
    """The types of the results that a function is annotated with; None if they are not known."""
    returns = None if isinstance(node, ast.Lambda) else node.returns
    if returns is None:
        return None
    if _is_none(returns):
        return ()
    if isinstance(returns, ast.Subscript) and ast.unparse(returns.value).rpartition(".")[2] in ("tuple", "Tuple"):
        parts = returns.slice.elts if isinstance(returns.slice, ast.Tuple) else [returns.slice]
        types = tuple(map(type_of, parts))
    else:
        types = (type_of(returns),)
    return types if all(types) else None


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
