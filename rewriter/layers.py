"""How an operator finds the layer that it works for: vLLM keeps layers by name, and hands them out for each step."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass

from vllm_lint.analyzer.findings import Edit, Span
from vllm_lint.analyzer.index import ClassInfo, FunctionInfo
from vllm_lint.analyzer.project import Project
from vllm_lint.analyzer.values import Instance, Sequence, Value, options
from vllm_lint.rewriter.arguments import Refused

#: Bases of the layers at which vLLM splits the graph.
_ATTENTION = frozenset({"AttentionLayerBase", "MambaBase", "Attention", "MLAAttention"})
#: How far below a layer it is looked for.
_DEPTH = 5

_REGISTRATION = """\
{0}compilation_config = get_current_vllm_config().compilation_config
{0}if prefix in compilation_config.static_forward_context:
{0}    raise ValueError(f"Duplicate layer name: {{prefix}}")
{0}compilation_config.static_forward_context[prefix] = {1}
{0}{1}.layer_name = prefix
"""


@dataclass(frozen=True)
class Lookup:
    """`attribute` holds the name that the layer is kept by; `edits` see to that."""

    attribute: str
    edits: tuple[Edit, ...] = ()


def refuse_attention(project: Project, values: Iterable[Value]) -> None:
    """VLLM splits the graph at attention, which an operator around it would prevent.

    Raises:
        Refused: a layer among `values` is one of attention, or holds one.
    """
    for value in values:
        found = _attention_in(project, value, _DEPTH)
        if found:
            raise Refused(f"it would take in `{found}`, at which vLLM splits the graph")


def _attention_in(project: Project, value: Value, depth: int) -> str:
    if depth == 0:
        return ""
    inner: list[Value] = []
    for option in options(value):
        if isinstance(option, Instance):
            names = [b if isinstance(b, str) else b.qualified_name for b in project.linearization(option.cls)]
            if any(name.rpartition(".")[2] in _ATTENTION for name in names):
                return option.cls.name
            inner += option.attributes.values()
        elif isinstance(option, Sequence):
            inner += option.items if option.items is not None else [option.element]
    return next((found for i in inner if (found := _attention_in(project, i, depth - 1))), "")


def lookup_of(owner: ClassInfo) -> Lookup:
    """How operators find objects of the class.

    Raises:
        Refused: nothing names such an object.
    """
    found = owner.members.get("__init__", [None])[-1]
    if not isinstance(found, FunctionInfo) or not isinstance(found.node, ast.FunctionDef):
        raise Refused(f"`{owner.name}` has no `__init__` of its own that could enter it among vLLM's layers")
    node = found.node
    receiver = node.args.args[0].arg if node.args.args else "self"
    name = _registered_as(node, receiver)
    if name is not None:
        return Lookup(name)
    if "prefix" not in found.parameter_names:
        raise Refused(f"`{owner.name}.__init__` takes no `prefix`, by which an operator could look the layer up")
    start = next((s for s in node.body if _calls_super(s)), None)
    if start is None:
        raise Refused(f"`{owner.name}.__init__` does not call `super().__init__()`")
    source = owner.module.source
    line = (start.end_lineno or start.lineno) + 1
    indent = source.lines[start.lineno - 1][: source.span(start).column - 1]
    text = _REGISTRATION.format(indent, receiver)
    return Lookup("layer_name", (Edit(Span(source.name, line, 1, line, 1), text),))


def _registered_as(node: ast.FunctionDef, receiver: str) -> str | None:
    """The attribute with the name under which the constructor enters the object already."""
    key: str | None = None
    attributes: dict[str, str] = {}
    for inner in ast.walk(node):
        if not isinstance(inner, ast.Assign):
            continue
        for target in inner.targets:
            if isinstance(target, ast.Attribute) and ast.unparse(target.value) == receiver:
                attributes.setdefault(ast.unparse(inner.value), target.attr)
                attributes[ast.unparse(target)] = target.attr
            is_entry = isinstance(target, ast.Subscript) and ast.unparse(inner.value) == receiver
            if is_entry and ast.unparse(target.value).endswith("static_forward_context"):  # type: ignore[attr-defined]
                key = ast.unparse(target.slice)  # type: ignore[attr-defined]
    return attributes.get(key) if key is not None else None


def _calls_super(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and ast.unparse(statement.value).startswith(("super().__init__", "super("))
