"""Builds objects, and brings what is shared between the files of a run into the world of one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from functools import partial

from vllm_lint.analyzer import operators, special_calls
from vllm_lint.analyzer.construction import Construction
from vllm_lint.analyzer.context import Frame
from vllm_lint.analyzer.findings import Contract
from vllm_lint.analyzer.index import ClassInfo, FunctionInfo
from vllm_lint.analyzer.profile import spent_on
from vllm_lint.analyzer.project import Project
from vllm_lint.analyzer.recording import Recording
from vllm_lint.analyzer.statements import Statements
from vllm_lint.analyzer.values import (
    UNKNOWN,
    Const,
    Function,
    Instance,
    Mapping,
    Sequence,
    Static,
    Tensor,
    Value,
    anonymous,
    join,
    options,
    widened,
)
from vllm_lint.analyzer.worlds import Blueprint, NotPlainError, Outcome, World, copied, description, is_plain


class Objects(Statements):
    """The part of the interpreter that builds objects."""

    def __init__(self, project: Project) -> None:
        super().__init__(project)
        self.world = World()
        self._numbers: dict[object, int] = {}
        self._blueprints: dict[object, Blueprint] = {}
        self._moves: dict[tuple[Blueprint, Blueprint], Blueprint] = {}
        self._moved_numbers: dict[tuple[int, int], int] = {}

    @contextmanager
    def apart(self, world: World) -> Iterator[World]:
        """Interpret in `world`, silently, and regardless of what is being interpreted now."""
        modes = (self.world, self.quiet, self.conditions, self.alternatives, self.asserting, self.immaterial)
        more = (self.recording, self.contract, self.assumes, self.construction)
        self.world, self.quiet, self.conditions, self.alternatives = world, 1, 0, 0
        self.asserting = self.immaterial = False
        self.recording, self.contract, self.construction = Recording(), Contract.VLLM, None
        self.assumes = frozenset()
        try:
            yield world
        finally:
            self.world, self.quiet, self.conditions, self.alternatives, self.asserting, self.immaterial = modes
            self.recording, self.contract, self.assumes, self.construction = more

    # Making objects

    def instantiate(self, cls: ClassInfo, args: list[Value], kwargs: dict[str, Value], *, typed: bool = False) -> Value:
        """An object of `cls`; the same arguments give the same object, to one constructor or outside of any."""
        owner = self.construction.instance if self.construction is not None and not typed else None
        if special_calls.constructed_by_type(self.project, cls):
            args, kwargs = self._generalized(args, kwargs)
            owner = None
        number = self._number(_built_from(cls, args, kwargs, typed, owner))
        known = self.world.instances.get(number)
        if known is not None:
            return known
        bases = self.external_bases(cls)
        if any(b.startswith("enum.") for b in bases):
            return Static(cls.qualified_name)
        if any(b in operators.TENSOR_TYPES for b in bases):
            data = kwargs.get("data", args[0] if args else UNKNOWN)
            shape = data.shape if isinstance(data, Tensor) else None
            return Tensor(shape, exact=isinstance(data, Tensor) and data.exact, parameter=True)
        instance = Instance(cls, number, args, kwargs, None, typed=typed, owner=owner)
        instance.blueprint = self._blueprint(instance)
        self._make(instance)
        if not self.quiet:
            self.world.state.made.add(instance.number)
        if not self.quiet and instance.is_pending:  # an object built in a compiled region is built as that is captured
            instance.settle({})
            self._initialize(instance)
        return instance

    def instance_of(self, cls: ClassInfo) -> Value:
        """Some object of `cls` or a subclass, of which only the declared type is known."""
        with self.silently():
            return self.instantiate(cls, [], {"...": Static()}, typed=True)

    def _generalized(self, args: list[Value], kwargs: dict[str, Value]) -> tuple[list[Value], dict[str, Value]]:
        """Arguments as an implementation sees them that serves many callers: sizes and objects by type only.

        One interpretation of each implementation then does for all layers of a model.
        """

        def by_type(value: Value) -> Value:
            if isinstance(value, Instance):
                return self.instance_of(value.cls)
            return anonymous(widened(value))

        return [by_type(a) for a in args], {k: by_type(v) for k, v in kwargs.items()}

    def _blueprint(self, instance: Instance) -> Blueprint | None:
        """What other worlds can build such an object from as well; None if that takes something of this world."""
        owner = None
        if instance.owner is not None:
            if instance.owner.blueprint is None:
                return None
            owner = instance.owner.blueprint.model
        arguments = self.description(instance.args, instance.kwargs, changeable=True)
        return None if arguments is None else self._drawn(instance, owner, arguments)

    def _drawn(self, instance: Instance, owner: Instance | None, arguments: Hashable) -> Blueprint:
        """The blueprint of objects like `instance`; those that have an owner are built alike, whoever that is."""
        key: Hashable = (instance.cls, instance.typed, arguments, owner)
        known = self._blueprints.get(key)
        if known is None:
            known = self._blueprints[key] = Blueprint(_alike(instance, _model, owner))
            if owner is not None:
                key = (instance.cls, instance.typed, arguments, "anyone")
                template = self._blueprints.get(key)
                if template is None:
                    template = self._blueprints[key] = Blueprint(_alike(known.model, _model, None))
                    template.model.number = self._number(key)
                known.template = template
        return known

    def _number(self, key: Hashable) -> int:
        return self._numbers.setdefault(key, len(self._numbers))

    def _moved(self, blueprint: Blueprint, mine: Blueprint) -> Blueprint:
        """What `blueprint` becomes where `mine` stands in the place of its template."""
        if blueprint is mine.template:
            return mine
        known = self._moves.get((blueprint, mine))
        if known is None:

            def move(instance: Instance) -> Instance:
                assert instance.blueprint is not None
                return self._moved(instance.blueprint, mine).model

            known, model = blueprint, blueprint.model
            moved = _alike(model, move, None if model.owner is None else move(model.owner))
            if _key(moved) != _key(model):
                moved.number = self._number(_key(moved))
                with self.apart(World()):
                    arguments = self.description(moved.args, moved.kwargs, changeable=True)
                known = self._drawn(moved, moved.owner, arguments)
            self._moves[blueprint, mine] = known
        return known

    def description(self, args: list[Value], kwargs: dict[str, Value], *, changeable: bool) -> Hashable:
        """Says all about arguments that an interpretation may depend on; None if some only make sense in this world."""
        world = self.world
        try:
            return (
                tuple([description(a, world, changeable=changeable) for a in args]),
                tuple([(k, description(v, world, changeable=changeable)) for k, v in kwargs.items()]),
            )
        except NotPlainError:
            return None

    def _make(self, instance: Instance) -> Instance:
        """Add an object to this world, to be built when its attributes are first asked for."""
        self.world.instances[instance.number] = instance
        initializer = self.member(instance.cls, "__init__")
        if initializer is None or not isinstance(initializer[1], FunctionInfo):
            instance.settle(self._fields(instance))
        else:
            instance.build_later(self._build, self.project.shared)
        return instance

    def _fields(self, instance: Instance) -> dict[str, Value]:
        """What the generated constructor of a dataclass or named tuple does."""
        fields = [
            name
            for base in reversed(self.project.linearization(instance.cls))
            if not isinstance(base, str)
            for name in base.annotations
        ]
        found: dict[str, Value] = {}
        if len(instance.args) <= len(fields):
            found.update(zip(fields, instance.args, strict=False))
        found.update({k: v for k, v in instance.kwargs.items() if k != "..."})
        return found

    def set_attribute(self, instance: Instance, name: str, value: Value) -> None:
        """Have `instance.name` be `value`, or what it was."""
        construction = self.construction
        known = instance.attributes.get(name)
        if construction is not None and not construction.unsure and construction.owns(instance):
            joined = value
            construction.assign(instance, name, value)
        elif not self.quiet and known is not None and len(options(known)) > 1 and _are_numbers(known, value):
            # One interpretation follows another, while the capture sees the first call: a counter is still where it
            # began.
            return
        else:
            joined = instance.attributes[name] = value if known is None else join(known, value)
        if joined is not known and not (self.world.building and self.world.building[-1] is instance):
            self._note_altered(instance, name)

    def note_change(self, container: Sequence | Mapping) -> None:
        """Note that a container is about to be changed."""
        self.world.note_change(container)

    def _note_altered(self, instance: Instance, name: str) -> None:
        names = self.world.altered.setdefault(instance, set())
        if names is not None:
            names.add(name)

    # Building them

    def _build(self, instance: Instance) -> None:
        if instance.blueprint is not None:
            outcome = self._built(instance.blueprint.template)
            if outcome is not None:
                self._take_over(outcome, instance)
                return
        self.world.altered[instance] = None
        with self.silently():
            self._construct(instance)

    def _construct(self, instance: Instance) -> None:
        outer, self.construction = self.construction, Construction(instance)
        try:
            self._initialize(instance)
        finally:
            self.construction = outer

    def _initialize(self, instance: Instance) -> None:
        """Run the constructor of an object in this world."""
        initializer = self.member(instance.cls, "__init__")
        assert initializer is not None
        assert isinstance(initializer[1], FunctionInfo)
        function = Function(initializer[1], instance, owner=initializer[0])
        home = Frame(instance.cls.module, {})
        self.world.building.append(instance)
        try:
            self.call(function, instance.args, instance.kwargs, instance.cls.node, home)
        finally:
            self.world.building.pop()

    def _built(self, blueprint: Blueprint) -> Outcome | None:
        """The attributes of the objects that are built from `blueprint`; None while these are being worked out."""

        def build() -> Outcome | None:
            with spent_on(self.project.profile, "stage", "build objects"), self.apart(World()) as world:
                instance = self._adopted(blueprint.model)
                instance.settle({})
                self._construct(instance)
                return self.outcome(instance.attributes, world, instance)

        return self.project.shared.once(("object", blueprint), build, None)

    def outcome(self, values: dict[str, Value], world: World, built: Instance | None = None) -> Outcome:
        """What an interpretation in `world` that gave `values` leaves behind."""
        for instance, name in world.changed_attributes():
            if instance is not built:
                names = world.altered.setdefault(instance, set())
                if names is not None:
                    names.add(name)
        altered = tuple(
            (i, None if names is None else tuple(sorted(names))) for i, names in world.altered.items() if i is not built
        )
        return Outcome(values, altered, not altered and is_plain(values.values()))

    def _take_over(self, outcome: Outcome, instance: Instance) -> None:
        instance.settle(dict(outcome.values) if outcome.is_plain else self.adopted(outcome, instance))

    def adopted(self, outcome: Outcome, built: Instance | None = None) -> dict[str, Value]:
        """What another interpretation left behind, for this world, with `built` in the place of its template."""
        if built is not None and built.owner is None:
            built = None
        found = {k: self.adopt(v, built) for k, v in outcome.values.items()}
        for theirs, names in outcome.altered:
            mine = self._adopted(theirs, built)
            attributes = theirs.attributes
            if names is None and mine.is_pending:
                mine.settle({})
                mine.attributes.update({k: self.adopt(v, built) for k, v in attributes.items()})
                self.world.altered[mine] = None
                continue
            for name in attributes if names is None else names:
                if mine.owner is not None and name in attributes:
                    mine.attributes[name] = self.adopt(attributes[name], built)
                    self._note_altered(mine, name)
                elif name in attributes:
                    self.set_attribute(mine, name, self.adopt(attributes[name], built))
        return found

    def adopt(self, value: Value, built: Instance | None = None) -> Value:
        """`value` of another world, for this one, with `built` in the place of its template."""
        if built is None:
            return copied(value, self._adopted, self.world)
        return copied(value, partial(self._adopted, built=built), self.world, built.number)

    def _adopted(self, theirs: Instance, built: Instance | None = None) -> Instance:
        """The object of this world that stands for one of another."""
        blueprint = theirs.blueprint
        if blueprint is not None:
            if built is not None and built.blueprint is not None:
                blueprint = self._moved(blueprint, built.blueprint)
            theirs, built = blueprint.model, None
        number: int | None = theirs.number
        if built is not None:
            number = self._moved_numbers.get((theirs.number, built.number))
        mine = None if number is None else self.world.instances.get(number)
        if mine is None:
            args = [self.adopt(a, built) for a in theirs.args]
            kwargs = {k: self.adopt(v, built) for k, v in theirs.kwargs.items()}
            owner = None if theirs.owner is None else self._adopted(theirs.owner, built)
            made = Instance(theirs.cls, theirs.number, args, kwargs, blueprint, typed=theirs.typed, owner=owner)
            if built is not None:
                if _key(made) != _key(theirs):
                    made.number = self._number(_key(made))
                made.number = self._moved_numbers.setdefault((theirs.number, built.number), made.number)
            mine = self.world.instances.get(made.number) or self._make(made)
        return mine


def _key(instance: Instance) -> Hashable:
    return _built_from(instance.cls, instance.args, instance.kwargs, instance.typed, instance.owner)


def _built_from(
    cls: ClassInfo, args: list[Value], kwargs: dict[str, Value], typed: bool, owner: Instance | None
) -> Hashable:
    """What tells objects apart."""
    by_name = tuple((k, v.key) for k, v in kwargs.items())
    return (cls, tuple(a.key for a in args), by_name, typed, None if owner is None else owner.number)


def _alike(instance: Instance, other: Callable[[Instance], Value], owner: Instance | None) -> Instance:
    """An object in no world that is built from the same, with `other` applied to the objects among that."""
    apart = World()
    args = [copied(a, other, apart) for a in instance.args]
    kwargs = {k: copied(v, other, apart) for k, v in instance.kwargs.items()}
    return Instance(instance.cls, instance.number, args, kwargs, None, typed=instance.typed, owner=owner)


def _are_numbers(*values: Value) -> bool:
    return all(isinstance(o, Const) and type(o.value) is int for v in values for o in options(v))


def _model(instance: Instance) -> Value:
    assert instance.blueprint is not None
    return instance.blueprint.model
