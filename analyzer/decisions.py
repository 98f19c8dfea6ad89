"""Emits events for Python decisions that the captured graph freezes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace

from vllm_lint.analyzer.choices import chosen_by_where
from vllm_lint.analyzer.context import Context, Frame
from vllm_lint.analyzer.events import (
    DataDecision,
    EnvironmentRead,
    Event,
    HostSync,
    InputsCombined,
    SizeDecision,
    SizeSpecialization,
    TensorTruth,
    UnboundedSize,
    UnhashedInfluence,
)
from vllm_lint.analyzer.findings import Confidence
from vllm_lint.analyzer.sizes import Condition, Size
from vllm_lint.analyzer.source import Located
from vllm_lint.analyzer.values import (
    FALSE,
    TRUE,
    Bool,
    Const,
    Float,
    Sequence,
    Shape,
    Static,
    Tensor,
    Unknown,
    Value,
    as_size,
    inputs_of,
    integer,
    tainted,
    trail_of,
)


def emit_size(
    context: Context, node: Located, frame: Frame, value: Bool, form: str, *, only_raises: bool = False
) -> None:
    """Report a decision on a condition that changes with the token count; nothing if it does not change."""
    changes_at = value.condition.changes_at()
    if changes_at is None or context.immaterial or value.condition.is_unsettled:
        return
    across = _across(value.inputs) if len(value.condition.symbols()) > 1 else ()
    context.emit(
        SizeDecision,
        node,
        frame,
        value,
        form=form,
        changes_at=changes_at,
        only_raises=only_raises,
        across_inputs=across,
        layout=_asks_for_layout(value.condition),
    )


def _asks_for_layout(condition: Condition) -> bool:
    """Whether contiguity is what makes a condition change with the token count."""
    parts = [o for o in condition.operands if isinstance(o, Condition)]
    return condition.operator == "contiguous" or (bool(parts) and all(map(_asks_for_layout, parts)))


def emit_data(context: Context, node: Located, frame: Frame, value: Value, form: str) -> None:
    """Report a decision on a scalar that was read out of a tensor."""
    context.emit(DataDecision, node, frame, value, form=form)


def without_decided(events: Iterable[Event]) -> Iterator[Event]:
    """`events` without what another one of them says as well.

    That is a read of data that leads to a decision, which stops the capture, and what a read of the environment in
    compiled code decides.
    """
    told = list(events)
    reads = {e.span for e in told if isinstance(e, EnvironmentRead)}
    twice = [e for e in told if isinstance(e, UnhashedInfluence) and e.origin.read in reads]
    decisive_reads = {e.origin.read for e in twice if e.origin.certain and e.confidence is Confidence.HIGH}
    decisive = [e for e in told if isinstance(e, UnboundedSize) or (isinstance(e, DataDecision) and e.form != "assert")]
    decided = {s.span for e in decisive for s in e.steps}
    for event in told:
        if isinstance(event, EnvironmentRead):
            yield replace(event, decides=event.span in decisive_reads)
        elif isinstance(event, UnhashedInfluence) and event.origin.read in reads:
            continue
        elif not isinstance(event, HostSync) or event.span not in decided:
            yield event


def emit_tensor(context: Context, node: Located, frame: Frame, value: Tensor, form: str) -> None:
    """Report a decision on the value of a tensor."""
    context.emit(TensorTruth, node, frame, value, form=form, chosen=chosen_by_where(context, node, frame))


def compare_sequences(context: Context, name: str, left: Value, right: Value, node: Located, frame: Frame) -> Value:
    """Compare two shapes or sequences element by element."""
    sides = [_dimensions(left), _dimensions(right)]
    if sides[0] is None or sides[1] is None:
        return Unknown("comparison", tainted=tainted(left) or tainted(right))
    if name not in ("==", "!="):
        return Static("comparison", "bool")
    if len(sides[0]) != len(sides[1]):
        return Unknown("comparison", tainted=True) if _is_open(left, right) else Const(name == "!=")
    conditions: list[Condition] = []
    pinning: list[Condition] = []
    causes: list[Value] = []
    for a, b in zip(sides[0], sides[1], strict=True):
        first, second = as_size(a), as_size(b)
        if first is None or second is None:
            return Unknown("comparison", tainted=tainted(a) or tainted(b))
        if first == second:
            if first.depends:
                combine(context, a, b, node, frame)
            continue
        condition = Condition("==", (first, second))
        truth = condition.decide()
        if truth is False:
            return Const(name == "!=")
        if first.depends or second.depends:
            causes.append(a if first.depends else b)
            pinning.append(condition)
        conditions.append(condition)
    if not conditions:
        return TRUE if name == "==" else FALSE
    if not causes:
        return Static("comparison", "bool")
    together = conditions[0] if len(conditions) == 1 else Condition("and", tuple(conditions))
    if name == "!=":
        together = Condition("not", (together,))
    return _pinned(context, together, pinning, causes[0], node, frame)


def _pinned(
    context: Context, whole: Condition, parts: list[Condition], cause: Value, node: Located, frame: Frame
) -> Value:
    """What comes of a shape comparison in which `parts` compare token counts."""
    if not all(any(s.constant is not None for s in p.operands if isinstance(s, Size)) for p in parts):
        return Unknown("comparison", tainted=True)
    if all(p.changes_at() == (1,) for p in parts):  # zero-one specialization answers without pinning anything
        return Bool(whole, trail_of(cause), inputs_of(cause), getattr(cause, "exact", True))
    context.emit(SizeSpecialization, node, frame, cause, form="shape comparison")
    return Static("comparison", "bool")


def combine(context: Context, left: Value, right: Value, node: Located, frame: Frame) -> None:
    """Report that Python needs token dimensions that come from different inputs to be equal.

    A value that may come from several inputs, of which all but one are None, agrees with a value from any of them.
    """
    a, b = inputs_of(left), inputs_of(right)
    across = _across(a | b)
    if a and b and not a & b and across and not context.asserting:
        context.emit(InputsCombined, node, frame, left, right, inputs=across)


def _across(inputs: frozenset[str]) -> tuple[str, ...]:
    """Names of inputs whose token counts may differ, for all that is declared; empty for one, or one shape id."""
    return tuple(sorted(inputs)) if len(inputs) > 1 else ()


def _dimensions(value: Value) -> list[Value] | None:
    if isinstance(value, Sequence):
        return value.items
    if isinstance(value, Shape) and value.tensor.shape is not None:
        tensor = value.tensor
        return [integer(d, tensor.trail, tensor.inputs, exact=tensor.exact) for d in value.tensor.shape]
    return None


def _is_open(*values: Value) -> bool:
    return any(isinstance(v, Shape) and v.tensor.open for v in values)


def rounded(name: str, left: Value, right: Value) -> tuple[str, Value, Value]:
    """A comparison of a quotient of sizes with a number that is no integer, as one with the integer below."""
    if isinstance(left, Const) and isinstance(right, Float):
        name, right, left = rounded(_MIRRORED.get(name, name), right, left)
        return _MIRRORED.get(name, name), left, right
    fraction = right.value if isinstance(right, Const) else None
    if not isinstance(left, Float) or not isinstance(fraction, float) or not math.isfinite(fraction):
        return name, left, right
    below = Const(math.floor(fraction))
    if below.value == fraction:
        return name, left, below
    return {">=": ">", "<": "<="}.get(name, name), left, below


_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
