"""What a module defines, read from its syntax tree: imports, classes, functions and top-level assignments."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Union

from vllm_lint.analyzer.source import SourceFile

FunctionNode = Union[ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda]


# Looking for the word in the text is a hundred times faster than walking the tree.
_GLOBAL = re.compile(r"^[ \t]+global[ \t]", re.MULTILINE)


#: For so many syntax nodes what was worked out about each is kept.
CACHED_NODES = 1 << 15


@dataclass(frozen=True)
class Import:
    """`import module` (attribute is None) or `from module import attribute`."""

    module: str
    attribute: str | None


@dataclass(frozen=True)
class Assignment:
    """A top-level `name = value`; `path` says which element of an unpacked value, outermost first."""

    value: ast.expr
    path: tuple[int, ...] = ()


Binding = Union[Import, Assignment, "ClassInfo", "FunctionInfo"]


@dataclass(eq=False)
class FunctionInfo:
    """A function, method or lambda."""

    node: FunctionNode
    module: ModuleInfo
    qualified_name: str

    @property
    def name(self) -> str:
        """The bare name; `<lambda>` for a lambda."""
        return getattr(self.node, "name", "<lambda>")

    @cached_property
    def is_generator(self) -> bool:
        """Whether the body yields."""
        if isinstance(self.node, ast.Lambda) or "yield" not in self.module.source.text:
            return False
        return any(isinstance(n, (ast.Yield, ast.YieldFrom)) for n in walk_function(self.node))

    @cached_property
    def parameter_names(self) -> frozenset[str]:
        """The names of the parameters, without those of `*args` and `**kwargs`."""
        arguments = self.node.args
        return frozenset(a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs))

    @cached_property
    def bound_names(self) -> frozenset[str]:
        """The names that the body binds."""
        nodes = walk_function(self.node)
        return frozenset(n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))

    @cached_property
    def outer_names(self) -> frozenset[str]:
        """Names that assignments bind outside of the function, by `global` or `nonlocal`."""
        if isinstance(self.node, ast.Lambda) or not (self.module.rebound or "nonlocal" in self.module.source.text):
            return frozenset()
        found = (n.names for n in walk_function(self.node) if isinstance(n, (ast.Global, ast.Nonlocal)))
        return frozenset(name for names in found for name in names)

    @cached_property
    def is_abstract(self) -> bool:
        """Whether the body does nothing but raise NotImplementedError, or nothing at all."""
        if isinstance(self.node, ast.Lambda):
            return False
        body = [s for s in self.node.body if not _is_docstring(s)]
        if any(ast.unparse(d).endswith("abstractmethod") for d in self.node.decorator_list):
            return True
        return all(
            isinstance(s, ast.Pass) or (isinstance(s, ast.Raise) and "NotImplementedError" in ast.unparse(s))
            for s in body
        )


@dataclass(eq=False)
class ClassInfo:
    """A class; `members` holds methods, nested classes and class-level assignments by name."""

    node: ast.ClassDef
    module: ModuleInfo
    qualified_name: str
    members: dict[str, list[Binding]] = field(default_factory=dict)
    annotations: dict[str, ast.expr] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The bare name."""
        return self.node.name


@dataclass(eq=False)
class ModuleInfo:
    """A module of the program."""

    name: str
    source: SourceFile
    is_package: bool
    bindings: dict[str, list[Binding]] = field(default_factory=dict)
    star_imports: list[str] = field(default_factory=list)
    annotations: dict[str, ast.expr] = field(default_factory=dict)
    rebound: frozenset[str] = frozenset()
    """Module-level names that functions assign to through `global`."""
    fakes: dict[str, ast.expr] = field(default_factory=dict)
    """Custom operators that the module registers through vLLM's `direct_register_custom_op`, and their fakes."""
    operators: dict[str, ast.expr] = field(default_factory=dict)
    """The functions of those, and of operators that `custom_op` makes."""
    """The same, and their functions."""

    def absolute(self, module: str | None, level: int) -> str:
        """The absolute name of a relative import."""
        if not level:
            return module or ""
        parts = self.name.split(".")
        drop = level - 1 if self.is_package else level
        base = parts[: len(parts) - drop] if drop else parts
        return ".".join([*base, *([module] if module else [])])


def index_module(name: str, source: SourceFile, *, is_package: bool) -> ModuleInfo:
    """Read the top level of a module; both arms of conditional definitions count."""
    module = ModuleInfo(name, source, is_package)
    _index_block(source.tree.body, module, module.bindings, name, module.annotations)
    if _GLOBAL.search(source.text):
        module.rebound = frozenset(n for g in ast.walk(source.tree) if isinstance(g, ast.Global) for n in g.names)
    return module


@lru_cache(maxsize=CACHED_NODES)
def names_in(node: ast.expr) -> frozenset[str]:
    """The names in an expression, and `:=` if it binds one."""
    walked = list(ast.walk(node))
    found = {n.id for n in walked if isinstance(n, ast.Name)}
    return frozenset(found | {":="} if any(isinstance(n, ast.NamedExpr) for n in walked) else found)


@lru_cache(maxsize=64)
def nodes_of(tree: ast.Module) -> tuple[ast.AST, ...]:
    """All nodes of a module, kept for the few of which this is asked again and again."""
    return tuple(ast.walk(tree))


def walk_function(node: FunctionNode) -> Iterator[ast.AST]:
    """All nodes of a function's own body, without those of functions and classes defined in it."""
    stack: list[ast.AST] = [node.body] if isinstance(node, ast.Lambda) else list(node.body)
    while stack:
        current = stack.pop()
        yield current
        if isinstance(current, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            continue
        stack.extend(ast.iter_child_nodes(current))


def _index_block(
    body: list[ast.stmt],
    module: ModuleInfo,
    bindings: dict[str, list[Binding]],
    prefix: str,
    annotations: dict[str, ast.expr] | None = None,
) -> None:
    for statement in body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if any(ast.unparse(d).rpartition(".")[2] == "overload" for d in statement.decorator_list):
                continue
            info = FunctionInfo(statement, module, f"{prefix}.{statement.name}")
            bindings.setdefault(statement.name, []).append(info)
            _index_operator(statement, module)
        elif isinstance(statement, ast.ClassDef):
            bindings.setdefault(statement.name, []).append(index_class(statement, module, prefix))
        elif isinstance(statement, (ast.Import, ast.ImportFrom)):
            _index_import(statement, module, bindings)
        elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            _index_registration(statement.value, module)
        elif isinstance(statement, ast.Assign):
            for target in statement.targets:
                _index_target(target, statement.value, (), bindings)
        elif isinstance(statement, ast.AnnAssign):
            if isinstance(statement.target, ast.Name):
                if annotations is not None:
                    annotations[statement.target.id] = statement.annotation
                if statement.value is not None:
                    bindings.setdefault(statement.target.id, []).append(Assignment(statement.value))
        else:
            for block in _nested_blocks(statement):
                _index_block(block, module, bindings, prefix, annotations)


def index_class(node: ast.ClassDef, module: ModuleInfo, prefix: str) -> ClassInfo:
    """Read the body of a class, nested classes included."""
    info = ClassInfo(node, module, f"{prefix}.{node.name}")
    _index_block(node.body, module, info.members, info.qualified_name, info.annotations)
    return info


def imports_of(node: ast.Import | ast.ImportFrom, module: ModuleInfo) -> Iterator[tuple[str, Import]]:
    """The names that an import statement binds; `*` for a star import."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.asname:
                yield alias.asname, Import(alias.name, None)
            else:
                top = alias.name.partition(".")[0]
                yield top, Import(top, None)
        return
    base = module.absolute(node.module, node.level)
    for alias in node.names:
        yield alias.asname or alias.name, Import(base, None if alias.name == "*" else alias.name)


def _index_import(node: ast.Import | ast.ImportFrom, module: ModuleInfo, bindings: dict[str, list[Binding]]) -> None:
    for bound, imported in imports_of(node, module):
        if bound == "*":
            module.star_imports.append(imported.module)
        else:
            bindings.setdefault(bound, []).append(imported)


def _index_registration(call: ast.Call, module: ModuleInfo) -> None:
    if not ast.unparse(call.func).endswith("direct_register_custom_op"):
        return
    given = {k.arg: k.value for k in call.keywords} | dict(zip(("op_name", "op_func"), call.args, strict=False))
    name = given.get("op_name")
    if isinstance(name, ast.Constant) and "fake_impl" in given:
        module.fakes[str(name.value)] = given["fake_impl"]
    if isinstance(name, ast.Constant) and "op_func" in given:
        module.operators[str(name.value)] = given["op_func"]


def _index_operator(function: ast.FunctionDef | ast.AsyncFunctionDef, module: ModuleInfo) -> None:
    """An operator that a decorator makes of a function, `@torch.library.custom_op("library::name", ...)`."""
    for decorator in function.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else None
        if isinstance(decorator, ast.Call) and getattr(called, "attr", getattr(called, "id", "")) == "custom_op":
            name = decorator.args[0] if decorator.args else None
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                module.operators[name.value.rpartition("::")[2]] = ast.Name(function.name, ast.Load())


def _index_target(target: ast.expr, value: ast.expr, path: tuple[int, ...], into: dict[str, list[Binding]]) -> None:
    if isinstance(target, ast.Name):
        into.setdefault(target.id, []).append(Assignment(value, path))
    elif isinstance(target, (ast.Tuple, ast.List)):
        for position, element in enumerate(target.elts):
            _index_target(element, value, (*path, position), into)


def _nested_blocks(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    for attribute in ("body", "orelse", "finalbody"):
        block = getattr(statement, attribute, None)
        if isinstance(block, list):
            yield block
    for handler in getattr(statement, "handlers", ()):
        yield handler.body
    for case in getattr(statement, "cases", ()):
        yield case.body


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
