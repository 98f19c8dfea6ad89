"""What every part of the interpreter shares: frames, modes, and the emission of events."""

from __future__ import annotations

import ast
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vllm_lint.analyzer.construction import Construction
from vllm_lint.analyzer.events import Event, LibraryCall, UnhashedInfluence
from vllm_lint.analyzer.findings import Confidence, Contract, Span, Step
from vllm_lint.analyzer.index import Binding, ClassInfo, FunctionInfo, Import, ModuleInfo
from vllm_lint.analyzer.origins import NO_ORIGINS, Origin, Origins
from vllm_lint.analyzer.recording import Path, Recording, Table
from vllm_lint.analyzer.source import Located
from vllm_lint.analyzer.values import Function, Instance, Mapping, Scope, Sequence, Trail, Value, trail_of

if TYPE_CHECKING:
    from vllm_lint.analyzer.project import Project
    from vllm_lint.analyzer.worlds import World


@dataclass(frozen=True)
class Test:
    """A condition whose outcome a variable holds, with the values that the variable and the names in it had."""

    node: ast.expr
    values: dict[str, Value]

    def holds(self, variables: dict[str, Value]) -> bool:
        """Whether nothing that the test is about has been bound anew."""
        return all(variables.get(name) is value for name, value in self.values.items())


@dataclass(eq=False)
class Frame:
    """One activation of a function, or the top level of a module or class."""

    module: ModuleInfo
    variables: dict[str, Value]
    info: FunctionInfo | None = None
    scope: Scope | None = None
    receiver: Value | None = None
    owner: ClassInfo | None = None
    returns: list[Value] = field(default_factory=list)
    yields: list[Value] = field(default_factory=list)
    exits: list[list[dict[str, Value]]] = field(default_factory=list)
    """For each loop that is being followed, the variables where it was left early."""
    tests: dict[str, Test] = field(default_factory=dict)
    """For variables that hold the outcome of a test, the test: it tells as much there as in the condition itself."""
    step: dict[str, str] = field(default_factory=dict)
    """For variables that hold something of the step's context, what. Empty where the function does not look at it."""
    deciders: set[Origin] = field(default_factory=set)
    """What is not in the cache key and decides which of the returns is reached."""
    absence: set[Origin] = field(default_factory=set)
    """What of that decides no more than whether None is returned."""
    caller: Frame | None = None
    call: Step | None = None
    order: int = 0

    def fork(self) -> Frame:
        """A copy whose variables can go their own way; returns and yields are shared."""
        inner = object.__new__(Frame)
        inner.__dict__.update(self.__dict__, variables=dict(self.variables))
        return inner

    @property
    def is_root(self) -> bool:
        """Whether this is the compiled function itself."""
        return self.info is not None and self.call is None

    def is_root_argument(self, node: ast.expr) -> bool:
        """Whether `node` names an argument of the compiled function that is never bound anew."""
        if not isinstance(node, ast.Name) or self.info is None or not self.is_root:
            return False
        return node.id in self.info.parameter_names - self.info.bound_names

    def is_free(self, name: str) -> bool:
        """Whether this function neither binds nor takes `name`."""
        return self.info is not None and name not in self.info.bound_names | self.info.parameter_names

    def is_computed(self, node: ast.expr) -> bool:
        """Whether `node` is a variable that this function binds and does not take."""
        if not isinstance(node, ast.Name) or self.info is None:
            return False
        return node.id in self.info.bound_names - self.info.parameter_names


# Classes, for a generator costs three times as much to enter and leave, and this is done a million times.


class _Silence:
    __slots__ = ("_context",)

    def __init__(self, context: Context) -> None:
        self._context = context

    def __enter__(self) -> None:
        self._context.quiet += 1

    def __exit__(self, *raised: object) -> None:
        self._context.quiet -= 1


class _Condition:
    __slots__ = ("_context",)

    def __init__(self, context: Context) -> None:
        self._context = context

    def __enter__(self) -> None:
        self._context.conditions += 1

    def __exit__(self, *raised: object) -> None:
        self._context.conditions -= 1


class _Doubt:
    __slots__ = ("_construction",)

    def __init__(self, construction: Construction) -> None:
        self._construction = construction

    def __enter__(self) -> None:
        self._construction.unsure += 1

    def __exit__(self, *raised: object) -> None:
        self._construction.unsure -= 1


_NOTHING: AbstractContextManager[None] = nullcontext()


class Context:
    """State of an interpretation, and the operations that its parts ask of each other."""

    world: World

    def __init__(self, project: Project) -> None:
        self.project = project
        self.contract = Contract.VLLM
        self.assumes: frozenset[tuple[str, bool]] = frozenset()
        """Fields of the configuration with the truth that they have where the root is compiled."""
        self.quiet = 0
        self.operator: tuple[Located, Frame] | None = None
        """The call around what is interpreted that traces a function into a graph of its own."""
        self.conditions = 0
        self.alternatives = 0
        self.recording = Recording()
        """What happens in the call that is being interpreted."""
        self.function_bits = Table()
        """Functions that were interpreted aloud."""
        self.unresolved_bits = Table()
        """Calls that could not be followed."""
        self.asserting = False
        """Whether a comparison is the condition of an assertion, which sizes of data survive."""
        self.construction: Construction | None = None
        """The object whose constructor is being interpreted."""
        self.immaterial = False
        """Whether the rest of a condition decides it, whatever the size is that is asked about."""
        self.deciding: Origins = NO_ORIGINS
        """What is not in the cache key and decides the condition that is being evaluated."""
        self._infos: dict[int, FunctionInfo] = {}
        self._classes: dict[int, ClassInfo] = {}

    def shared_info(self, info: FunctionInfo) -> FunctionInfo:
        """The one description of a nested function, however often its definition is run."""
        return self._infos.setdefault(id(info.node), info)

    def shared_class(self, node: ast.ClassDef, make: Callable[[], ClassInfo]) -> ClassInfo:
        """The one description of a nested class."""
        if id(node) not in self._classes:
            self._classes[id(node)] = make()
        return self._classes[id(node)]

    # Events

    def silently(self) -> AbstractContextManager[None]:
        """Interpret without emitting events: constructors, module globals, arms that only raise."""
        return _Silence(self)

    @contextmanager
    def inside_operator(self, node: Located, frame: Frame) -> Iterator[None]:
        """Interpret a function that the call at `node` traces into a graph of its own, such as a branch."""
        outer, self.operator = self.operator, (node, frame)
        try:
            yield
        finally:
            self.operator = outer

    def note_write(self, node: ast.expr, frame: Frame, *, attribute: bool = False) -> None:
        """Report that an operator's function changes an object that was made outside of it.

        Torch blames the change of a container, and of an attribute the operator.
        """
        free = frame.info is not None and isinstance(node, ast.Name) and frame.is_free(node.id)
        if self.operator is not None and free:
            place = self.operator if attribute else (node, frame)
            self.emit(LibraryCall, *place, name="torch.cond.write", text=self.text(node, frame))

    def conditionally(self, *, active: bool = True) -> AbstractContextManager[None]:
        """Interpret an arm of a condition that is not decided.

        It counts within one function; what happens in a call under it is told as conditional by whoever calls.
        Whether configuration decides it or the captured batch: the capture traces one arm, and this may be the other.
        """
        return _Condition(self) if active else _NOTHING

    @contextmanager
    def alternatively(self) -> Iterator[None]:
        """Interpret one of several implementations, of which configuration or platform choose one."""
        self.alternatives += 1
        try:
            with self.unsure():
                yield
        finally:
            self.alternatives -= 1

    def unsure(self) -> AbstractContextManager[None]:
        """Interpret what may not run, or not once: what a constructor assigns there may not be what counts."""
        return _NOTHING if self.construction is None else _Doubt(self.construction)

    def emit(
        self,
        event: type[Event],
        node: Located,
        frame: Frame,
        *causes: Value,
        exact: bool = True,
        **fields: object,
    ) -> None:
        """Hand an event at `node` to the sink, with the path by which the token count in `causes` got there."""
        if self.quiet:
            return
        trail = next((t for t in map(trail_of, causes) if t), None)
        exact = exact and not self.alternatives and all(getattr(c, "exact", True) for c in causes)
        built = event(
            span=frame.module.source.span(node),
            confidence=Confidence.HIGH if exact else Confidence.MEDIUM,
            **{"text": self.text(node, frame), "conditional": self.conditions + self.alternatives > 0, **fields},  # type: ignore[arg-type]
        )
        self.recording.add(built, path_to(trail, frame))

    def influence(self, node: Located, frame: Frame, origins: Origins, form: str) -> None:
        """Report that what the cache key does not hold decides what the graph is."""
        if not self.quiet:
            for origin in sorted(origins, key=lambda o: (o.kind, o.name, o.read)):
                self.emit(UnhashedInfluence, node, frame, origin=origin, form=form)

    def not_followed(self, node: Located, frame: Frame, what: str) -> None:
        """Note a call that could not be followed."""
        if not self.quiet:
            self.recording.unresolved |= self.unresolved_bits.bit(f"{frame.module.source.name}:{node.lineno}: {what}")

    def text(self, node: Located, frame: Frame) -> str:
        """The source of `node` on one line, shortened if need be."""
        text = " ".join(frame.module.source.segment(node).split())
        return text if len(text) <= 80 else f"{text[:77]}..."

    def step(self, value: Value, node: Located, frame: Frame, message: str) -> Trail | None:
        """The trail of `value` with a step at `node`; None if the value has none."""
        trail = trail_of(value)
        if trail is None or self.quiet:
            return trail
        return trail.then(frame.module.source.span(node), message)

    # What the cache key holds

    def environment_origins(
        self, name: str, node: Located, frame: Frame, *, by_vllm: bool = False, presence: bool = False
    ) -> Origins:
        """The origin of the value of an environment variable that is read at `node`; empty if the key holds it.

        `by_vllm` says that `vllm.envs` is asked, `presence` that the question is whether it is set.
        """
        raise NotImplementedError

    def field_origins(self, cls: ClassInfo, name: str, node: Located, frame: Frame) -> Origins:
        """The same for a field of a configuration."""
        raise NotImplementedError

    # What the parts ask of each other

    def evaluate(self, node: ast.expr, frame: Frame) -> Value:
        """The value of an expression."""
        raise NotImplementedError

    def execute(self, body: list[ast.stmt], frame: Frame) -> bool:
        """Run statements; says whether control falls through to what follows them."""
        raise NotImplementedError

    def assign(self, target: ast.expr, value: Value, frame: Frame) -> None:
        """Bind `target` to `value`."""
        raise NotImplementedError

    def set_attribute(self, instance: Instance, name: str, value: Value) -> None:
        """Have `instance.name` be `value`, or what it was."""
        raise NotImplementedError

    def note_change(self, container: Sequence | Mapping) -> None:
        """Note that a container is about to be changed."""
        raise NotImplementedError

    def operate(self, op: ast.operator, left: Value, right: Value, node: Located, frame: Frame) -> Value:
        """`left op right`."""
        raise NotImplementedError

    def compare(self, op: ast.cmpop, left: Value, right: Value, node: Located, frame: Frame) -> Value:
        """`left op right` for a comparison."""
        raise NotImplementedError

    def decide(self, node: ast.expr, frame: Frame, form: str, *, only_raises: bool = False) -> bool | None:
        """The truth of a condition that steers control flow; None if it is not known."""
        raise NotImplementedError

    def truth(self, value: Value, node: Located, frame: Frame, form: str, *, only_raises: bool = False) -> bool | None:
        """The truth of a value, as Python would ask for it; emits the decision that this is."""
        raise NotImplementedError

    def narrowed(self, node: ast.expr, frame: Frame, *, truth: bool) -> Frame:
        """`frame` with what the condition being `truth` tells about its names."""
        raise NotImplementedError

    def is_instance(self, value: Value, kind: Value) -> bool | None:
        """`isinstance(value, kind)` where it can be told."""
        raise NotImplementedError

    def iterate(self, node: ast.expr, frame: Frame) -> Sequence:
        """The elements that a loop over `node` sees."""
        raise NotImplementedError

    def as_sequence(self, value: Value) -> Sequence:
        """`value` as something to iterate over."""
        raise NotImplementedError

    def item(
        self, value: Value, index: Hashable, node: ast.Subscript | None = None, frame: Frame | None = None
    ) -> Value:
        """`value[index]` for a known index."""
        raise NotImplementedError

    def call(self, callee: Value, args: list[Value], kwargs: dict[str, Value], node: Located, frame: Frame) -> Value:
        """The result of calling `callee`."""
        raise NotImplementedError

    def attribute(self, value: Value, name: str, node: Located, frame: Frame) -> Value:
        """`value.name`."""
        raise NotImplementedError

    def lookup(self, name: str, frame: Frame) -> Value:
        """What `name` means in `frame`."""
        raise NotImplementedError

    def module_attribute(self, module: ModuleInfo, name: str) -> Value | None:
        """The value of a module-level name; None if the module has no such name."""
        raise NotImplementedError

    def binding_value(self, binding: Binding, frame: Frame, receiver: Value | None = None) -> Value:
        """The value of a definition, import or assignment at the top level of a module or class."""
        raise NotImplementedError

    def imported(self, binding: Import) -> Value:
        """The value of an import."""
        raise NotImplementedError

    def decorated(self, function: Function, frame: Frame) -> Value:
        """What a function is once its decorators are applied."""
        raise NotImplementedError

    def member(self, cls: ClassInfo, name: str, after: ClassInfo | None = None) -> tuple[ClassInfo, Binding] | None:
        """Where `name` is found along the method resolution order."""
        raise NotImplementedError

    def external_bases(self, cls: ClassInfo) -> list[str]:
        """Library classes among the bases."""
        raise NotImplementedError

    def from_annotation(self, annotation: ast.expr | None, frame: Frame, label: str = "") -> Value:
        """A value of the annotated type."""
        raise NotImplementedError


def path_to(trail: Trail | None, frame: Frame) -> Path:
    """The steps of the trail and the calls that lead to `frame`, with when they were taken."""
    steps = trail.steps() if trail else []
    spans: set[Span] = {s.span for _, s in steps}
    current: Frame | None = frame
    while current is not None:
        if current.call is not None and current.call.span not in spans:
            steps.append((current.order, current.call))
        current = current.caller
    return tuple(steps)
