"""Finds the custom passes over Inductor's graphs that a module defines, and what their uuid does not cover."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from vllm_lint.analyzer.context import Frame
from vllm_lint.analyzer.events import PassDeclared
from vllm_lint.analyzer.findings import Span
from vllm_lint.analyzer.index import Binding, ClassInfo, FunctionInfo, ModuleInfo, walk_function
from vllm_lint.analyzer.interpreter import Interpreter
from vllm_lint.analyzer.values import Instance, options

#: Names of the classes of torch and vLLM that custom passes derive from; the modules have moved between versions.
_OF_VLLM = ("InductorPass", "VllmInductorPass", "VllmPatternMatcherPass", "VllmFusionPatternMatcherPass")
_OF_TORCH = ("CustomGraphPass", "CustomPartitionerFn", "CustomInferenceAwareGraphPass")
WORDS = (*_OF_VLLM, *_OF_TORCH)
_UUID = "uuid"


def passes_of(interpreter: Interpreter, module: ModuleInfo) -> Iterator[PassDeclared]:
    """One event for each pass that a module defines."""
    for cls in _classes(module.bindings):
        order = interpreter.project.linearization(cls)
        kinds = {(base if isinstance(base, str) else base.qualified_name).rpartition(".")[2] for base in order[1:]}
        if cls.name in WORDS or not kinds & set(WORDS):
            continue
        own = [base for base in order if not isinstance(base, str) and base.name not in WORDS]
        if not any("__call__" in base.members for base in own):
            continue  # abstract, or nothing but patterns
        yield PassDeclared(
            span=_header(cls),
            class_name=cls.name,
            has_uuid=bool(kinds & set(_OF_VLLM)) or any(_UUID in base.members for base in own),
            uncovered=tuple(_uncovered(interpreter, own)),
        )


def _uncovered(interpreter: Interpreter, own: list[ClassInfo]) -> Iterator[tuple[str, str, Span]]:
    """Attributes that the pass reads, that come from an argument of its constructor, and that its uuid leaves out."""
    methods = {name: m for base in reversed(own) for name, m in _methods(base).items()}
    sources = _arguments_kept(interpreter, methods.get("__init__"))
    covered = _reached(methods, _UUID)
    if "self" in covered:
        return
    hashed = {argument for name in covered for argument in sources.get(name, (set(), None))[0]}
    for name in sorted(_reached(methods, "__call__")):
        arguments, span = sources.get(name, (set(), None))
        if span is not None and name not in covered:
            for argument in sorted(arguments - hashed):
                yield name, argument, span


def _methods(cls: ClassInfo) -> dict[str, FunctionInfo]:
    return {name: b[-1] for name, b in cls.members.items() if isinstance(b[-1], FunctionInfo)}


def _reached(methods: dict[str, FunctionInfo], start: str) -> set[str]:
    """Attributes of `self` that a method reads, also by way of others; "self" where it is handed on as a whole."""
    found: set[str] = set()
    queue, seen = [start], set()
    while queue:
        name = queue.pop()
        method = methods.get(name)
        if method is None or name in seen:
            continue
        seen.add(name)
        for node in walk_function(method.node):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
                if isinstance(node.ctx, ast.Load):
                    found.add(node.attr)
                    queue.append(node.attr)
            elif isinstance(node, ast.Call):
                of_source = ast.unparse(node.func).rpartition(".")[2] in ("hash_source", "type", "getsource")
                if not of_source and any(isinstance(a, ast.Name) and a.id == "self" for a in node.args):
                    found.add("self")
    return found | ({"self"} if "__dict__" in found else set())


def _arguments_kept(interpreter: Interpreter, method: FunctionInfo | None) -> dict[str, tuple[set[str], Span]]:
    """For each attribute that a constructor sets, the arguments that go into it, but for vLLM's configuration."""
    if method is None or isinstance(method.node, ast.Lambda):
        return {}
    given = [*method.node.args.args[1:], *method.node.args.kwonlyargs]
    home = Frame(method.module, {})
    arguments = {a.arg: {a.arg} for a in given if not _is_configuration(interpreter, a, home)}
    found: dict[str, tuple[set[str], Span]] = {}
    for node in ast.walk(method.node):
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            used = {a for n in ast.walk(node.value) if isinstance(n, ast.Name) for a in arguments.get(n.id, ())}
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self":
                    known = found.get(target.attr, (set(), None))[0]
                    found[target.attr] = (known | used, method.module.source.span(target))
                elif isinstance(target, ast.Name) and used:
                    arguments[target.id] = arguments.get(target.id, set()) | used
    return found


def _is_configuration(interpreter: Interpreter, argument: ast.arg, home: Frame) -> bool:
    """Whether an argument is vLLM's configuration, which its own hash covers."""
    if argument.annotation is None:
        return argument.arg in ("config", "vllm_config")
    if "Config" in ast.unparse(argument.annotation):
        return True
    value = interpreter.from_annotation(argument.annotation, home)
    return any(isinstance(o, Instance) and "compute_hash" in o.cls.members for o in options(value))


def _classes(bindings: dict[str, list[Binding]]) -> Iterator[ClassInfo]:
    for several in bindings.values():
        for binding in several:
            if isinstance(binding, ClassInfo):
                yield binding
                yield from _classes(binding.members)


def _header(cls: ClassInfo) -> Span:
    line, column = cls.node.lineno, cls.node.col_offset + 1
    return Span(cls.module.source.name, line, column, line, column + len("class ") + len(cls.name))
