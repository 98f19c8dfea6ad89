"""Reads what the `compute_hash` of a configuration takes into account."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from vllm_lint.analyzer.context import Context
from vllm_lint.analyzer.findings import Span
from vllm_lint.analyzer.index import Assignment, ClassInfo, FunctionInfo, ModuleInfo

HASH = "compute_hash"


@dataclass
class Hash:
    """What a method takes of the object that it belongs to."""

    span: Span
    all_fields: bool = False
    """Whether it goes through all fields, save for those `ignored`."""
    ignored: dict[str, ast.expr] = field(default_factory=dict)
    paths: list[tuple[tuple[str, ...], bool]] = field(default_factory=list)
    """Each `self.a.b` in it, as ("a", "b"), with whether it is only asked for its truth."""
    is_opaque: bool = False
    """Whether it hands the object to something that is not read."""
    says_nothing: bool = False
    """Whether it hashes an empty list, which says that no field counts."""


def fields_of(context: Context, cls: ClassInfo) -> dict[str, ClassInfo]:
    """The fields of a configuration, each with the class that declares it."""
    found: dict[str, ClassInfo] = {}
    for base in reversed(context.project.linearization(cls)):
        if not isinstance(base, str):
            for name, annotation in base.annotations.items():
                # Without what is in the brackets, which may be a Literal of many words.
                head = annotation.value if isinstance(annotation, ast.Subscript) else annotation
                if ast.unparse(head).rpartition(".")[2] not in ("ClassVar", "InitVar"):
                    found[name] = base
    return found


def is_dataclass(cls: ClassInfo) -> bool:
    """Whether a decorator makes a constructor out of the fields, as `dataclass` and vLLM's `config` do."""
    names = {ast.unparse(d).partition("(")[0].rpartition(".")[2] for d in cls.node.decorator_list}
    return bool(names & {"dataclass", "config"})


def read_hash(context: Context, cls: ClassInfo, method: FunctionInfo | None = None) -> Hash | None:
    """What `cls.compute_hash`, or another method, takes of the object; None if the class has no such method."""
    if method is None:
        found = context.member(cls, HASH)
        if found is None or not isinstance(found[1], FunctionInfo):
            return None
        method = found[1]
    node = method.node
    if isinstance(node, ast.Lambda) or not node.args.args:
        return None
    reader = _Reader(context, cls, method, node.args.args[0].arg)
    for statement in node.body:
        reader.visit(statement, tested=False)
    return reader.hash


class _Reader:
    def __init__(self, context: Context, cls: ClassInfo, method: FunctionInfo, receiver: str) -> None:
        self.hash = Hash(_header(method))
        self._context = context
        self._cls = cls
        self._method = method
        self._receiver = receiver

    def visit(self, node: ast.AST, *, tested: bool) -> None:
        """Note what `node` says of the receiver."""
        path = self._path(node)
        if path:
            self._take(path, tested=tested)
        elif isinstance(node, ast.Call):
            self._call(node)
        elif isinstance(node, ast.Name):
            self.hash.is_opaque |= node.id == self._receiver
        elif isinstance(node, (ast.If, ast.IfExp, ast.While)):
            self.visit(node.test, tested=True)
            for child in ast.iter_child_nodes(node):
                if child is not node.test:
                    self.visit(child, tested=False)
        else:
            if (
                isinstance(node, ast.Compare)
                and isinstance(node.ops[0], (ast.In, ast.NotIn))
                and not self._path(node.left)  # the name of a field, not the value of one
            ):
                self._ignore(node.comparators[0])
            if isinstance(node, (ast.List, ast.Dict)) and not ast.unparse(node).strip("[]{}"):
                self.hash.says_nothing = True
            passes = isinstance(node, (ast.BoolOp, ast.Compare, ast.UnaryOp, ast.expr_context, ast.cmpop))
            for child in ast.iter_child_nodes(node):
                self.visit(child, tested=tested and passes)

    def _take(self, path: tuple[str, ...], *, tested: bool) -> None:
        if path[0] in ("__dict__", "__dataclass_fields__"):
            self.hash.all_fields = True
        else:
            self.hash.paths.append((path, tested))

    def _path(self, node: ast.AST) -> tuple[str, ...]:
        """("a", "b") for `self.a.b` and for `getattr(self.a, "b")`; empty for anything else."""
        if isinstance(node, ast.Attribute):
            if isinstance(node.value, ast.Name) and node.value.id == self._receiver:
                return (node.attr,)
            inner = self._path(node.value)
            return (*inner, node.attr) if inner else ()
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
            owner, name = (*node.args, None, None)[:2]
            if owner is not None and isinstance(name, ast.Constant):
                is_self = isinstance(owner, ast.Name) and owner.id == self._receiver
                inner = self._path(owner)
                return (*inner, str(name.value)) if inner or is_self else ()
        return ()

    def _call(self, node: ast.Call) -> None:
        path = self._path(node.func)
        if path:
            self._take(path, tested=False)
        elif ast.unparse(node.func) == f"super().{HASH}":
            self._inherit()
        else:
            self.visit(node.func, tested=False)
        for argument in (*node.args, *(k.value for k in node.keywords)):
            if not (isinstance(argument, ast.Name) and argument.id == self._receiver):
                self.visit(argument, tested=False)
                continue
            name = ast.unparse(node.func).rpartition(".")[2]
            if name in ("isinstance", "type", "id"):
                continue
            self.hash.all_fields = True
            for other in (*node.args[1:], *(k.value for k in node.keywords)):
                self._ignore(other)

    def _ignore(self, node: ast.expr) -> None:
        self.hash.ignored |= names_of(node, self._method, self._cls.module)

    def _inherit(self) -> None:
        order = self._context.project.linearization(self._cls)
        for base in order[1:]:
            if not isinstance(base, str) and HASH in base.members:
                found = read_hash(self._context, base)
                if found is not None:
                    self.hash.all_fields |= found.all_fields
                    self.hash.ignored |= found.ignored
                    self.hash.paths += found.paths
                    self.hash.is_opaque |= found.is_opaque
                return


def names_of(
    node: ast.expr, function: FunctionInfo, module: ModuleInfo, within: frozenset[str] = frozenset()
) -> dict[str, ast.expr]:
    """The strings in a collection, given as a literal or by name; of what happens to it only what always does.

    `within` are the names of the collections that it is a part of.
    """
    if isinstance(node, (ast.Set, ast.List, ast.Tuple)):
        return {e.value: e for e in node.elts if isinstance(e, ast.Constant) and isinstance(e.value, str)}
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return names_of(node.left, function, module, within) | names_of(node.right, function, module, within)
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ("set", "frozenset", "list", "tuple") and node.args:
        return names_of(node.args[0], function, module, within)
    if not isinstance(node, ast.Name) or isinstance(function.node, ast.Lambda) or node.id in within:
        return {}
    within |= {node.id}
    values = [v for statement in function.node.body for v in _values_of(statement, node.id)]
    if not values:
        values = [b.value for b in module.bindings.get(node.id, ()) if isinstance(b, Assignment) and not b.path]
    found: dict[str, ast.expr] = {}
    for value in values:
        found |= names_of(value, function, module, within)
    return found


def _values_of(statement: ast.stmt, name: str) -> Iterator[ast.expr]:
    """What a statement of a function makes part of the local collection `name`."""
    if isinstance(statement, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in statement.targets):
        yield statement.value
    elif isinstance(statement, (ast.AnnAssign, ast.AugAssign)) and ast.unparse(statement.target) == name:
        if statement.value is not None:
            yield statement.value
    elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        call = statement.value
        if ast.unparse(call.func) == f"{name}.add":
            yield ast.copy_location(ast.Set(call.args), call)
        elif ast.unparse(call.func) == f"{name}.update":
            yield from call.args


def _header(method: FunctionInfo) -> Span:
    line, column = method.node.lineno, method.node.col_offset + 1
    return Span(method.module.source.name, line, column, line, column + len("def ") + len(method.name))
