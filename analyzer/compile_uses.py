"""Finds where a module compiles something: `torch.compile` in all its forms, and vLLM's decorator when called."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

from vllm_lint.analyzer.context import Frame
from vllm_lint.analyzer.index import Assignment, Binding, ClassInfo, FunctionInfo, Import, ModuleInfo, index_class
from vllm_lint.analyzer.interpreter import Interpreter
from vllm_lint.analyzer.values import (
    NONE,
    UNKNOWN,
    Class,
    External,
    Function,
    Instance,
    Mapping,
    Method,
    Partial,
    Scope,
    Sequence,
    Value,
    options,
)

COMPILE = "torch.compile"
SUPPORT = "vllm.compilation.decorators.support_torch_compile"
IGNORE = "vllm.compilation.decorators.ignore_torch_compile"

_NAMES = frozenset({"compile", "support_torch_compile"})
#: Walking a tree takes long; most modules only decorate a class at their top level, or compile regular expressions.
_WORTH_A_LOOK = re.compile(
    r"(?<!\bre)(?<!\bregex)\.compile\b|\bimport\b.*\bcompile\b"
    r"|\bsupport_torch_compile as\b|^[^@\n]*\bsupport_torch_compile\(|^[ \t]+@.*\bsupport_torch_compile\b",
)
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_Definition: TypeAlias = "ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef"
_Candidate: TypeAlias = "tuple[ast.Call | _Definition, tuple[ast.AST, ...]]"


@dataclass(frozen=True)
class Use:
    """`target` is compiled by `name`, `COMPILE` or `SUPPORT`, as `node` says."""

    node: ast.expr
    name: str
    options: dict[str, Value]
    target: Value


def decoration(interpreter: Interpreter, node: ast.expr, frame: Frame) -> tuple[str, dict[str, Value]]:
    """Which of `COMPILE`, `SUPPORT` and `IGNORE` a decorator is, or "", and the options that it is given."""
    head = node.func if isinstance(node, ast.Call) else node
    with interpreter.silently():
        value = interpreter.evaluate(head, frame)
        if isinstance(node, ast.Call) and (_named(value)[0] or value == External("functools.partial")):
            value = interpreter.evaluate(node, frame)
    return _named(value)


def _named(value: Value) -> tuple[str, dict[str, Value]]:
    for option in options(value):
        given: dict[str, Value] = {}
        function = option
        if isinstance(option, Partial) and not option.arguments:
            function, given = option.function, dict(option.keywords)
        name = function.info.qualified_name if isinstance(function, Function) else getattr(function, "name", "")
        if name in (COMPILE, SUPPORT, IGNORE):
            return name, given
    return "", {}


def find_uses(interpreter: Interpreter, module: ModuleInfo) -> Iterator[Use]:
    """The uses in a module, in source order. Decorators of classes that are not inside functions are left out."""
    if any("compile" in line and _WORTH_A_LOOK.search(line) for line in module.source.text.splitlines()):
        yield from _Search(interpreter, module).uses()


class _Search:
    """Looks for uses in one module."""

    def __init__(self, interpreter: Interpreter, module: ModuleInfo) -> None:
        self._interpreter = interpreter
        self._module = module
        self._names = _aliases(module)
        self._frames: dict[int, Frame] = {}
        self._known = {id(info.node): info for info in _definitions(module.bindings)}

    def uses(self) -> Iterator[Use]:
        candidates: list[_Candidate] = []
        self._collect(self._module.source.tree, (), candidates)
        for node, around in candidates:
            if isinstance(node, ast.Call):
                use = self._call(node, around)
                if use is not None:
                    yield use
            else:
                yield from self._decorated(node, around)

    def _collect(self, node: ast.AST, around: tuple[ast.AST, ...], into: list[_Candidate]) -> None:
        """Find calls and decorated definitions that may be uses, with the definitions around them."""
        if isinstance(node, _DEFINITIONS):
            if any(self._mentions(d) for d in node.decorator_list):
                into.append((node, around))
            around = (*around, node)
        elif isinstance(node, ast.Call) and self._mentions(node.func):
            into.append((node, around))
        for child in ast.iter_child_nodes(node):
            self._collect(child, around, into)

    def _mentions(self, node: ast.expr) -> bool:
        """Whether a decorator, or what is called, has to do with compiling: in `compile(options)(f)` the inner call."""
        if isinstance(node, ast.Call):
            return self._mentions(node.func) or any(map(self._mentions, node.args))
        if isinstance(node, ast.Name):
            return node.id in self._names
        return isinstance(node, ast.Attribute) and node.attr in _NAMES

    def _call(self, call: ast.Call, around: tuple[ast.AST, ...]) -> Use | None:
        """`torch.compile(target)`, `module.compile()` or `support_torch_compile(cls)`."""
        frame = self._frame(around, call.func)
        with self._interpreter.silently():
            callee = self._interpreter.evaluate(call.func, frame)
        name, given = _named(callee)
        methods = [o for o in options(callee) if isinstance(o, Method) and o.name == "compile"]
        if name not in (COMPILE, SUPPORT) and not methods:
            return None
        frame = self._frame(around, call)
        with self._interpreter.silently():
            given |= {k.arg or "...": self._interpreter.evaluate(k.value, frame) for k in call.keywords}
            targets = [self._interpreter.evaluate(a, frame) for a in call.args[:1] if not isinstance(a, ast.Starred)]
        if methods:
            receiver = methods[0].receiver
            return Use(call, COMPILE, given, receiver) if isinstance(receiver, Instance) and not targets else None
        target = targets[0] if targets else given.pop("model" if name == COMPILE else "cls", NONE)
        return Use(call, name, given, target) if target != NONE else None

    def _decorated(self, node: _Definition, around: tuple[ast.AST, ...]) -> Iterator[Use]:
        frame = self._frame(around, node)
        for decorator in node.decorator_list:
            name, given = decoration(self._interpreter, decorator, frame)
            if name == COMPILE or (name == SUPPORT and any(not isinstance(a, ast.ClassDef) for a in around)):
                yield Use(decorator, name, given, self._value(node, around, frame))

    def _value(self, node: _Definition, around: tuple[ast.AST, ...], frame: Frame) -> Value:
        """What the definition `node` defines."""
        if isinstance(node, ast.ClassDef):
            return Class(self._class(node))
        info = self._function(node)
        if around and isinstance(around[-1], ast.ClassDef):
            owner = self._class(around[-1])
            receiver = None if _is_static(node) else self._interpreter.instance_of(owner)
            return Function(info, receiver, frame.scope, owner)
        return Function(info, None, Scope(frame.variables, frame.scope) if frame.info else None)

    def _frame(self, around: tuple[ast.AST, ...], node: ast.AST) -> Frame:
        """What names mean in the definitions around `node`, at their end."""
        frame = Frame(self._module, {})
        used = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
        for position, definition in enumerate(around):
            if isinstance(definition, (ast.FunctionDef, ast.AsyncFunctionDef)):
                owner = around[position - 1] if position else None
                frame = self._inside(definition, self._class(owner) if isinstance(owner, ast.ClassDef) else None, frame)
                if (used - frame.variables.keys()) & _bound_names(definition):
                    with self._interpreter.silently():
                        self._interpreter.execute(definition.body, frame)
        return frame

    def _inside(self, node: ast.FunctionDef | ast.AsyncFunctionDef, owner: ClassInfo | None, outer: Frame) -> Frame:
        """A frame for the body of a function of which no call is known."""
        if id(node) in self._frames:
            return self._frames[id(node)]
        home = replace(outer, owner=owner)
        values = {
            p.arg: self._interpreter.from_annotation(p.annotation, home, p.arg)
            for p in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        }
        if node.args.vararg:
            values[node.args.vararg.arg] = Sequence("tuple", None, UNKNOWN)
        if node.args.kwarg:
            values[node.args.kwarg.arg] = Mapping(None, UNKNOWN)
        receiver = None
        if owner is not None and not _is_static(node):
            receiver = self._interpreter.instance_of(owner)
            values.update({p.arg: receiver for p in (*node.args.posonlyargs, *node.args.args)[:1]})
        scope = Scope(outer.variables, outer.scope) if outer.info else None
        self._frames[id(node)] = Frame(self._module, values, self._function(node), scope, receiver, owner)
        return self._frames[id(node)]

    def _class(self, node: ast.ClassDef) -> ClassInfo:
        known = self._known.get(id(node))
        if isinstance(known, ClassInfo):
            return known
        return self._interpreter.shared_class(node, lambda: index_class(node, self._module, "<locals>"))

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> FunctionInfo:
        known = self._known.get(id(node))
        if isinstance(known, FunctionInfo):
            return known
        return self._interpreter.shared_info(
            FunctionInfo(node, self._module, f"{self._module.name}.<locals>.{node.name}")
        )


def _definitions(bindings: dict[str, list[Binding]]) -> Iterator[ClassInfo | FunctionInfo]:
    for several in bindings.values():
        for binding in several:
            if isinstance(binding, (ClassInfo, FunctionInfo)):
                yield binding
            if isinstance(binding, ClassInfo):
                yield from _definitions(binding.members)


def _aliases(module: ModuleInfo) -> frozenset[str]:
    """The names by which the module may know what compiles."""
    found = set(_NAMES)
    for name, bindings in module.bindings.items():
        for binding in bindings:
            if isinstance(binding, Assignment):
                words = {getattr(n, "attr", getattr(n, "id", "")) for n in ast.walk(binding.value)}
            else:
                words = {binding.attribute} if isinstance(binding, Import) else set()
            if words & found:
                found.add(name)
    return frozenset(found)


def _bound_names(node: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    """Names that something inside `node` binds."""
    stored = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return stored | {n.name for n in ast.walk(node) if isinstance(n, _DEFINITIONS)}


def _is_static(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in node.decorator_list)
