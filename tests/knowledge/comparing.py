"""Compares what the interpreter says of a value with what torch returns at several numbers of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from tests.knowledge.drawing import H
from vllm_lint.analyzer import sizes
from vllm_lint.analyzer.sizes import Condition, Size
from vllm_lint.analyzer.values import (
    Bool,
    Choice,
    Const,
    Float,
    Int,
    Sequence,
    Shape,
    Static,
    Tensor,
    Unbacked,
    Unknown,
    Value,
)

Real = Mapping[int, Any]


class NotKnown(Exception):
    """The interpreter does not say, which is never wrong."""


def number(size: Size, n: int) -> int | None:
    """The value at `n` tokens, None if something in it is not known."""
    total = 0
    for monomial, coefficient in size.terms:
        product = coefficient
        for atom in monomial:
            if atom[0] == "n":
                product *= n
            elif atom[0] == "s" and atom[1] == "h":
                product *= H
            elif len(atom) == 3 and atom[1] != "about":
                operands = [number(o, n) for o in atom[2]]
                if None in operands:
                    return None
                product *= sizes._OPERATIONS[atom[1]](*operands)
            else:
                return None
        total += product
    return total


def _differs_in_size(size: Size, real: Mapping[int, int]) -> str:
    """What is wrong with `size` where the true values are `real`; empty if nothing is."""
    for n, true in real.items():
        said = number(size, n)
        if said is not None and said != true:
            return f"{size!r} is {said} for n = {n}, and torch has {true}"
    if not size.depends and len(set(real.values())) > 1:
        return f"{size!r} is said to be fixed, and torch has {dict(real)}"
    return ""


def differences(value: Value, real: Real) -> Iterator[str]:
    """What the interpreter says that is not so.

    Raises:
        NotKnown: it says nothing.
    """
    first = next(iter(real.values()))
    if isinstance(value, Unknown):
        raise NotKnown
    if isinstance(value, Choice):
        found = [list(differences(option, real)) for option in value.options]
        if all(found):
            yield from found[0]
    elif isinstance(first, torch.Size):
        yield from _sequence(value, {n: tuple(s) for n, s in real.items()})
    elif isinstance(first, torch.Tensor):
        yield from _tensor(value, real)
    elif isinstance(first, (tuple, list)):
        yield from _sequence(value, real)
    else:
        yield from _scalar(value, real)


def _tensor(value: Value, real: Real) -> Iterator[str]:
    if not isinstance(value, Tensor):
        yield f"{type(value).__name__} is no tensor"
        return
    true = next(iter(real.values()))
    if value.shape is None:
        raise NotKnown
    yield from _shape(value, {n: tuple(t.shape) for n, t in real.items()})
    kind = "bool" if true.dtype == torch.bool else "float" if true.dtype.is_floating_point else "int"
    if value.dtype not in ("", kind) or (kind == "bool" and not value.dtype):
        yield f"dtype is said to be {value.dtype or 'a number'}, and torch has {true.dtype}"
    most = real[max(real)]  # with few tokens, a part may be a single row
    if value.strided and most.is_contiguous() and most.numel() > 1:
        yield "it is said to be strided, and torch has it contiguous"


def _shape(value: Tensor, real: Mapping[int, tuple[int, ...]]) -> Iterator[str]:
    if value.shape is None:
        raise NotKnown
    if any(len(true) != len(value.shape) for true in real.values()):
        yield f"rank is said to be {len(value.shape)}, and torch has {next(iter(real.values()))}"
        return
    for axis, size in enumerate(value.shape):
        if value.unbacked and axis == 0:
            continue
        if wrong := _differs_in_size(size, {n: true[axis] for n, true in real.items()}):
            yield f"dim {axis}: {wrong}"


def _sequence(value: Value, real: Real) -> Iterator[str]:
    if isinstance(value, Static):
        raise NotKnown
    if isinstance(value, Shape):
        yield from _shape(value.tensor, {n: tuple(t) for n, t in real.items()})
        return
    if not isinstance(value, Sequence):
        yield f"{type(value).__name__} is no sequence"
        return
    if value.items is None:
        for n, parts in real.items():
            for part in parts:
                yield from differences(value.element, {n: part})
        return
    if any(len(parts) != len(value.items) for parts in real.values()):
        yield f"{len(value.items)} items, and torch has { {n: len(p) for n, p in real.items()} }"
        return
    known = 0
    for position, item in enumerate(value.items):
        try:
            yield from differences(item, {n: parts[position] for n, parts in real.items()})
            known += 1
        except NotKnown:
            continue
    if not known and value.items:
        raise NotKnown


def _scalar(value: Value, real: Real) -> Iterator[str]:
    if isinstance(value, Unbacked):
        return  # some number that is in the data
    if isinstance(value, Const):
        yield from (f"{value.value!r}, and torch has {t!r} for n = {n}" for n, t in real.items() if t != value.value)
    elif isinstance(value, Int):
        if wrong := _differs_in_size(value.size, real):
            yield wrong
    elif isinstance(value, Bool):
        yield from _condition(value.condition, real)
    elif isinstance(value, (Float, Static)):
        if isinstance(value, Static) and len(set(map(repr, real.values()))) > 1:
            yield f"said to be fixed, and torch has {dict(real)}"
    else:
        yield f"{type(value).__name__}, and torch has {next(iter(real.values()))!r}"


def _condition(condition: Condition, real: Real) -> Iterator[str]:
    for n, true in real.items():
        operands = [number(o, n) if isinstance(o, Size) else None for o in condition.operands]
        if None not in operands and sizes._COMPARISONS[condition.operator](*operands) != true:
            yield f"{condition!r}, and torch has {true} for n = {n}"
