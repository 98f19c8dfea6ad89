"""What an interpretation makes, and how that gets from one interpretation to another.

Objects and containers change while code runs. So each file is interpreted in a world of its own, and so is whatever
all files share: the constructor of each object, and each value of a module. Nothing that one world changes can be seen
in another. What a shared interpretation leaves behind is copied into each world that asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from vllm_lint.analyzer.recording import Recording
from vllm_lint.analyzer.state import State
from vllm_lint.analyzer.values import (
    Bool,
    Choice,
    Class,
    Const,
    External,
    Float,
    Function,
    Instance,
    Int,
    Layer,
    Mapping,
    Method,
    Module,
    Parent,
    Partial,
    Scope,
    Sequence,
    Shape,
    Static,
    Tensor,
    Unbacked,
    Unknown,
    Value,
    options,
    trail_of,
)

_MAX_NESTING = 6


@dataclass(eq=False)
class World:
    """The objects, variables and results of one interpretation."""

    instances: dict[int, Instance] = field(default_factory=dict)
    """Objects by what they were built from."""
    altered: dict[Instance, set[str] | None] = field(default_factory=dict)
    """Objects with attributes that something else than their constructor set; None where they all differ from those
    of such objects elsewhere."""
    building: list[Instance] = field(default_factory=list)
    """Objects whose constructors are running, the innermost last."""
    results: dict[Hashable, Value] = field(default_factory=dict)
    recordings: dict[Hashable, tuple[Recording, int]] = field(default_factory=dict)
    """What happened on the way to each result, and when that began."""
    running: set[Hashable] = field(default_factory=set)
    values: dict[Hashable, tuple[Value, int]] = field(default_factory=dict)
    """Values of modules and decorators, with the questions that they depend on."""
    copies: dict[tuple[int, int | None], tuple[Value | Scope, Value | Scope]] = field(default_factory=dict)
    """Containers of other worlds, by identity and by whose they are, with what stands for them in this one."""
    changed: list[Value] = field(default_factory=list)
    """Those that were changed here."""
    state: State = field(default_factory=State)
    """What compiled code reads and changes of what outlives a call."""
    depth: int = 0
    calls: int = 0

    def note_change(self, container: Sequence | Mapping) -> None:
        """Note that a container is changed: one of another world may be an attribute of an object there."""
        if any(made is container for _, made in self.copies.values()):
            self.changed.append(container)

    def changed_attributes(self) -> Iterator[tuple[Instance, str]]:
        """Attributes of objects that hold a container that was changed here."""
        if self.changed:
            for instance in self.instances.values():
                if not instance.is_pending:
                    for name, value in instance.attributes.items():
                        if any(option is c for option in options(value) for c in self.changed):
                            yield instance, name


class Blueprint:
    """What objects are built from that are the same in all worlds: a class, and arguments that hold nothing else."""

    __slots__ = ("model", "template")

    def __init__(self, model: Instance) -> None:
        self.model = model
        """Such an object, in no world: it stands for them in the arguments of others, and is never built itself."""
        self.template = self
        """What is built once for all owners of such objects; itself for objects without an owner."""
        model.blueprint = self


@dataclass(frozen=True)
class Outcome:
    """What a shared interpretation leaves behind, in values of the world that it ran in."""

    values: dict[str, Value]
    altered: tuple[tuple[Instance, tuple[str, ...] | None], ...]
    """Objects besides the one that was built whose attributes it set; None for all of them."""
    is_plain: bool
    """Whether the values are good for any world as they are."""


class NotPlainError(Exception):
    """A value holds something that only its own world has."""


def copied(value: Value, instance: Callable[[Instance], Value], world: World, number: int | None = None) -> Value:
    """`value` for `world`: with containers of its own, and with `instance` applied to each object in it.

    Objects that are built alike have copies of their own of what their constructor made once; `number` tells which
    object they are for.
    """
    return value if type(value) in _SIMPLE else _Copying(instance, world, number).copy(value)


class _Copying:
    def __init__(self, instance: Callable[[Instance], Value], world: World, number: int | None) -> None:
        self._instance = instance
        self._copies = world.copies
        self._number = number

    def copy(self, value: Value) -> Value:
        kind = type(value)
        if kind in _SIMPLE:
            return value
        if isinstance(value, Instance):
            return self._instance(value)
        known = self._copies.get((id(value), self._number))
        if known is not None:
            return known[1]  # type: ignore[return-value]
        if isinstance(value, Sequence):
            return self._sequence(value)
        if isinstance(value, Mapping):
            return self._mapping(value)
        if isinstance(value, Choice):
            several = self._all(value.options)
            return value if several is value.options else Choice(several, value.origins)
        if isinstance(value, Function):
            receiver = None if value.receiver is None else self.copy(value.receiver)
            scope = self._scope(value.scope)
            same = receiver is value.receiver and scope is value.scope
            return value if same else replace(value, receiver=receiver, scope=scope)
        if isinstance(value, (Method, Parent)):
            receiver = self.copy(value.receiver)
            return value if receiver is value.receiver else replace(value, receiver=receiver)
        if isinstance(value, (Partial, Layer)):
            arguments = self._all(value.arguments)
            keywords = tuple((k, self.copy(v)) for k, v in value.keywords)
            if arguments is value.arguments and all(
                a[1] is b[1] for a, b in zip(keywords, value.keywords, strict=True)
            ):
                keywords = value.keywords
            if isinstance(value, Layer):
                same = arguments is value.arguments and keywords is value.keywords
                return value if same else Layer(value.name, arguments, keywords)
            function = self.copy(value.function)
            same = function is value.function and arguments is value.arguments and keywords is value.keywords
            return value if same else Partial(function, arguments, keywords)
        raise AssertionError(kind)

    def _all(self, values: tuple[Value, ...]) -> tuple[Value, ...]:
        found = tuple(map(self.copy, values))
        return values if all(a is b for a, b in zip(found, values, strict=True)) else found

    def _sequence(self, value: Sequence) -> Value:
        made = Sequence(value.kind, None, value.element, value.frozen)
        self._copies[id(value), self._number] = (value, made)
        made.items = None if value.items is None else [self.copy(i) for i in value.items]
        made.element = self.copy(value.element)
        return made

    def _mapping(self, value: Mapping) -> Value:
        made = Mapping(None, value.element, value.frozen)
        self._copies[id(value), self._number] = (value, made)
        made.items = None if value.items is None else {k: self.copy(v) for k, v in value.items.items()}
        made.element = self.copy(value.element)
        return made

    def _scope(self, scope: Scope | None) -> Scope | None:
        if scope is None:
            return None
        known = self._copies.get((id(scope), self._number))
        if known is not None:
            return known[1]  # type: ignore[return-value]
        made = Scope({}, None, scope.number if self._number is None else (scope.number, self._number))
        self._copies[id(scope), self._number] = (scope, made)
        made.variables.update({k: self.copy(v) for k, v in scope.variables.items()})
        made.parent = self._scope(scope.parent)
        return made


#: Values that nothing can change and that hold no object.
_SIMPLE = frozenset({Const, Int, Bool, Float, Static, Unbacked, Tensor, Shape, Class, Module, External, Unknown})
#: Those of them that never hold the path of a token count.
_CONSTANT = frozenset({Const, Static, Class, Module, External, Unknown})
#: Sequences that nothing is added to.
_FIXED = ("tuple", "generator")


def is_plain(values: Iterable[Value]) -> bool:
    """Whether `values` can be used in any world as they are."""
    return all(
        type(v) in _SIMPLE or (isinstance(v, Function) and v.receiver is None and v.scope is None) for v in values
    )


def description(value: Value, world: World, *, changeable: bool, depth: int = _MAX_NESTING) -> Hashable:
    """Says all about a value that an interpretation may depend on, more than its key does.

    `changeable` says whether it may hold containers that the interpretation could change.

    Raises:
        NotPlainError: it does, or it holds an object that is not what its blueprint says, the variables of a function,
            or the path of a token count.
    """
    kind = type(value)
    if kind in _CONSTANT:
        return value.key if kind is Const else value
    if kind is Instance:
        assert isinstance(value, Instance)
        if value.blueprint is None or value in world.altered or value in world.building:
            raise NotPlainError
        return value.blueprint
    if kind in _SIMPLE:
        if trail_of(value) is not None:
            raise NotPlainError
        return value
    if not depth:
        raise NotPlainError

    def inner(part: Value) -> Hashable:
        return description(part, world, changeable=changeable, depth=depth - 1)

    if isinstance(value, (Sequence, Mapping)):
        if not (changeable or value.frozen or (isinstance(value, Sequence) and value.kind in _FIXED)):
            raise NotPlainError
        name = value.kind if isinstance(value, Sequence) else "dict"
        items = value.items
        if isinstance(items, dict):
            items = [*map(Const, items), *items.values()]
        return (name, None if items is None else tuple(map(inner, items)), inner(value.element), value.frozen)
    if isinstance(value, Choice):
        return ("choice", value.origins, *map(inner, value.options))
    return (kind, *_parts(value, inner))


def _parts(value: Value, inner: Callable[[Value], Hashable]) -> tuple[Hashable, ...]:
    """What is to be said of a value that can be called."""
    if isinstance(value, Function):
        if value.scope is not None:
            raise NotPlainError
        return (value.info, value.owner, None if value.receiver is None else inner(value.receiver))
    if isinstance(value, Method):
        return (value.name, inner(value.receiver))
    if isinstance(value, Parent):
        return (value.owner, inner(value.receiver))
    assert isinstance(value, (Partial, Layer))
    head = value.name if isinstance(value, Layer) else inner(value.function)
    return (head, tuple(map(inner, value.arguments)), tuple((k, inner(v)) for k, v in value.keywords))
