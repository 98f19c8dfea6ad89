"""Notes what compiled code reads and changes of the state that outlives one call of it.

TorchDynamo takes what it reads for constants and drops the guards on them; what it changes, it changes again to the
same values behind every run of the graph. So what matters is whether one call reads what an earlier call has changed.
Objects, lists and closures that the code makes itself end with the call, and are no state.
"""

from __future__ import annotations

import ast
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vllm_lint.analyzer import state_syntax as syntax
from vllm_lint.analyzer.events import EnvironmentRead, StateChange, StateHandedOver, StepDecision
from vllm_lint.analyzer.findings import Edit, Span
from vllm_lint.analyzer.index import ClassInfo, FunctionInfo, FunctionNode, ModuleInfo, nodes_of, walk_function
from vllm_lint.analyzer.source import Located
from vllm_lint.analyzer.state_repairs import written_in_place
from vllm_lint.analyzer.values import (
    Class,
    Const,
    External,
    Float,
    Function,
    Instance,
    Int,
    Layer,
    Mapping,
    Module,
    Sequence,
    Static,
    Tensor,
    Unbacked,
    Value,
    options,
)

if TYPE_CHECKING:
    from vllm_lint.analyzer.context import Context, Frame

Place = tuple[Hashable, str]

#: Methods that change a container, and how; after "clear" nothing is left of what it held.
CHANGES = {
    **dict.fromkeys(("append", "appendleft", "extend", "insert", "add"), "grow"),
    **dict.fromkeys(("pop", "popleft", "popitem", "remove", "discard"), "shrink"),
    **dict.fromkeys(("update", "setdefault"), "store"),
    "clear": "clear",
}
ENVIRONMENT = External("os.environ")
#: What `vllm.forward_context.get_forward_context()` gives.
FORWARD_CONTEXT = "vllm.forward_context.ForwardContext"
#: Fields of it that each step sets anew. `dp_metadata`, `no_compile_layers`, `all_moe_layers` and `is_padding` are not
#: among them: whether they are set follows from the configuration.
STEP_FIELDS = frozenset(
    {"attn_metadata", "slot_mapping", "virtual_engine", "cudagraph_runtime_mode", "batch_descriptor"}
    | {"ubatch_slices", "skip_compiled", "num_tokens"}
)
THREAD_LOCAL = "threading.local"


@dataclass
class State:
    """What a root has read and changed so far."""

    reads: dict[Place, tuple[Located, ModuleInfo]] = field(default_factory=dict)
    """Where each place was read first, if that was before it was bound."""
    bound: set[Place] = field(default_factory=set)
    made: set[Hashable] = field(default_factory=set)
    """Numbers of the objects and scopes that compiled code makes itself."""

    def forget(self) -> None:
        """Begin with another root; what the code makes itself is still no state."""
        self.reads.clear()
        self.bound.clear()

    def read(self, place: Place, node: Located, module: ModuleInfo) -> None:
        """Note that `place` is read."""
        if place not in self.reads and place not in self.bound:
            self.reads[place] = (node, module)


@dataclass(frozen=True)
class _Target:
    place: Place
    holder: str
    expression: ast.expr
    """How the source names it."""
    cls: ClassInfo | None = None
    """The class that has it as an attribute, or whose object has."""


def bind(context: Context, node: ast.Name | ast.Attribute, value: Value, frame: Frame) -> None:
    """An assignment to an attribute, a global or a variable of an enclosing function; before it is carried out."""
    for target, owner in _targets(context, node, frame):
        before = owner.attributes.get(target.place[1]) if isinstance(owner, Instance) else None
        kind = _kind(value, before)
        if kind == "tensor" and before is not None and _is_written_in_place(node, before, frame):
            continue
        statement = None if frame.info is None or context.quiet else syntax.statement_of(frame.info.node, node)
        written = written_in_place(statement, before, value, frame) if kind == "tensor" else None
        _report(context, target, node, frame, change="bind", value=kind, written=written)
        context.world.state.bound.add(target.place)


def _is_written_in_place(node: ast.expr, before: Value, frame: Frame) -> bool:
    """`self.buffer += x` writes into the tensor that is there."""
    statement = syntax.statement_of(None if frame.info is None else frame.info.node, node)
    return isinstance(statement, ast.AugAssign) and all(isinstance(o, Tensor) for o in options(before))


def store(context: Context, node: ast.Subscript, value: Value, frame: Frame) -> None:
    """An assignment to an item of a container."""
    for target in _containers(context, node.value, frame):
        _report(context, target, node, frame, change="store", value=_kind(value, None))


def mutate(context: Context, node: ast.Call, args: list[Value], frame: Frame) -> None:
    """A call of a method that changes a container."""
    assert isinstance(node.func, ast.Attribute)
    change = CHANGES[node.func.attr]
    for target in _containers(context, node.func.value, frame):
        if change == "clear":
            context.world.state.bound.add(target.place)
            continue
        value = "tensor" if any(_kind(a, None) == "tensor" for a in args) else "scalar"
        _report(context, target, node, frame, change=change, value=value)


def set_by_name(context: Context, node: Located, receiver: Instance, name: str, value: Value, frame: Frame) -> None:
    """`setattr(receiver, name, value)`, before it is carried out."""
    if isinstance(node, ast.Call) and node.args and _outlives(context, receiver, frame):
        attribute = ast.Attribute(node.args[0], name, ast.Load())
        target = _Target((receiver.number, name), "attribute", attribute)
        kind = _kind(value, receiver.attributes.get(name))
        _report(context, target, node, frame, change="bind", value=kind)


def read_variable(context: Context, node: ast.Name, frame: Frame) -> None:
    """A read of a name that is not local."""
    place = _variable(context, node.id, frame)
    if place is not None:
        context.world.state.read(place, node, frame.module)


def read_layer(context: Context, layer: Layer, name: str, node: Located, frame: Frame) -> None:
    """A read of an attribute of the step's context, or of thread-local storage."""
    if layer.name == FORWARD_CONTEXT and name in STEP_FIELDS:
        frame.step[""] = name  # from here on conditions and assignments of the function are looked at
    elif layer.name == THREAD_LOCAL and not context.quiet:
        context.world.state.read((THREAD_LOCAL, name), node, frame.module)


def hand_over(context: Context, operator: Value, node: Located, frame: Frame) -> None:
    """A call of a custom operator: what it looks at of the caller's object is what was there before the graph ran."""
    receiver = frame.receiver
    if context.quiet or not isinstance(operator, Function) or not isinstance(receiver, Instance):
        return
    bound = {name for owner, name in context.world.state.bound if owner == receiver.number}
    for name in sorted(bound & _looked_at(context, operator, receiver)) if bound else ():
        context.emit(StateHandedOver, node, frame, attribute=f"self.{name}", operator=operator.info.name)


def _looked_at(context: Context, operator: Function, receiver: Instance) -> set[str]:
    """Attributes that an operator reads, and that methods of `receiver`'s class read which it calls."""
    found = syntax.attributes_read(operator.info.node)
    for name in sorted(found):
        member = context.member(receiver.cls, name)
        if member is not None and isinstance(member[1], FunctionInfo):
            found |= syntax.attributes_read(member[1].node)
    return found


def read_environment(context: Context, node: Located, frame: Frame, name: Value | None) -> None:
    """A read of the environment."""
    variable = str(name.value) if isinstance(name, Const) else ""
    context.emit(EnvironmentRead, node, frame, variable=variable)


def step_source(context: Context, node: ast.expr, frame: Frame) -> str:
    """What an expression takes from the context of the step; empty if nothing."""
    for part in syntax.taken_from(node):
        if isinstance(part, ast.Name) and part.id in frame.step:
            return frame.step[part.id]
        if isinstance(part, ast.Attribute) and part.attr in STEP_FIELDS:
            with context.silently():
                held = options(context.evaluate(part.value, frame))
            if any(isinstance(o, Layer) and o.name == FORWARD_CONTEXT for o in held):
                return f"forward_context.{part.attr}"
    return ""


def decide(context: Context, node: ast.expr, frame: Frame, form: str) -> None:
    """A decision in a function that looks at the context of the step."""
    source = step_source(context, node, frame)
    if source:
        context.emit(StepDecision, node, frame, source=source, form=form)


def assign_step(target: ast.expr, source: str, frame: Frame) -> None:
    """An assignment, in such a function, of what `source` names; of something else if it is empty."""
    for name in ast.walk(target):
        if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store):
            frame.step.pop(name.id, None)
            if source:
                frame.step[name.id] = source


def read_module(context: Context, module: ModuleInfo, name: str, node: Located, frame: Frame) -> None:
    """A name that a module does not define: its own `__getattr__` may read the environment for it."""
    text = module.source.text
    if "__getattr__" in module.bindings and ("os.getenv" in text or "os.environ" in text):
        context.emit(EnvironmentRead, node, frame, variable=name)


def _report(
    context: Context,
    target: _Target,
    node: ast.expr,
    frame: Frame,
    *,
    change: str,
    value: str,
    written: Edit | None = None,
) -> None:
    state, name = context.world.state, target.expression
    if change in ("grow", "shrink", "store") and target.place in state.bound:
        return  # what was bound in this call ends with it
    seen = state.reads.get(target.place)
    function = None if frame.info is None else frame.info.node
    if function is not None and syntax.restores(function, name):
        return  # changed for a while only
    statement = syntax.statement_of(function, node)
    own = {id(n) for n in ast.walk(node)} if change == "store" else set()
    derived = isinstance(statement, ast.AugAssign) or (
        statement is not None and any(id(n) not in own and syntax.is_same(n, name) for n in syntax.loads(statement))
    )
    tests: list[tuple[ast.If | ast.IfExp, FunctionNode]] = []
    if function is not None and change in ("bind", "store"):
        tests = [(test, function) for test in syntax.tests_of(function, node, name)]
    if seen is not None and not tests:
        tests = list(syntax.questions_about(seen[0], seen[1].source.tree))
    context.emit(
        StateChange,
        node,
        frame,
        text=ast.unparse(name),
        holder=target.holder,
        change=change,
        value=value,
        read=None if seen is None else _place_of_read(*seen, node, frame.module),
        derived=derived,
        lazy=bool(tests),
        steers=any(syntax.steers(test, node, asking) for test, asking in tests),
        from_input=statement is not None and _takes_data(statement, function, frame),
        resized=function is not None and change == "bind" and syntax.asks_for_size(function, name),
        registered=_is_registered(context, target, frame),
        used=_is_used(context, frame.module, target, statement),
        written=written,
    )


def _place_of_read(read: Located, module: ModuleInfo, changed: Located, changed_in: ModuleInfo) -> Span:
    """Where what was read is looked at: of `position = self.position` not before it is changed, or used."""
    for node in nodes_of(module.source.tree):
        if isinstance(node, ast.Assign) and node.value is read and isinstance(node.targets[0], ast.Name):
            return changed_in.source.span(changed)
    return module.source.span(read)


# Places


def _targets(context: Context, node: ast.Name | ast.Attribute, frame: Frame) -> Iterator[tuple[_Target, Value | None]]:
    """The places that an expression names, each with the object or class that it is an attribute of."""
    if isinstance(node, ast.Name):
        place = _variable(context, node.id, frame)
        if place is not None:
            yield _Target(place, "global" if place[0] == frame.module.name else "closure", node), None
        return
    with context.silently():
        receiver = context.evaluate(node.value, frame)
    for option in options(receiver):
        if isinstance(option, Instance):
            if _outlives(context, option, frame):
                yield _Target((option.number, node.attr), "attribute", node, option.cls), option
        elif isinstance(option, Class):
            yield _Target((option.cls.qualified_name, node.attr), "class attribute", node, option.cls), option
        elif isinstance(option, Module):
            yield _Target((option.module.name, node.attr), "global", node), option
        elif isinstance(option, Layer) and option.name == THREAD_LOCAL:
            yield _Target((THREAD_LOCAL, node.attr), "thread-local attribute", node), option


def _containers(context: Context, node: ast.expr, frame: Frame) -> Iterator[_Target]:
    """The places that hold a container, which an item of another container may also be."""
    while isinstance(node, ast.Subscript):
        node = node.value
    if not isinstance(node, (ast.Name, ast.Attribute)) or (isinstance(node, ast.Name) and node.id in frame.variables):
        return
    with context.silently():
        held = options(context.evaluate(node, frame))
    if any(isinstance(o, (Sequence, Mapping, Static)) for o in held) and not any(isinstance(o, Tensor) for o in held):
        yield from (target for target, _ in _targets(context, node, frame))


def _variable(context: Context, name: str, frame: Frame) -> Place | None:
    """The place of a name that is not local; None if it ends with the call, or is not found."""
    scope = frame.scope
    while scope is not None:
        if name in scope.variables:
            return None if ("scope", scope.number) in context.world.state.made else (("scope", scope.number), name)
        scope = scope.parent
    return (frame.module.name, name) if name in frame.module.bindings or name in frame.module.rebound else None


def _outlives(context: Context, instance: Instance, frame: Frame) -> bool:
    """Whether an object is there before and after the call: a module, or what modules and globals hold."""
    if instance.number in context.world.state.made:
        return False
    if not instance.typed or instance is frame.receiver:
        return True
    # Of another type that is declared, it may be made for each call.
    return any(base.startswith(("torch.nn.", "vllm.")) for base in context.external_bases(instance.cls))


def _is_registered(context: Context, target: _Target, frame: Frame) -> bool:
    """Whether a constructor registers a buffer or parameter of that name."""
    if target.holder != "attribute" or frame.owner is None:
        return False
    name = target.place[1]
    for base in context.project.linearization(frame.owner):
        members = () if isinstance(base, str) else base.members.get("__init__", ())
        for member in members:
            for node in ast.walk(getattr(member, "node", ast.Pass())):
                if _registers(node, name):
                    return True
    return False


def _registers(node: ast.AST, name: str) -> bool:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        first = node.args[0] if node.args else None
        wanted = ("register_buffer", "register_parameter")
        return node.func.attr in wanted and isinstance(first, ast.Constant) and first.value == name
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
        made = ast.unparse(node.value.func).rpartition(".")[2]
        return made == "Parameter" and any(isinstance(t, ast.Attribute) and t.attr == name for t in node.targets)
    return False


# Values


def _kind(value: Value, before: Value | None) -> str:
    """What is bound: "tensor", "size", "same" as before, "constant", "scalar", "container", "object" or "unknown"."""
    kinds = {_kind_of(o) for o in options(value)}
    if "tensor" in kinds:
        return "tensor"
    if kinds == {"constant"}:
        known = None if before is None else {o.key for o in options(before)}
        return "same" if known == {o.key for o in options(value)} else "constant"
    return kinds.pop() if len(kinds) == 1 else "unknown"


def _kind_of(value: Value) -> str:
    if isinstance(value, Tensor):
        return "tensor"
    if isinstance(value, Const):
        return "constant"
    if isinstance(value, (Int, Float)):
        return "size" if value.size.depends else "scalar"
    if isinstance(value, Unbacked):
        return "unknown"
    if isinstance(value, Static):
        return "scalar"
    if isinstance(value, (Sequence, Mapping)):
        held = value.items if value.items is not None else [value.element]
        parts = held.values() if isinstance(held, dict) else held
        return "tensor" if any(isinstance(o, Tensor) for part in parts for o in options(part)) else "container"
    return "unknown" if type(value).__name__ in ("Unknown", "Bool", "Shape") else "object"


def _takes_data(statement: ast.stmt, function: FunctionNode | None, frame: Frame) -> bool:
    """Whether what a statement assigns is computed from the data of a tensor that the function is given."""
    value = getattr(statement, "value", None)
    if value is None or function is None:
        return False
    arguments = function.args
    parameters = {a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    seen: set[str] = set()
    names = list(syntax.data_names(value))
    while names:
        name = names.pop()
        if name in seen:
            continue
        seen.add(name)
        held = frame.variables.get(name)
        if name in parameters and held is not None and any(isinstance(o, Tensor) for o in options(held)):
            return True
        for node in walk_function(function):
            if isinstance(node, ast.Assign) and any(syntax.binds(t, name) for t in node.targets):
                names += syntax.data_names(node.value)
    return False


def _is_used(context: Context, module: ModuleInfo, target: _Target, statement: ast.stmt | None) -> bool:
    """Whether the module reads what is changed anywhere else than in `statement`.

    That goes by the name, but `self` is another object in classes that have nothing to do with that of `target`.
    """
    name = target.place[1]
    passed_over = set() if statement is None else {id(n) for n in ast.walk(statement)}
    if target.cls is not None:
        for infos in module.bindings.values():
            for info in infos:
                if isinstance(info, ClassInfo) and not _is_related(context, info, target.cls):
                    passed_over |= {id(n) for n in syntax.loads(info.node) if _is_of_self(n)}
    kind = ast.Attribute if isinstance(target.expression, ast.Attribute) else ast.Name
    return any(
        isinstance(node, kind)
        and getattr(node, "attr", getattr(node, "id", None)) == name
        and id(node) not in passed_over
        for node in syntax.loads(module.source.tree)
    )


def _is_related(context: Context, one: ClassInfo, other: ClassInfo) -> bool:
    return one in context.project.linearization(other) or other in context.project.linearization(one)


def _is_of_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
