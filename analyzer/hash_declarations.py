"""Finds the configurations of a module that say themselves what of them is hashed."""

from __future__ import annotations

from collections.abc import Iterator

from vllm_lint.analyzer.events import HashDeclared
from vllm_lint.analyzer.hashes import HASH, Hash, fields_of, is_dataclass, read_hash
from vllm_lint.analyzer.index import Binding, ClassInfo, FunctionInfo, ModuleInfo
from vllm_lint.analyzer.interpreter import Interpreter

WORDS = (f"def {HASH}",)


def hashes_of(interpreter: Interpreter, module: ModuleInfo) -> Iterator[HashDeclared]:
    """One event for each class of a module that has fields and a `compute_hash` of its own."""
    for cls in _classes(module.bindings):
        method = cls.members.get(HASH, [None])[-1]
        fields = fields_of(interpreter, cls)
        if not isinstance(method, FunctionInfo) or not fields or not is_dataclass(cls):
            continue
        found = read_hash(interpreter, cls)
        if found is None or found.is_opaque or method.is_abstract:
            continue
        taken = _taken(interpreter, cls, found)
        bases = [base for base in interpreter.project.linearization(cls) if not isinstance(base, str)]
        # What pydantic alone knows, and parameters of the constructor alone, are annotated too.
        names = {name for base in bases for name in (*base.annotations, *base.members)}
        yield HashDeclared(
            span=found.span,
            class_name=cls.name,
            fields=tuple(fields),
            left_out=() if found.all_fields else tuple(n for n in fields if n not in taken and n not in found.ignored),
            is_constant=not found.all_fields and not found.paths,
            says_nothing=found.says_nothing,
            strangers=tuple(
                (name, module.source.span(node)) for name, node in found.ignored.items() if name not in names
            ),
            ignored=tuple(found.ignored),
        )


def _classes(bindings: dict[str, list[Binding]]) -> Iterator[ClassInfo]:
    for several in bindings.values():
        for binding in several:
            if isinstance(binding, ClassInfo):
                yield binding
                yield from _classes(binding.members)


def _taken(interpreter: Interpreter, cls: ClassInfo, found: Hash, depth: int = 3) -> set[str]:
    """Fields that a hash mentions, also by way of properties and methods."""
    taken: set[str] = set()
    for path, _ in found.paths:
        taken.add(path[0])
        member = interpreter.member(cls, path[0])
        if depth and path[0] != HASH and member is not None and isinstance(member[1], FunctionInfo):
            inner = read_hash(interpreter, cls, member[1])
            if inner is not None:
                taken |= _taken(interpreter, cls, inner, depth - 1)
                taken |= set(fields_of(interpreter, cls)) if inner.all_fields or inner.is_opaque else set()
    return taken
