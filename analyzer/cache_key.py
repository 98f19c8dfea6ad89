"""What vLLM's compile-cache key holds: environment variables and fields of configurations, by what the program says.

vLLM hashes the variables that `vllm.envs` defines and does not ignore, and what `VllmConfig.compute_hash` takes from
the configurations below it. A class outside of that tree that has a `compute_hash` answers for its own fields.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from vllm_lint.analyzer.context import Context, Frame
from vllm_lint.analyzer.findings import Span
from vllm_lint.analyzer.hashes import HASH, Hash, fields_of, is_dataclass, names_of, read_hash
from vllm_lint.analyzer.index import Assignment, ClassInfo, FunctionInfo, ModuleInfo
from vllm_lint.analyzer.values import Class, Instance, options

#: Each rank has a folder of its own in the cache.
_OF_RANK = {"RANK", "LOCAL_RANK"}
#: Fields that the key holds in another way: in that folder, or because vLLM applies them to `hf_config`.
_ELSEWHERE = {
    ("ParallelConfig", "rank"),
    ("ParallelConfig", "data_parallel_rank"),
    ("ParallelConfig", "data_parallel_index"),
    ("ModelConfig", "hf_overrides"),
}
#: Inductor's own settings are hashed with it.
_OF_TORCH = ("TORCHINDUCTOR_", "TORCH_")
#: Functions of `vllm.envs` that say which variables are hashed; the second is that of older versions.
_FACTORS = ("compile_factors", "compute_hash")


@dataclass(frozen=True)
class Missing:
    """Why the key does not hold something, and where the program says so."""

    reason: str
    declared: Span | None = None
    certain: bool = True


@dataclass
class _Environment:
    """`hashed` is None where that cannot be read."""

    hashed: frozenset[str] | None = None
    defined: frozenset[str] = frozenset()
    ignored: dict[str, Span] = field(default_factory=dict)
    function: str = ""


@dataclass
class _Fields:
    """What the hash of one configuration holds of itself and of those below it."""

    held: set[tuple[ClassInfo, str]] = field(default_factory=set)
    whole: set[ClassInfo] = field(default_factory=set)
    """Classes of which every field counts."""
    missing: dict[tuple[ClassInfo, str], Missing] = field(default_factory=dict)
    tree: set[ClassInfo] = field(default_factory=set)
    hashed: set[ClassInfo] = field(default_factory=set)


class CacheKey:
    """Answers what the key holds; each answer becomes a question of the file that is examined."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._shared = context.project.shared

    # Environment variables

    def environment(self, name: str, *, by_vllm: bool = False, presence: bool = False) -> Missing | None:
        """Why an environment variable is not in the key; None if it is, or that is not known.

        `by_vllm` says that `vllm.envs` is asked for it, which has other names too. `presence` asks for whether it is
        set rather than for its value.
        """
        table = self._shared.once(("cache key", "environment"), self._environment, None)
        if name in _OF_RANK or name.startswith(_OF_TORCH):
            return None
        if table is None:
            unknown = name.startswith("VLLM_")
            return None if unknown else Missing("vLLM hashes the variables of `vllm.envs` alone", certain=False)
        if presence and table.hashed is not None and name in table.hashed & table.defined:
            return Missing("its value is hashed, which may be the default, and not whether it is set")
        if table.hashed is None or name in table.hashed or (by_vllm and name not in table.defined):
            return None
        if name in table.ignored:
            return Missing(f"`{table.function}` ignores it", table.ignored[name])
        return Missing("`vllm.envs` does not define it" if name not in table.defined else "it is not hashed")

    def _environment(self) -> _Environment | None:
        module = self._context.project.module("vllm.envs")
        if module is None:
            return None
        defined = _defined_variables(module)
        for name in _FACTORS:
            for binding in module.bindings.get(name, ()):
                if isinstance(binding, FunctionInfo) and defined:
                    return _hashed_variables(module, binding, defined)
        return _Environment()

    # Fields of configurations

    def field(self, cls: ClassInfo, name: str) -> Missing | None:
        """Why a field is not in the key; None if it is, or it is no field of a configuration."""
        return self._shared.once(("cache key", cls, name), lambda: self._field(cls, name), None)

    def _field(self, cls: ClassInfo, name: str) -> Missing | None:
        declaring = fields_of(self._context, cls).get(name)
        if declaring is None or (cls.name, name) in _ELSEWHERE:
            return None
        table = self._shared.once(("cache key", "fields"), self._vllm_fields, None)
        if table is None or cls not in table.tree:
            if self._context.member(cls, HASH) is None:
                return None
            table = self._shared.once(("cache key", cls), lambda: self._fields(cls), None)
            if table is None:
                return None
        if cls in table.whole or (cls, name) in table.held:
            return None
        if (cls, name) in table.missing:
            return table.missing[cls, name]
        return Missing(f"no hash that vLLM takes covers `{cls.name}`")

    def _vllm_fields(self) -> _Fields | None:
        module = self._context.project.module("vllm.config")
        value = self._context.module_attribute(module, "VllmConfig") if module is not None else None
        return self._fields(value.cls) if isinstance(value, Class) else None

    def _fields(self, start: ClassInfo) -> _Fields:
        table = _Fields()
        self._grow(start, table)
        self._hash(start, table)
        return table

    def _grow(self, cls: ClassInfo, table: _Fields) -> None:
        """Add `cls` and the configurations that its fields hold to the tree."""
        if cls in table.tree or not is_dataclass(cls):
            return
        table.tree.add(cls)
        for name in fields_of(self._context, cls):
            for inner in self._classes(cls, name):
                self._grow(inner, table)

    def _classes(self, cls: ClassInfo, name: str) -> Iterator[ClassInfo]:
        """The classes of the objects that a field may hold."""
        base = fields_of(self._context, cls).get(name)
        if base is not None:
            with self._context.silently():
                value = self._context.from_annotation(base.annotations[name], Frame(base.module, {}))
            yield from (o.cls for o in options(value) if isinstance(o, Instance))

    def _hash(self, cls: ClassInfo, table: _Fields) -> None:
        """Enter what `cls.compute_hash` takes."""
        if cls in table.hashed:
            return
        table.hashed.add(cls)
        found = read_hash(self._context, cls)
        if found is None:
            return
        self._enter(cls, found, table)
        for name, base in fields_of(self._context, cls).items():
            if name in found.ignored:
                reason = f"`{base.name}.{HASH}` ignores it"
                table.missing[cls, name] = Missing(reason, cls.module.source.span(found.ignored[name]))
            else:
                table.missing[cls, name] = Missing(f"`{base.name}.{HASH}` leaves it out", found.span)

    def _enter(self, cls: ClassInfo, found: Hash, table: _Fields) -> None:
        if found.is_opaque:
            self._take_whole(cls, table)
            return
        if found.all_fields:
            for name in fields_of(self._context, cls):
                if name not in found.ignored:
                    self._take(cls, name, table)
        for path, tested in found.paths:
            self._follow(cls, path, tested, table)

    def _follow(self, cls: ClassInfo, path: tuple[str, ...], tested: bool, table: _Fields) -> None:
        """Enter `self.a.b`, which a hash mentions. That a configuration is there at all says nothing of its fields."""
        name, rest = path[0], path[1:]
        if name == HASH:
            self._hash(cls, table)
            return
        if name not in fields_of(self._context, cls):
            method = self._context.member(cls, name)
            if method is not None and isinstance(method[1], FunctionInfo):
                mentioned = read_hash(self._context, cls, method[1])
                if mentioned is not None and cls not in table.whole:
                    self._enter(cls, mentioned, table)
            return
        table.held.add((cls, name))
        for inner in self._classes(cls, name):
            if rest:
                self._follow(inner, rest, tested, table)
            elif not tested:
                self._take_whole(inner, table)

    def _take(self, cls: ClassInfo, name: str, table: _Fields) -> None:
        table.held.add((cls, name))
        for inner in self._classes(cls, name):
            self._take_whole(inner, table)

    def _take_whole(self, cls: ClassInfo, table: _Fields) -> None:
        if cls not in table.whole and (cls in table.tree or is_dataclass(cls)):
            table.whole.add(cls)
            for name in fields_of(self._context, cls):
                self._take(cls, name, table)


def _defined_variables(module: ModuleInfo) -> dict[str, ast.expr]:
    """The variables that `vllm.envs` defines, with what gives their values."""
    found: dict[str, ast.expr] = {}
    for binding in module.bindings.get("environment_variables", ()):
        if isinstance(binding, Assignment) and isinstance(binding.value, ast.Dict):
            for key, value in zip(binding.value.keys, binding.value.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    found[key.value] = value
    return found


def _hashed_variables(module: ModuleInfo, function: FunctionInfo, defined: dict[str, ast.expr]) -> _Environment:
    """What a function hashes: the names that it loops over, without those that it passes over."""
    looped: set[str] = set()
    ignored: dict[str, ast.expr] = {}
    for node in ast.walk(function.node):
        if isinstance(node, (ast.For, ast.comprehension)):
            text = ast.unparse(node.iter)
            if "environment_variables" in text and "to_hash" not in text:
                looped |= defined.keys()
            else:
                looped |= names_of(node.iter, function, module).keys()
        elif isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.In, ast.NotIn)):
            ignored |= names_of(node.comparators[0], function, module)
    if not looped:
        return _Environment()
    hashed = looped - ignored.keys()
    read = {read for name in hashed & defined.keys() for read in _read_by(defined[name])}
    return _Environment(
        frozenset(hashed | (read - ignored.keys())),
        frozenset(defined),
        {name: module.source.span(node) for name, node in ignored.items()},
        function.name,
    )


def _read_by(getter: ast.expr) -> Iterator[str]:
    """The variables that the getter of a variable reads."""
    for node in ast.walk(getter):
        if isinstance(node, ast.Call) and node.args and "env" in ast.unparse(node.func):
            name: ast.expr = node.args[0]
        elif isinstance(node, ast.Subscript) and ast.unparse(node.value) == "os.environ":
            name = node.slice
        else:
            continue
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            yield name.value
