"""The abstract values that the interpreter computes with.

Values compare by what they are, not by how they came about: a `Trail`, the path by which a token count got into a
value, takes no part in equality, so that a function is interpreted once for each distinct abstract input.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Union

from vllm_lint.analyzer.findings import Span, Step
from vllm_lint.analyzer.origins import NO_ORIGINS, Origins
from vllm_lint.analyzer.sizes import Condition, Size

if TYPE_CHECKING:
    from vllm_lint.analyzer.index import ClassInfo, FunctionInfo, ModuleInfo
    from vllm_lint.analyzer.sharing import Shared
    from vllm_lint.analyzer.worlds import Blueprint

#: Counts the steps of the interpretation.
clock = itertools.count()

_MAX_OPTIONS = 8
_MAX_NUMBERS = 3
_MAX_TRAIL = 12
#: Containers are told apart to this depth; one that is nested deeper, or in itself, is cut off there.
_MAX_NESTING = 4
#: Longer sequences are known by the join of their elements.
MAX_ITEMS = 64


class Trail:
    """A linked list of steps, the newest first."""

    __slots__ = ("length", "message", "order", "parent", "span")

    def __init__(self, span: Span, message: str, parent: Trail | None = None) -> None:
        self.span = span
        self.message = message
        self.parent = parent
        self.length: int = parent.length + 1 if parent else 1
        self.order = next(clock)
        """When the step was taken, to sort it in among the calls that led to it."""

    def then(self, span: Span, message: str) -> Trail:
        """The trail with one more step; a long trail and a step on the same place are left as they are."""
        if self.length >= _MAX_TRAIL or self.span == span:
            return self
        return Trail(span, message, self)

    def steps(self) -> list[tuple[int, Step]]:
        """The steps with their order, oldest first."""
        found: list[tuple[int, Step]] = []
        trail: Trail | None = self
        while trail is not None:
            found.append((trail.order, Step(trail.span, trail.message)))
            trail = trail.parent
        return found[::-1]


@dataclass(frozen=True)
class Const:
    """A Python constant that is known: None, bool, int, float, str, bytes, Ellipsis."""

    value: Hashable

    @property
    def key(self) -> Hashable:
        """What equality is decided by; `True` and `1` differ."""
        return ("const", type(self.value).__name__, self.value)


@dataclass(frozen=True)
class Int:
    """A Python integer with a known expression."""

    size: Size
    trail: Trail | None = field(default=None, compare=False)
    inputs: frozenset[str] = frozenset()
    """Which inputs of the region the token count was read from, by name, or by `#id` where they have a shape id."""
    exact: bool = True
    origins: Origins = NO_ORIGINS

    @property
    def key(self) -> Hashable:
        """What equality is decided by."""
        return ("int", self.size, self.exact, self.inputs, self.origins)


@dataclass(frozen=True)
class Bool:
    """A truth value computed from sizes that is not known."""

    condition: Condition
    trail: Trail | None = field(default=None, compare=False)
    inputs: frozenset[str] = frozenset()
    exact: bool = True

    @property
    def key(self) -> Hashable:
        """What equality is decided by."""
        return ("bool", self.condition, self.exact)


@dataclass(frozen=True)
class Float:
    """A float computed from a size, such as `n / 128`."""

    size: Size
    trail: Trail | None = field(default=None, compare=False)

    @property
    def key(self) -> Hashable:
        """What equality is decided by."""
        return ("float", self.size)


@dataclass(frozen=True)
class Static:
    """Unknown but fixed at capture: configuration, platform, module structure.

    `type` is a Python type name where it is known ("int", "str", ...), else "".
    """

    label: str = ""
    type: str = ""
    origins: Origins = NO_ORIGINS

    @property
    def key(self) -> Hashable:
        """What equality is decided by."""
        return ("static", self.label, self.type, self.origins)


@dataclass(frozen=True)
class Unbacked:
    """A Python scalar read out of tensor data: `.item()`, `int(t)`, the length of `nonzero()`."""

    type: str
    trail: Trail | None = field(default=None, compare=False)

    @property
    def key(self) -> Hashable:
        """What equality is decided by."""
        return ("unbacked", self.type)


@dataclass(frozen=True)
class Tensor:
    """A tensor. `shape` is None where not even the rank is known.

    `open` means that the rank is assumed, not known; `exact` is False where the shape is a guess.
    `elements` holds the sizes a tensor was built from, where that matters.
    """

    shape: tuple[Size, ...] | None = None
    dtype: str = ""
    open: bool = False
    exact: bool = True
    parameter: bool = False
    unbacked: bool = False
    """Whether the first dimension is a size that comes from data."""
    strided: bool = False
    """Whether it is a view that is known not to be contiguous, save for single rows."""
    memory: str = ""
    """`HOST` or `HOST_DATA` where it is known to be on the CPU; else it is taken to be on the device."""
    trail: Trail | None = field(default=None, compare=False)
    inputs: frozenset[str] = frozenset()

    @property
    def key(self) -> Hashable:
        """What equality is decided by."""
        flags = (self.open, self.exact, self.parameter, self.unbacked, self.strided, self.memory)
        return ("tensor", self.shape, self.dtype, flags, self.inputs)

    @property
    def depends(self) -> bool:
        """Whether a dimension is known to change with the token count."""
        return self.shape is not None and any(d.depends for d in self.shape)


@dataclass(frozen=True)
class Shape:
    """The `torch.Size` of a tensor."""

    tensor: Tensor

    @property
    def key(self) -> Hashable:
        """What equality is decided by."""
        return ("shape", self.tensor.key)


@dataclass(eq=False)
class Sequence:
    """A list, tuple, set or generator. `items` is None where only the join of the elements is known."""

    kind: str
    items: list[Value] | None
    element: Value
    frozen: bool = False
    """Whether it belongs to a module, so that no root may see what another puts into it."""

    @property
    def key(self) -> Hashable:
        """What equality is decided by."""
        return _container_key(self, _MAX_NESTING)


@dataclass(eq=False)
class Mapping:
    """A dict. `items` is None where only the join of the values is known."""

    items: dict[Any, Value] | None
    element: Value
    frozen: bool = False
    """As for sequences."""

    @property
    def key(self) -> Hashable:
        """What equality is decided by."""
        return _container_key(self, _MAX_NESTING)


class Instance:
    """An object of a class of the program. Attributes hold the join of all that is assigned to them.

    `typed` means that only the declared type is known, so that a subclass may stand here. The constructor is
    interpreted when an attribute is first asked for: of most objects, none ever is. `owner` is the object whose
    constructor creates this one, if it is no other's too.
    """

    __slots__ = (
        "_attributes",
        "_build",
        "_questions",
        "_shared",
        "args",
        "blueprint",
        "cls",
        "kwargs",
        "number",
        "owner",
        "typed",
    )

    def __init__(
        self,
        cls: ClassInfo,
        number: int,
        args: list[Value],
        kwargs: dict[str, Value],
        blueprint: Blueprint | None,
        *,
        typed: bool,
        owner: Instance | None,
    ) -> None:
        self.cls = cls
        self.number = number
        """Names the class, the arguments and the owner."""
        self.args = args
        self.kwargs = kwargs
        self.blueprint = blueprint
        self.typed = typed
        self.owner = owner
        self._attributes: dict[str, Value] = {}
        self._build: Callable[[Instance], None] | None = None
        self._shared: Shared | None = None
        self._questions = 0

    def build_later(self, build: Callable[[Instance], None], shared: Shared) -> None:
        """Have `build` set the attributes once they are needed.

        Whoever looks at them depends on what was asked about the program then, as `shared` notes.
        """
        self._build = build
        self._shared = shared

    @property
    def is_pending(self) -> bool:
        """Whether the attributes were not needed yet."""
        return self._build is not None

    def settle(self, attributes: dict[str, Value]) -> None:
        """Have these attributes, to begin with."""
        self._build = None
        self._attributes = attributes

    @property
    def attributes(self) -> dict[str, Value]:
        """Attributes set on the object, by name."""
        shared = self._shared
        if shared is not None:
            if self._build is not None:
                build, self._build = self._build, None
                outer, shared.touched = shared.touched, 0
                build(self)
                self._questions = shared.touched
                shared.touched = outer
            shared.touched |= self._questions
        return self._attributes

    @property
    def key(self) -> Hashable:
        """What equality is decided by: the arguments of the constructor, and whose constructor calls it."""
        return ("instance", self.number)


@dataclass(frozen=True)
class Class:
    """A class of the program."""

    cls: ClassInfo

    @property
    def key(self) -> Hashable:
        """What equality is decided by."""
        return ("class", self.cls.qualified_name)


@dataclass(eq=False)
class Scope:
    """The variables that a nested function sees."""

    variables: dict[str, Value]
    parent: Scope | None = None
    number: Hashable = field(default_factory=lambda: next(clock))
    """Tells scopes apart, also from those that are no more."""


@dataclass(frozen=True, eq=False)
class Function:
    """A function, method or lambda, with what it is bound to."""

    info: FunctionInfo
    receiver: Value | None = None
    scope: Scope | None = None
    owner: ClassInfo | None = None
    """The class whose body defines it, for `super()`."""

    @property
    def key(self) -> Hashable:
        """What equality is decided by."""
        captured = None if self.scope is None else self.scope.number
        return ("function", id(self.info), self.receiver.key if self.receiver else None, captured)


@dataclass(frozen=True, eq=False)
class Partial:
    """`functools.partial` of a callable."""

    function: Value
    arguments: tuple[Value, ...]
    keywords: tuple[tuple[str, Value], ...]

    @property
    def key(self) -> Hashable:
        """What equality is decided by."""
        return (
            "partial",
            self.function.key,
            tuple(a.key for a in self.arguments),
            tuple((k, v.key) for k, v in self.keywords),
        )


@dataclass(frozen=True)
class Module:
    """A Python module of the program."""

    module: ModuleInfo

    @property
    def key(self) -> Hashable:
        """What equality is decided by."""
        return ("module", self.module.name)


@dataclass(frozen=True)
class External:
    """Something of a library that is not read, by its dotted name: `torch.nn.functional.silu`."""

    name: str

    @property
    def key(self) -> Hashable:
        """What equality is decided by."""
        return ("external", self.name)


@dataclass(frozen=True, eq=False)
class Method:
    """A method of a built-in kind of value: `x.view`, `items.append`, `logger.info`."""

    receiver: Value
    name: str

    @property
    def key(self) -> Hashable:
        """What equality is decided by."""
        return ("method", self.receiver.key, self.name)


@dataclass(frozen=True, eq=False)
class Layer:
    """An instance of a library class, such as `torch.nn.Linear(4, 8)`, with its constructor's arguments."""

    name: str
    arguments: tuple[Value, ...] = ()
    keywords: tuple[tuple[str, Value], ...] = ()

    @property
    def key(self) -> Hashable:
        """What equality is decided by."""
        return (
            "layer",
            self.name,
            tuple(a.key for a in self.arguments),
            tuple((k, v.key) for k, v in self.keywords),
        )

    def argument(self, index: int, name: str) -> Value | None:
        """The constructor argument at `index` or called `name`."""
        if index < len(self.arguments):
            return self.arguments[index]
        return dict(self.keywords).get(name)


@dataclass(frozen=True, eq=False)
class Parent:
    """What `super()` gives in a method of `owner`: the receiver seen from behind that class."""

    receiver: Value
    owner: ClassInfo

    @property
    def key(self) -> Hashable:
        """What equality is decided by."""
        return ("parent", self.receiver.key, id(self.owner))


@dataclass(frozen=True)
class Unknown:
    """Nothing is known. `tainted` means that it may depend on the token count."""

    reason: str = ""
    tainted: bool = False

    @property
    def key(self) -> Hashable:
        """What equality is decided by; why a value is unknown does not matter."""
        return ("unknown", self.tainted)


@dataclass(frozen=True, eq=False)
class Choice:
    """One of a few values, depending on configuration. `origins` are of what chooses, not of what is chosen."""

    options: tuple[Value, ...]
    origins: Origins = NO_ORIGINS

    @property
    def key(self) -> Hashable:
        """What equality is decided by."""
        return _container_key(self, _MAX_NESTING)


Value = Union[
    Const,
    Int,
    Bool,
    Float,
    Static,
    Unbacked,
    Tensor,
    Shape,
    Sequence,
    Mapping,
    Instance,
    Class,
    Function,
    Partial,
    Module,
    External,
    Method,
    Layer,
    Parent,
    Unknown,
    Choice,
]

#: Memory of a tensor that is computed on the CPU, and of one that is kept there from before the forward.
HOST, HOST_DATA = "host", "host data"

NONE = Const(None)
TRUE = Const(True)
FALSE = Const(False)
UNKNOWN = Unknown()


def options(value: Value) -> tuple[Value, ...]:
    """The values that `value` may be."""
    return value.options if isinstance(value, Choice) else (value,)


def tensor_among(value: Value) -> Tensor | None:
    """The tensor that `value` is or may be, None if there is none."""
    return next((o for o in options(value) if isinstance(o, Tensor)), None)


def choice(values: Iterable[Value]) -> Value:
    """One of `values`, joined as far as needed to stay small."""
    several = list(values)
    if len(several) == 1 and type(several[0]) is not Choice:
        return several[0]
    distinct: dict[Hashable, Value] = {}
    origins = NO_ORIGINS
    for value in several:
        if isinstance(value, Choice):
            origins |= value.origins
            for option in value.options:
                distinct.setdefault(option.key, option)
        else:
            distinct.setdefault(value.key, value)
    if not distinct:
        return UNKNOWN
    found = list(distinct.values())
    if len(found) == 1:
        return decided(found[0], origins)
    kinds = set(map(type, found))
    if Unknown in kinds:
        found = _drop_unknown(found)
    if Tensor in kinds:
        found = _merge_tensors(found)
    if len(found) > _MAX_NUMBERS:
        found = _merge_scalars(found)
    if Sequence in kinds or Mapping in kinds:
        found = _merge_containers(found)
    if len(found) == 1:
        return decided(found[0], origins)
    if len(found) > _MAX_OPTIONS:
        return Unknown("too many possibilities", tainted=any(tainted(v) for v in found))
    return Choice(tuple(found), origins)


def decided(value: Value, origins: Origins) -> Value:
    """`value`, which something of these origins chose or went into; what is not a plain value does not carry them."""
    if origins and isinstance(value, (Static, Int, Choice)):
        return replace(value, origins=value.origins | origins)
    return value


def origins_of(*values: Value, depth: int = _MAX_NESTING) -> Origins:
    """Where values come from that the cache key does not hold."""
    found = NO_ORIGINS
    for value in values:
        if isinstance(value, (Static, Int)):
            found |= value.origins
        elif isinstance(value, (Choice, Sequence, Layer)) and depth:
            if isinstance(value, Choice):
                found |= value.origins
            found |= origins_of(*_inside(value), depth=depth - 1)
    return found


def _inside(value: Choice | Sequence | Layer) -> Iterable[Value]:
    if isinstance(value, Choice):
        return value.options
    if isinstance(value, Sequence):
        return (value.element,) if value.items is None else value.items
    return (*value.arguments, *(v for _, v in value.keywords))


def join(a: Value, b: Value) -> Value:
    """The value that is `a` on one path and `b` on another."""
    if a is b or a.key == b.key:
        return a
    return choice((a, b))


def tainted(value: Value) -> bool:
    """Whether the value as a Python value may change with the token count."""
    if isinstance(value, (Int, Float)):
        return value.size.depends
    if isinstance(value, Bool):
        return value.condition.depends
    if isinstance(value, Unknown):
        return value.tainted
    if isinstance(value, Choice):
        return any(tainted(o) for o in value.options)
    if isinstance(value, Sequence):
        return any(tainted(i) for i in value.items) if value.items is not None else tainted(value.element)
    if isinstance(value, Shape):
        return value.tensor.depends or value.tensor.shape is None
    return False


def is_static(value: Value) -> bool:
    """Whether the value is known to be fixed at capture."""
    if isinstance(value, (Int, Float)):
        return not value.size.depends
    if isinstance(value, Bool):
        return not value.condition.depends
    if isinstance(value, Choice):
        return all(is_static(o) for o in value.options)
    if isinstance(value, Sequence):
        return all(is_static(i) for i in value.items) if value.items is not None else is_static(value.element)
    return not isinstance(value, (Unknown, Tensor, Unbacked, Shape, Mapping))


def as_size(value: Value) -> Size | None:
    """The size expression of an integer, None for anything else. A static of unknown type counts as an integer."""
    if isinstance(value, Int):
        return value.size
    if isinstance(value, Const) and isinstance(value.value, int):
        return Size.const(int(value.value))
    if isinstance(value, Static) and value.type in ("", "int") and (value.label or value.type):
        return Size.static(value.label or "?")
    return None


def integer(
    size: Size, trail: Trail | None = None, inputs: frozenset[str] = frozenset(), *, exact: bool = True
) -> Value:
    """An integer value; a known number becomes a constant."""
    if size.constant is not None:
        return Const(size.constant)
    return Int(size, trail, inputs, exact)


def trail_of(value: Value) -> Trail | None:
    """How the token count got into `value`."""
    if isinstance(value, (Int, Bool, Float, Unbacked, Tensor)):
        return value.trail
    if isinstance(value, Shape):
        return value.tensor.trail
    if isinstance(value, Choice):
        return next((t for t in map(trail_of, value.options) if t), None)
    if isinstance(value, Sequence) and value.items:
        return next((t for t in map(trail_of, value.items) if t), None)
    return None


def inputs_of(value: Value) -> frozenset[str]:
    """Which inputs of the region the token counts in `value` were read from."""
    if isinstance(value, (Int, Bool, Tensor)):
        return value.inputs
    return frozenset()


def _drop_unknown(values: list[Value]) -> list[Value]:
    """A value of which something is known on one path is taken for that on all, but no longer for exact."""
    unknown = any(isinstance(v, Unknown) for v in values)
    if not unknown or not any(isinstance(v, (Tensor, Sequence, Instance, Function, Layer)) for v in values):
        return values
    rest = [v for v in values if not isinstance(v, Unknown)]
    return [replace(v, exact=False) if isinstance(v, Tensor) else v for v in rest]


def _merge_tensors(values: list[Value]) -> list[Value]:
    """Tensors of one rank are joined dimension by dimension; an unknown shape gives way to a known one."""
    tensors = [v for v in values if isinstance(v, Tensor)]
    if len(tensors) < 2:
        return values
    known = [t for t in tensors if t.shape is not None]
    settled = {len(t.shape or ()) for t in known if not t.open}
    if len(settled) == 1:  # a rank that is only assumed gives way to one that is known
        known = [t for t in known if len(t.shape or ()) in settled]
    merged = known[0] if known else tensors[0]
    exact = len(known) == len(tensors) and all(t.exact for t in tensors)
    for other in known[1:]:
        mine, theirs = merged.shape, other.shape
        assert mine is not None and theirs is not None
        if len(mine) != len(theirs):
            merged = Tensor(None, trail=merged.trail or other.trail, inputs=merged.inputs | other.inputs)
            break
        if mine != theirs:
            pairs = list(zip(mine, theirs, strict=True))
            exact = exact and all(a == b or not (a.depends or b.depends) for a, b in pairs)
            shape = tuple(_join_dimension(a, b) for a, b in pairs)
            merged = Tensor(shape, "", merged.open, trail=merged.trail, inputs=merged.inputs | other.inputs)
    merged = Tensor(
        merged.shape,
        merged.dtype if len({t.dtype for t in tensors}) == 1 else "",
        merged.open,
        exact,
        parameter=all(t.parameter for t in tensors),
        unbacked=any(t.unbacked for t in tensors),
        memory=tensors[0].memory if len({t.memory for t in tensors}) == 1 else "",
        trail=merged.trail,
        inputs=merged.inputs.union(*(t.inputs for t in tensors)),
    )
    return [v for v in values if not isinstance(v, Tensor)] + [merged]


def _join_dimension(a: Size, b: Size) -> Size:
    if a == b:
        return a
    if a.depends and b.depends:
        if a.is_vague or b.is_vague:
            return b if a.is_vague else a
        return Size.operation("max", a, b)
    # One path pads or drops a token dimension: keep the one that depends, the join is marked as not exact.
    if a.depends or b.depends:
        return a if a.depends else b
    return Size.static("?")


def _merge_scalars(values: list[Value]) -> list[Value]:
    """Numbers of one kind collapse once there are too many to keep apart."""
    numbers = [v for v in values if isinstance(v, (Const, Int, Static)) and v is not NONE and v != NONE]
    if len(numbers) <= _MAX_NUMBERS:
        return values
    rest = [v for v in values if v not in numbers]
    depends = [v for v in numbers if isinstance(v, Int) and v.size.depends]
    return [*rest, *depends[:2], Static(origins=origins_of(*numbers))]


def _container_key(value: Value, depth: int) -> Hashable:
    if isinstance(value, Sequence):
        if depth == 0:
            return value.kind
        if value.items is None:
            return (value.kind, None, _container_key(value.element, depth - 1))
        return (value.kind, tuple(_container_key(i, depth - 1) for i in value.items))
    if isinstance(value, Mapping):
        if depth == 0:
            return "dict"
        if value.items is None:
            return ("dict", None, _container_key(value.element, depth - 1))
        return ("dict", tuple((k, _container_key(v, depth - 1)) for k, v in value.items.items()))
    if isinstance(value, Choice):
        several = frozenset(_container_key(o, depth - 1) if depth else "..." for o in value.options)
        return ("choice", several, value.origins)
    return value.key


def _nests_deeply(value: Value, depth: int) -> bool:
    if isinstance(value, Choice):
        return any(_nests_deeply(o, depth) for o in value.options)
    if isinstance(value, Sequence):
        inner = value.items if value.items is not None else [value.element]
        return depth == 0 or any(_nests_deeply(i, depth - 1) for i in inner)
    if isinstance(value, Mapping):
        return depth == 0 or any(_nests_deeply(i, depth - 1) for i in (value.items or {}).values())
    return False


def _merge_containers(values: list[Value]) -> list[Value]:
    """Sequences of one kind and length are joined element by element, others by their elements."""
    values = [
        replace(v, items=None, element=UNKNOWN)
        if isinstance(v, (Sequence, Mapping)) and _nests_deeply(v, _MAX_NESTING)
        else v
        for v in values
    ]
    sequences = [v for v in values if isinstance(v, Sequence)]
    if len(sequences) > 1:
        kind = sequences[0].kind if len({s.kind for s in sequences}) == 1 else "list"
        lengths = {None if s.items is None else len(s.items) for s in sequences}
        items: list[Value] | None = None
        if len(lengths) == 1 and None not in lengths:
            columns = zip(*(s.items or [] for s in sequences), strict=True)
            items = [choice(column) for column in columns]
        merged = Sequence(kind, items, choice(element_of(s) for s in sequences))
        values = [v for v in values if not isinstance(v, Sequence)] + [merged]
    mappings = [v for v in values if isinstance(v, Mapping)]
    if len(mappings) > 1:
        elements = [m.element if m.items is None else choice(m.items.values()) for m in mappings]
        values = [v for v in values if not isinstance(v, Mapping)] + [Mapping(None, choice(elements))]
    return values


def element_of(sequence: Sequence) -> Value:
    """The join of the elements."""
    if sequence.items is None:
        return sequence.element
    return choice(sequence.items) if sequence.items else UNKNOWN


def widened(value: Value) -> Value:
    """`value` with sizes that are fixed at capture forgotten, so that more callers look alike."""
    if isinstance(value, Tensor) and value.parameter:
        return Tensor(parameter=True)
    if isinstance(value, Tensor) and value.shape is not None:
        dims = tuple(d if d.depends or d.constant == 1 else Size.static("?") for d in value.shape)
        return replace(value, shape=dims)
    if isinstance(value, Int) and not value.size.depends:
        return Static("", "int", value.origins)
    if isinstance(value, Static):
        return Static("", value.type, value.origins)
    if isinstance(value, Choice):
        return decided(choice(widened(o) for o in value.options), value.origins)
    return value


def anonymous(value: Value) -> Value:
    """What all tensors of one rank and dependence on token counts have in common; other values stay."""
    tensor = tensor_among(value)
    if tensor is not None:
        dims = None
        if tensor.shape is not None:
            dims = tuple(Size.about(d) if d.depends and len(d.terms[0][0]) != 1 else d for d in tensor.shape)
        return Tensor(dims, exact=False, parameter=tensor.parameter, trail=tensor.trail)
    if isinstance(value, (Int, Bool)):
        return replace(value, inputs=frozenset())
    return value


def may_be(value: Value, *, truth: bool) -> bool:
    """Whether a value can have that truth, as far as None and constants go."""
    if value == NONE:
        return not truth
    if isinstance(value, Const):
        return bool(value.value) == truth
    if isinstance(value, (Tensor, Instance, Function, Layer)):
        return truth
    return True


def with_truth(value: Value, truth: bool) -> Value:
    """What `value` is where it has that truth."""
    kept: list[Value] = []
    for option in options(value):
        is_bool = isinstance(option, (Bool, Unbacked, Tensor)) or (isinstance(option, Static) and option.type == "bool")
        if is_bool:
            kept.append(Const(truth))
        elif may_be(option, truth=truth):
            kept.append(option)
    return choice(kept or [value])
