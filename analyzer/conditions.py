"""Decides conditions: what is known, what configuration decides, and what the captured graph would freeze."""

from __future__ import annotations

import ast
from dataclasses import replace

from vllm_lint.analyzer import decisions, operators, state
from vllm_lint.analyzer.context import Frame
from vllm_lint.analyzer.expressions import Expressions
from vllm_lint.analyzer.index import names_in
from vllm_lint.analyzer.sizes import Condition, Size
from vllm_lint.analyzer.source import Located
from vllm_lint.analyzer.values import (
    NONE,
    Bool,
    Choice,
    Class,
    Const,
    Float,
    Function,
    Instance,
    Int,
    Layer,
    Mapping,
    Method,
    Module,
    Partial,
    Sequence,
    Static,
    Tensor,
    Unbacked,
    Unknown,
    Value,
    choice,
    may_be,
    options,
    origins_of,
)


class Conditions(Expressions):
    """The part of the interpreter that decides conditions."""

    def decide(self, node: ast.expr, frame: Frame, form: str, *, only_raises: bool = False) -> bool | None:
        """The truth of a condition that steers control flow; None if it is not known."""
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            truth = self.decide(node.operand, frame, _within(form, "not"), only_raises=only_raises)
            return None if truth is None else not truth
        if isinstance(node, ast.BoolOp):
            return self._decide_operands(node, frame, form, only_raises=only_raises)
        outer, self.asserting = self.asserting, form == "assert"
        value = self.evaluate(node, frame)
        self.asserting = outer
        if frame.step and not self.quiet:
            state.decide(self, node, frame, form)
        return self.truth(value, node, frame, form, only_raises=only_raises)

    def _decide_operands(self, node: ast.BoolOp, frame: Frame, form: str, *, only_raises: bool) -> bool | None:
        """`and` and `or` in a condition jump after each operand, so each is a decision of its own."""
        name = _compared_twice(node, frame)
        if name is not None:
            return self._decide_for_each(name, node, frame, form, only_raises=only_raises)
        stop = isinstance(node.op, ast.Or)
        inner = _within(form, "or" if stop else "and")
        outer, self.immaterial = self.immaterial, self.immaterial or self._settled(node, frame, stop)
        truth = self._ask_operands(node, frame, form, inner, stop, only_raises=only_raises)
        self.immaterial = outer
        return truth

    def _decide_for_each(
        self, name: str, node: ast.BoolOp, frame: Frame, form: str, *, only_raises: bool
    ) -> bool | None:
        """Decide for one value of `name` after the other, so that all operands see the same one."""
        truths: set[bool | None] = set()
        for option in options(frame.variables[name]):
            inner = replace(frame, variables={**frame.variables, name: option})
            truths.add(self._decide_operands(node, inner, form, only_raises=only_raises))
        return truths.pop() if len(truths) == 1 else None

    def _settled(self, node: ast.BoolOp, frame: Frame, stop: bool) -> bool:
        """Whether some operand decides the whole by itself."""
        current = frame
        with self.silently():
            for operand in node.values:
                if self.decide(operand, current, "if") is stop:
                    return True
                current = self.narrowed(operand, current, truth=not stop)
        return False

    def _ask_operands(
        self, node: ast.BoolOp, frame: Frame, form: str, inner: str, stop: bool, *, only_raises: bool
    ) -> bool | None:
        undecided = False
        current = frame
        for operand in node.values:
            with self.conditionally(active=undecided):
                last = operand is node.values[-1]
                truth = self.decide(operand, current, form if last else inner, only_raises=only_raises)
            if truth is stop:
                return stop
            undecided = undecided or truth is None
            current = self.narrowed(operand, current, truth=not stop)
        return None if undecided else not stop

    def truth(self, value: Value, node: Located, frame: Frame, form: str, *, only_raises: bool = False) -> bool | None:  # noqa: C901  one case a kind of value
        """The truth of a value, as Python would ask for it; emits the decision that this is."""
        if isinstance(value, Const):
            return bool(value.value)
        if isinstance(value, Choice):
            truths = {self.truth(o, node, frame, form, only_raises=only_raises) for o in value.options}
            if len(truths) == 1:
                return truths.pop()
        if (assumed := self._assumed(value)) is not None:
            return assumed
        if isinstance(value, (Static, Choice)) or (isinstance(value, (Int, Float)) and not value.size.depends):
            self._note_decision(value, node, frame, form, only_raises=only_raises)
            return None
        if isinstance(value, (Int, Float)):
            zero = Condition("!=", (value.size, Size.const(0)))
            if zero.decide() is not None:
                return zero.decide()
            value = Bool(zero, value.trail, getattr(value, "inputs", frozenset()), getattr(value, "exact", True))
        if isinstance(value, Bool):
            decided = value.condition.decide()
            if decided is None and value.condition.depends:
                decisions.emit_size(self, node, frame, value, form, only_raises=only_raises)
            return decided
        if isinstance(value, Tensor):
            decisions.emit_tensor(self, node, frame, value, form)
            return None
        if isinstance(value, Unbacked):
            decisions.emit_data(self, node, frame, value, form)
            return None
        if isinstance(value, Sequence):
            return bool(value.items) if value.items is not None and value.kind != "generator" else None
        if isinstance(value, Mapping):
            return bool(value.items) if value.items is not None else None
        if isinstance(value, Instance):
            return None if self.member(value.cls, "__bool__") or self.member(value.cls, "__len__") else True
        if isinstance(value, (Class, Function, Partial, Module, Method, Layer)):
            return True
        return None

    def _assumed(self, value: Value) -> bool | None:
        """What `enable_if` of the root says of a field of the configuration."""
        if not self.assumes or not isinstance(value, Static):
            return None
        field = value.label.rpartition(".")[2]
        return next((truth for name, truth in self.assumes if name == field), None)

    def _note_decision(self, value: Value, node: Located, frame: Frame, form: str, *, only_raises: bool) -> None:
        """Note what decides that the cache key does not hold; where it only decides to raise, there is no graph."""
        origins = value.origins if isinstance(value, Choice) else origins_of(value)
        if origins:
            self.deciding |= origins
            if not only_raises and not form.startswith("assert"):
                self.influence(node, frame, origins, form)

    def narrowed(self, node: ast.expr, frame: Frame, *, truth: bool) -> Frame:
        """`frame` with what the condition being `truth` tells about its names."""
        found: dict[str, Value] = {}
        self._narrow(node, frame, truth, found)
        if not found:
            return frame
        inner = replace(frame, variables={**frame.variables, **found})
        return inner

    def _narrow(self, node: ast.expr, frame: Frame, truth: bool, found: dict[str, Value]) -> None:
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            self._narrow(node.operand, frame, not truth, found)
        elif isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And) == truth:
            for operand in node.values:
                self._narrow(operand, frame, truth, found)
        elif isinstance(node, ast.Name):
            self._keep(node.id, frame, found, lambda v: may_be(v, truth=truth))
            test = frame.tests.get(node.id)
            if test is not None and test.holds(frame.variables):
                self._narrow(test.node, frame, truth, found)
        elif isinstance(node, ast.NamedExpr):
            self._keep(node.target.id, frame, found, lambda v: may_be(v, truth=truth))
        elif isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.left, ast.Name):
            is_none = isinstance(node.comparators[0], ast.Constant) and node.comparators[0].value is None
            if is_none and isinstance(node.ops[0], (ast.Is, ast.IsNot)):
                wants_none = isinstance(node.ops[0], ast.Is) == truth
                self._keep(node.left.id, frame, found, lambda v: (v == NONE) == wants_none or isinstance(v, Static))
        elif isinstance(node, ast.Compare) and len(node.ops) == 1 and isinstance(node.ops[0], (ast.Eq, ast.NotEq)):
            self._narrow_rank(node, frame, isinstance(node.ops[0], ast.Eq) == truth, found)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
            self._narrow_isinstance(node, frame, truth, found)

    def _narrow_isinstance(self, node: ast.Call, frame: Frame, truth: bool, found: dict[str, Value]) -> None:
        if len(node.args) != 2 or not isinstance(node.args[0], ast.Name):
            return
        with self.silently():
            kind = self.evaluate(node.args[1], frame)

        def keep(value: Value) -> bool:
            with self.silently():
                answer = self.is_instance(value, kind)
            return answer is None or answer == truth

        self._keep(node.args[0].id, frame, found, keep)

    def _narrow_rank(self, node: ast.Compare, frame: Frame, truth: bool, found: dict[str, Value]) -> None:
        """`x.ndim == 2` and the like: an assumed rank is confirmed or refuted."""
        name, rank = _rank_of(node.left), node.comparators[0]
        if name is None or not isinstance(rank, ast.Constant) or not isinstance(rank.value, int):
            return
        value = found.get(name, frame.variables.get(name))
        if isinstance(value, Tensor) and value.open and value.shape is not None:
            assumed = len(value.shape)
            if (assumed == rank.value) == truth:
                found[name] = replace(value, open=not truth)
            elif assumed == 1 or any(d.depends for d in value.shape[1:]):
                found[name] = replace(value, shape=None)  # whether it is the first dimension that varies is not known
            elif truth:
                found[name] = replace(
                    value, shape=(*value.shape, *[operators.some()] * rank.value)[: rank.value], open=False
                )

    def _keep(self, name: str, frame: Frame, found: dict[str, Value], keep: object) -> None:
        assert callable(keep)
        value = found.get(name, frame.variables.get(name))
        if isinstance(value, Choice):
            kept = [o for o in options(value) if keep(o)]
            if kept and len(kept) < len(value.options):
                found[name] = choice(kept)

    def is_instance(self, value: Value, kind: Value) -> bool | None:
        """`isinstance(value, kind)` where it can be told."""
        if isinstance(kind, (Choice, Sequence)):
            kinds = kind.options if isinstance(kind, Choice) else tuple(kind.items or ())
            answers = {self.is_instance(value, k) for k in kinds}
            return True if True in answers else (None if None in answers or not answers else False)
        name = getattr(kind, "name", "").removeprefix("builtins.")
        if isinstance(value, Tensor):
            return name in ("torch.Tensor", "torch.nn.Parameter") if name else False
        if isinstance(value, Instance) and isinstance(kind, Class):
            if kind.cls in self.project.linearization(value.cls):
                return True
            return None if value.typed else False
        if isinstance(value, (Int, Bool)):
            return name in ("int", "torch.SymInt") if isinstance(value, Int) else name in ("bool", "int")
        if isinstance(value, Const):
            return name in {t.__name__ for t in type(value.value).__mro__} if name else False
        if isinstance(value, Sequence):
            return name == value.kind
        if isinstance(value, Mapping):
            return name == "dict"
        return None


def _compared_twice(node: ast.BoolOp, frame: Frame) -> str | None:
    """A name in two operands that stands for one of several plain values."""
    seen: set[str] = set()
    for operand in node.values:
        names = names_in(operand)
        if ":=" in names:
            return None
        for name in sorted(names & seen):
            value = frame.variables.get(name)
            if isinstance(value, Choice) and all(isinstance(o, (Const, Int, Static, Unknown)) for o in value.options):
                return name
        seen |= names
    return None


def _rank_of(node: ast.expr) -> str | None:
    """`x` for `x.ndim`, `x.dim()` and `len(x.shape)`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "len" and len(node.args) == 1:
        owner, wanted = node.args[0], "shape"
    elif isinstance(node, ast.Call):
        owner, wanted = node.func, "dim"
    else:
        owner, wanted = node, "ndim"
    if isinstance(owner, ast.Attribute) and owner.attr == wanted and isinstance(owner.value, ast.Name):
        return owner.value.id
    return None


def _within(form: str, operator: str) -> str:
    """The form of a decision inside `operator`: only what an assertion jumps on last becomes part of the graph."""
    return operator if form == "assert" else form
