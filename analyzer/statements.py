"""Runs statements over abstract values."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from functools import lru_cache

from vllm_lint.analyzer import caught, decisions, operators, state, untraceable
from vllm_lint.analyzer import state_syntax as syntax
from vllm_lint.analyzer.conditions import Conditions
from vllm_lint.analyzer.context import Frame, Test
from vllm_lint.analyzer.events import LibraryCall, SizeSpecialization
from vllm_lint.analyzer.index import CACHED_NODES, FunctionInfo, imports_of, index_class, names_in
from vllm_lint.analyzer.origins import NO_ORIGINS, Origins
from vllm_lint.analyzer.source import Located
from vllm_lint.analyzer.values import (
    NONE,
    TRUE,
    UNKNOWN,
    Choice,
    Class,
    Const,
    Function,
    Instance,
    Layer,
    Mapping,
    Sequence,
    Shape,
    Static,
    Tensor,
    Unbacked,
    Value,
    choice,
    decided,
    element_of,
    join,
    options,
)

#: Labels of what sets the mode of autograd.
_GRAD_MODES = ("torch.no_grad", "torch.enable_grad", "torch.inference_mode", "torch.set_grad_enabled")
#: Modules that can be imported wherever the code runs at all.
_ALWAYS_THERE = frozenset(sys.stdlib_module_names) | {"torch"}
#: What an operation on tensors raises, and its bases.
_FAILURES = ("RuntimeError", "IndexError", "Exception", "BaseException")
_MAX_UNROLL = 4
_LOOP_PASSES = 2


class Statements(Conditions):
    """The part of the interpreter that runs statements."""

    def execute(self, body: list[ast.stmt], frame: Frame) -> bool:
        """Run statements; says whether control falls through to what follows them."""
        for statement in body:
            handler = _HANDLERS.get(type(statement))
            if handler is not None and not handler(self, statement, frame):
                return False
        return True

    def _expression(self, node: ast.Expr, frame: Frame) -> bool:
        self.evaluate(node.value, frame)
        return True

    def _assign(self, node: ast.Assign, frame: Frame) -> bool:
        value = self.evaluate(node.value, frame)
        of_step = bool(frame.step) and not self.quiet
        source = state.step_source(self, node.value, frame) if of_step else ""  # before a target takes another meaning
        for target in node.targets:
            self.assign(target, value, frame)
            if of_step:
                state.assign_step(target, source, frame)
            if not self.quiet and isinstance(target, ast.Attribute) and target.attr == "data":
                self._report_cast_data(target, node.value, frame)
        if len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            _remember_test(node.targets[0].id, node.value, frame)
        return True

    def _annotated(self, node: ast.AnnAssign, frame: Frame) -> bool:
        if node.value is not None:
            self.assign(node.target, self.evaluate(node.value, frame), frame)
        return True

    def _augmented(self, node: ast.AugAssign, frame: Frame) -> bool:
        load = _as_load(node.target)
        value = self.operation(node.op, self.evaluate(load, frame), self.evaluate(node.value, frame), node, frame)
        self.assign(node.target, value, frame)
        return True

    def assign(self, target: ast.expr, value: Value, frame: Frame) -> None:
        """Bind `target` to `value`."""
        if isinstance(target, ast.Name):
            if not self.quiet and frame.info is not None and target.id in frame.info.outer_names:
                state.bind(self, target, value, frame)
            frame.variables[target.id] = value
        elif isinstance(target, (ast.Tuple, ast.List)):
            for element, item in zip(target.elts, self._unpack(value, target, frame), strict=True):
                self.assign(element.value if isinstance(element, ast.Starred) else element, item, frame)
        elif isinstance(target, ast.Attribute):
            receiver = self.evaluate(target.value, frame)
            if not self.quiet:
                state.bind(self, target, value, frame)
            for option in options(receiver):
                if isinstance(option, Instance):
                    self.note_write(target.value, frame, attribute=True)
                    if target.attr == "__class__":
                        self.emit(LibraryCall, target, frame, name="object.__class__")
                    if not self.quiet and "ctypes.Structure" in self.external_bases(option.cls):
                        self.emit(LibraryCall, target, frame, name="ctypes.Structure.__setattr__")
                    self.set_attribute(option, target.attr, value)
                elif isinstance(option, Tensor):
                    self._assign_to_tensor(option, target, value, frame)
                elif caught.is_attribute_of_error(option, target.attr):
                    self.emit(LibraryCall, target, frame, name="builtins.Exception.__setattr__")
        elif isinstance(target, ast.Subscript):
            self._assign_item(target, value, frame)

    def _assign_to_tensor(self, tensor: Tensor, target: ast.Attribute, value: Value, frame: Frame) -> None:
        """`tensor.data = value` and the like; the data of an argument or a parameter may be replaced."""
        replaced = target.attr == "data" and not tensor.parameter and frame.is_computed(target.value)
        part = target.attr in ("real", "imag")
        if replaced or part or (target.attr == "requires_grad" and value == TRUE):
            self.emit(LibraryCall, target, frame, tensor, name=f"torch.Tensor.{target.attr}")

    def _report_cast_data(self, target: ast.Attribute, node: ast.expr, frame: Frame) -> None:
        """Report `x.data = x.half()` and the like, for an argument; whether it has that type already is not known."""
        if frame.is_root_argument(target.value) and syntax.casts(node):
            self.emit(LibraryCall, target, frame, name="torch.Tensor.data.dtype", exact=False)

    def _assign_item(self, target: ast.Subscript, value: Value, frame: Frame) -> None:
        receiver = self.evaluate(target.value, frame)
        if isinstance(receiver, Tensor):
            operators.index_tensor(self, receiver, target, frame, stored=value)
            return
        if isinstance(target.slice, ast.Slice):
            return
        key = self.evaluate(target.slice, frame)
        self._check_keys([key], target.slice, frame, "dict key")
        if not self.quiet:
            state.store(self, target, value, frame)
        if receiver == state.ENVIRONMENT:
            self.emit(LibraryCall, target, frame, name="os.environ.__setitem__")
        if isinstance(receiver, (Mapping, Sequence)):
            self.note_change(receiver)
        if isinstance(receiver, Mapping):
            if isinstance(key, Const) and receiver.items is not None:
                known = receiver.items.get(key.value)
                receiver.items[key.value] = value if known is None else join(known, value)
            else:
                values = [
                    *(receiver.items or {}).values(),
                    value,
                    *([receiver.element] if receiver.items is None else []),
                ]
                receiver.items, receiver.element = None, choice(values)
        elif isinstance(receiver, Sequence):
            receiver.element = join(element_of(receiver), value)
            receiver.items = None

    def _unpack(self, value: Value, target: ast.Tuple | ast.List, frame: Frame) -> list[Value]:
        count = len(target.elts)
        star = next((i for i, e in enumerate(target.elts) if isinstance(e, ast.Starred)), None)
        if isinstance(value, Choice):
            several = [o for o in value.options if isinstance(o, (Sequence, Shape))]
            columns = [self._unpack(o, target, frame) for o in several or value.options if o != NONE]
            return [choice(column) for column in zip(*columns, strict=True)]
        if isinstance(value, Shape):
            return operators.unpack_shape(self, value.tensor, count, star, target, frame)
        if isinstance(value, Tensor):
            # Where a condition stands above, it is mostly one under which something else is unpacked.
            if value.shape and value.shape[0].depends and not self.conditions:
                self.emit(SizeSpecialization, target, frame, value, form="unpacking")
            return [operators.drop_dimension(value)] * count
        sequence = self.as_sequence(value)
        if sequence.items is not None and star is not None and len(sequence.items) >= count - 1:
            rest = len(sequence.items) - (count - star - 1)
            middle = Sequence("list", sequence.items[star:rest], UNKNOWN)
            return [*sequence.items[:star], middle, *sequence.items[rest:]]
        if sequence.items is not None and len(sequence.items) == count and star is None:
            return list(sequence.items)
        element = element_of(sequence)
        return [Sequence("list", None, element) if i == star else _numbered(element, i) for i in range(count)]

    # Control flow

    def _if(self, node: ast.If, frame: Frame) -> bool:
        raising = _only_raises(node.body) or (bool(node.orelse) and _only_raises(node.orelse))
        outer, self.deciding = self.deciding, NO_ORIGINS
        truth = self.decide(node.test, frame, "if", only_raises=raising)
        # In a compiled region the decision itself is reported, so that what depends on it need not be.
        origins, self.deciding = self.deciding if self.quiet else NO_ORIGINS, outer
        if truth is not None:
            chosen = self.narrowed(node.test, frame, truth=truth)
            frame.variables.update(chosen.variables)
            return self.execute(node.body if truth else node.orelse, frame)
        construction = self.construction
        arms, changes = [], []
        for body, arm_truth in ((node.body, True), (node.orelse, False)):
            narrowed = self.narrowed(node.test, frame, truth=arm_truth)
            arm = narrowed.fork()
            returned = len(frame.returns)
            if construction is not None:
                construction.enter_arm()
            falls = self._run_arm(body, arm, certain=False)
            if construction is not None:
                changes.append((arm_truth, construction.leave_arm()))
                if not falls and _only_raises(body):
                    changes.pop()
                elif not falls:
                    construction.unsure += 1  # until the function ends, which it may have done
            if falls:
                arms.append((narrowed.variables, arm.variables))
            elif not _only_raises(body):
                is_absent = frame.returns[returned:] and all(v == NONE for v in frame.returns[returned:])
                (frame.absence if is_absent else frame.deciders).update(origins)
        if construction is not None:
            construction.merge(changes, lambda: self._tested(node.test, frame), origins)
        if len(arms) > 1:
            for narrow, variables in arms:
                _widen_again(frame.variables, narrow, variables)
        return self._merge([variables for _, variables in arms], frame, origins)

    def _tested(self, node: ast.expr, frame: Frame) -> Value | None:
        """The value whose truth a condition asks for; None if it asks for anything else."""
        if isinstance(node, (ast.Compare, ast.BoolOp, ast.UnaryOp)):
            return None
        with self.silently():
            return self.evaluate(node, frame)

    def _run_arm(self, body: list[ast.stmt], arm: Frame, *, certain: bool) -> bool:
        """Run one arm of a condition. An arm that only raises is taken not to be traced."""
        with self.conditionally(active=not certain):
            if _only_raises(body):
                with self.silently():
                    self.execute(body, arm)
                return False
            return self.execute(body, arm)

    def _merge(self, arms: list[dict[str, Value]], frame: Frame, origins: Origins = NO_ORIGINS) -> bool:
        if not arms:
            return False
        merged = dict(arms[0])
        for other in arms[1:]:
            for name, value in other.items():
                known = merged.get(name)
                merged[name] = value if known is None or known is value else decided(join(known, value), origins)
        frame.variables.clear()
        frame.variables.update(merged)
        return True

    def _for(self, node: ast.For, frame: Frame) -> bool:
        sequence = self.iterate(node.iter, frame)
        if sequence.items is not None and len(sequence.items) <= _MAX_UNROLL:
            return self._unrolled(node, sequence.items, frame)
        element = element_of(sequence)
        # A model without layers is not worth a thought, and after one pass names are bound to what they are in all.
        return self._loop(node, frame, lambda inner: self.assign(node.target, element, inner), skippable=False)

    def _unrolled(self, node: ast.For, items: list[Value], frame: Frame) -> bool:
        frame.exits.append([])
        falls = True
        for item in items:
            before = len(frame.exits[-1])
            self.assign(node.target, item, frame)
            falls = self.execute(node.body, frame)
            continued = frame.exits[-1][before:]
            if continued:
                falls = self._merge([*([dict(frame.variables)] if falls else []), *continued], frame)
            if not falls:
                break
        exits = frame.exits.pop()
        if falls:
            falls = self.execute(node.orelse, frame)
        return self._merge([*([dict(frame.variables)] if falls else []), *exits], frame)

    def _while(self, node: ast.While, frame: Frame) -> bool:
        truth = self.decide(node.test, frame, "while")
        if truth is False:
            return self.execute(node.orelse, frame)
        return self._loop(node, frame, lambda inner: self.decide(node.test, inner, "while"), skippable=True)

    def _loop(
        self,
        node: ast.For | ast.AsyncFor | ast.While,
        frame: Frame,
        start: Callable[[Frame], object],
        *,
        skippable: bool,
    ) -> bool:
        """Run a loop body until what is known about the variables settles, or twice."""
        frame.exits.append([])
        for _ in range(_LOOP_PASSES):
            inner = frame.fork()
            start(inner)
            with self.unsure():
                falls = self.execute(node.body, inner)
            ways = [*([inner.variables] if falls else []), *frame.exits[-1]]
            if skippable or not ways:
                ways.append(dict(frame.variables))
            before = {k: v.key for k, v in frame.variables.items()}
            self._merge(ways, frame)
            if all(before.get(k) == v.key for k, v in frame.variables.items()):
                break
            skippable = True
        frame.exits.pop()
        self.execute(node.orelse, frame)
        return True

    def iterate(self, node: ast.expr, frame: Frame) -> Sequence:
        """The elements that a loop over `node` sees; iterating over tokens is reported."""
        value = self.evaluate(node, frame)
        for option in options(value):
            if isinstance(option, Tensor):
                if option.unbacked:
                    decisions.emit_data(self, node, frame, option, "iteration")
                elif option.shape and option.shape[0].depends:
                    self.emit(SizeSpecialization, node, frame, option, form="iteration")
        return self.as_sequence(value)

    def _break(self, node: ast.Break | ast.Continue, frame: Frame) -> bool:
        if frame.exits:
            frame.exits[-1].append(dict(frame.variables))
        return False

    def _return(self, node: ast.Return, frame: Frame) -> bool:
        frame.returns.append(self.evaluate(node.value, frame) if node.value else NONE)
        return False

    def _raise(self, node: ast.Raise, frame: Frame) -> bool:
        with self.silently():
            if node.exc is not None:
                self.evaluate(node.exc, frame)
        return False

    def _assert(self, node: ast.Assert, frame: Frame) -> bool:
        constant = node.msg is None or isinstance(node.msg, ast.Constant)
        truth = self.decide(node.test, frame, "assert" if constant else "assert with message", only_raises=True)
        frame.variables.update(self.narrowed(node.test, frame, truth=True).variables)
        return truth is not False

    def _try(self, node: ast.Try, frame: Frame) -> bool:
        before = dict(frame.variables)
        ways: list[dict[str, Value]] = []
        body = frame.fork()
        falls = self.execute(node.body, body)
        self._report_lost_handlers(node, before, body, frame)
        if falls and self.execute(node.orelse, body):
            ways.append(body.variables)
        for handler in node.handlers:
            arm = frame.fork()
            self._merge([dict(before), dict(body.variables)], arm)
            if handler.name:
                arm.variables[handler.name] = Static("exception")
            # Whether a handler runs is not known, so what it does is not certain to be traced. That of an import is
            # not traced at all: measured, an import that fails breaks the graph itself.
            with self.silently() if _handles_imports(handler) and _imports_in(node) else self.conditionally():
                with self.unsure():
                    falls = self.execute(handler.body, arm)
                if falls:
                    ways.append(arm.variables)
        falls = self._merge(ways, frame)
        return self.execute(node.finalbody, frame) and falls

    def _report_lost_handlers(self, node: ast.Try, before: dict[str, Value], body: Frame, frame: Frame) -> None:
        """Report what handlers wait for that no capture raises: an import that fails, an operation on a tensor."""
        if self.quiet:
            return
        if any(map(_handles_imports, node.handlers)):
            for statement in node.body:
                if isinstance(statement, (ast.Import, ast.ImportFrom)) and self._may_be_missing(statement, frame):
                    self.emit(LibraryCall, statement, frame, name="builtins.ImportError", conditional=True)
        for raised, place, name in caught.untraceable_raises(self, node, body):
            self.emit(LibraryCall, raised, place, name=name, conditional=True)
        made = [v for k, v in body.variables.items() if before.get(k) is not v] + frame.returns[-1:]
        lost = [h for h in node.handlers if _handles_operations(h) and not _only_raises(h.body)]
        if lost and any(isinstance(o, Tensor) for v in made for o in options(v)):
            self.emit(LibraryCall, node.body[0], frame, name="builtins.RuntimeError", conditional=True)

    def _may_be_missing(self, node: ast.Import | ast.ImportFrom, frame: Frame) -> bool:
        """Whether no source is found of something that is imported from outside the standard library."""
        modules = {imported.module for _, imported in imports_of(node, frame.module)}
        return any(m.partition(".")[0] not in _ALWAYS_THERE and self.project.module(m) is None for m in modules)

    def _with(self, node: ast.With | ast.AsyncWith, frame: Frame) -> bool:
        for item in node.items:
            manager = self.evaluate(item.context_expr, frame)
            name = self._untraceable_manager(manager, item.context_expr, frame)
            if name is not None:
                self.emit(LibraryCall, item.context_expr, frame, name=name)
            if item.optional_vars is not None:
                self.assign(item.optional_vars, self._entered(manager, item.context_expr, frame), frame)
        return self.execute(node.body, frame)

    def _untraceable_manager(self, manager: Value, node: ast.expr, frame: Frame) -> str | None:
        """What a context manager is reported as: locks, devices, and objects that were made before the capture."""
        if isinstance(manager, Layer):
            return f"{manager.name}.__enter__" if manager.name in untraceable.LOCKS else None
        if isinstance(manager, Static) and (manager.type == "device" or manager.label == "tensor.device"):
            return "torch.device.__enter__"
        if isinstance(manager, Instance):
            is_manager = self.member(manager.cls, "__enter__") is not None
        else:
            is_generator = isinstance(manager, Sequence) and manager.kind == "generator"
            is_manager = is_generator or (isinstance(manager, Static) and manager.label in _GRAD_MODES)
        return "object.__enter__" if is_manager and self._is_held(node, frame) else None

    def _is_held(self, node: ast.expr, frame: Frame) -> bool:
        """Whether an expression reads an attribute of an object or a global, and so what was made elsewhere."""
        if isinstance(node, ast.Name):
            bound = frame.info is not None and node.id in frame.info.bound_names
            return not bound and node.id not in frame.variables and node.id in frame.module.bindings
        if not isinstance(node, ast.Attribute):
            return False
        with self.silently():
            owner = self.evaluate(node.value, frame)
        return isinstance(owner, Instance) and node.attr in owner.attributes

    def _entered(self, manager: Value, node: Located, frame: Frame) -> Value:
        if isinstance(manager, Sequence):
            return manager.element
        if isinstance(manager, Layer):
            return manager
        if isinstance(manager, Instance) and self.member(manager.cls, "__enter__"):
            return self.call(self.attribute(manager, "__enter__", node, frame), [], {}, node, frame)
        return Static("context") if not isinstance(manager, (Tensor, Unbacked)) else manager

    def _match(self, node: ast.Match, frame: Frame) -> bool:
        subject = self.evaluate(node.subject, frame)
        arms: list[dict[str, Value]] = []
        exhausted = False
        for case in node.cases:
            answer = self._matches(case.pattern, subject, case, frame)
            if answer is False:
                continue
            arm = frame.fork()
            self._capture(case.pattern, subject, arm)
            if case.guard is not None:
                guard = self.decide(case.guard, arm, "match guard")
                if guard is False:
                    continue
                answer = answer if guard else None
            with self.unsure():
                falls = self._run_arm(case.body, arm, certain=answer is True)
            if falls:
                arms.append(arm.variables)
            if answer is True:
                exhausted = True
                break
        if not exhausted:
            arms.append(dict(frame.variables))
        return self._merge(arms, frame)

    def _capture(self, pattern: ast.pattern, subject: Value, frame: Frame) -> None:
        """Bind the names in a pattern to what they stand for in `subject`."""
        if isinstance(pattern, ast.MatchSequence):
            items = self.as_sequence(subject).items
            taken_apart = items is not None and len(items) == len(pattern.patterns)
            for position, part in enumerate(pattern.patterns):
                self._capture(part, items[position] if items is not None and taken_apart else UNKNOWN, frame)
            return
        if isinstance(pattern, ast.MatchAs):
            if pattern.pattern is not None:
                self._capture(pattern.pattern, subject, frame)
            if pattern.name is not None:
                frame.variables[pattern.name] = subject
            return
        frame.variables.update(dict.fromkeys(_captured(pattern), UNKNOWN))

    def _matches(self, pattern: ast.pattern, subject: Value, case: ast.match_case, frame: Frame) -> bool | None:
        if isinstance(pattern, ast.MatchValue):
            result = self.compare(ast.Eq(), subject, self.evaluate(pattern.value, frame), pattern.value, frame)
            return self.truth(result, pattern.value, frame, "match")
        if isinstance(pattern, ast.MatchAs) and pattern.pattern is None:
            return True
        if isinstance(pattern, ast.MatchOr):
            answers = [self._matches(p, subject, case, frame) for p in pattern.patterns]
            return True if True in answers else (None if None in answers else False)
        return None

    # Definitions

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, frame: Frame) -> bool:
        info = self.shared_info(FunctionInfo(node, frame.module, f"{frame.module.name}.<locals>.{node.name}"))
        function = Function(info, None, self.scope_of(frame), None)
        frame.variables[node.name] = self.decorated(function, frame)
        return True

    def _class(self, node: ast.ClassDef, frame: Frame) -> bool:
        self.emit(LibraryCall, node, frame, name="builtins.__build_class__")
        frame.variables[node.name] = Class(self.shared_class(node, lambda: index_class(node, frame.module, "<locals>")))
        return True

    def _import(self, node: ast.Import | ast.ImportFrom, frame: Frame) -> bool:
        for bound, imported in imports_of(node, frame.module):
            if bound != "*":
                frame.variables[bound] = self.imported(imported)
        return True

    def _delete(self, node: ast.Delete, frame: Frame) -> bool:
        for target in node.targets:
            if isinstance(target, ast.Name):
                frame.variables.pop(target.id, None)
            elif isinstance(target, ast.Subscript) and self.evaluate(target.value, frame) == state.ENVIRONMENT:
                self.emit(LibraryCall, target, frame, name="os.environ.__delitem__")
        return True


def _widen_again(before: dict[str, Value], narrowed: dict[str, Value], after: dict[str, Value]) -> None:
    """Give names that an arm did not bind the value back that they had before its condition narrowed it."""
    for name, value in narrowed.items():
        if value is not before[name] and after.get(name) is value:
            after[name] = before[name]


def _remember_test(name: str, node: ast.expr, frame: Frame) -> None:
    """Note what `name` tells about other names, if it was bound to an undecided test of them."""
    if not isinstance(node, (ast.Compare, ast.BoolOp, ast.UnaryOp, ast.Call)) or isinstance(
        frame.variables[name], Const
    ):
        return
    names = {n for n in names_in(node) if n in frame.variables}
    if name in names:  # the test is of what the name meant before
        return
    frame.tests[name] = Test(node, {n: frame.variables[n] for n in (*sorted(names), name)})


def _only_raises(body: list[ast.stmt]) -> bool:
    """Whether a block ends in `raise` without branching, so that Dynamo never traces through it."""
    return bool(body) and isinstance(body[-1], ast.Raise) and all(not isinstance(s, ast.Return) for s in body)


@lru_cache(maxsize=CACHED_NODES)
def _imports_in(node: ast.Try) -> bool:
    return any(_imports(n) for s in node.body for n in ast.walk(s))


def _imports(node: ast.AST) -> bool:
    name = getattr(node.func, "attr", getattr(node.func, "id", "")) if isinstance(node, ast.Call) else ""
    return isinstance(node, (ast.Import, ast.ImportFrom)) or name == "import_module"


def _handles_operations(handler: ast.ExceptHandler) -> bool:
    """Whether a handler is there for operations that fail."""
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(k is None or (isinstance(k, ast.Name) and k.id in _FAILURES) for k in kinds)


def _handles_imports(handler: ast.ExceptHandler) -> bool:
    """Whether a handler is there for modules that cannot be imported."""
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(isinstance(k, ast.Name) and k.id in ("ImportError", "ModuleNotFoundError") for k in kinds)


def _as_load(node: ast.expr) -> ast.expr:
    if isinstance(node, ast.Name):
        return ast.copy_location(ast.Name(node.id, ast.Load()), node)
    return node


def _numbered(element: Value, index: int) -> Value:
    return Static(f"{element.label}[{index}]") if isinstance(element, Static) and element.label else element


def _captured(pattern: ast.pattern) -> list[str]:
    return [n.name for n in ast.walk(pattern) if isinstance(n, (ast.MatchAs, ast.MatchStar)) and n.name]


_HANDLERS: dict[type[ast.stmt], Callable[..., bool]] = {
    ast.Expr: Statements._expression,
    ast.Assign: Statements._assign,
    ast.AnnAssign: Statements._annotated,
    ast.AugAssign: Statements._augmented,
    ast.If: Statements._if,
    ast.For: Statements._for,
    ast.AsyncFor: Statements._for,
    ast.While: Statements._while,
    ast.Break: Statements._break,
    ast.Continue: Statements._break,
    ast.Return: Statements._return,
    ast.Raise: Statements._raise,
    ast.Assert: Statements._assert,
    ast.Try: Statements._try,
    ast.With: Statements._with,
    ast.AsyncWith: Statements._with,
    ast.Match: Statements._match,
    ast.FunctionDef: Statements._function,
    ast.AsyncFunctionDef: Statements._function,
    ast.ClassDef: Statements._class,
    ast.Import: Statements._import,
    ast.ImportFrom: Statements._import,
    ast.Delete: Statements._delete,
}
if hasattr(ast, "TryStar"):
    _HANDLERS[ast.TryStar] = Statements._try
