"""Shapes of `einops.rearrange`, `reduce` and `repeat`, and what their patterns ask of the token count.

A pattern such as `b (h d) -> b h d` names the dimensions on both sides; a group in parentheses on the left is a
dimension that is taken apart, one on the right a product. The grammar is that of the documentation of einops 0.8.
"""

from __future__ import annotations

import re

from vllm_lint.analyzer import operators
from vllm_lint.analyzer.calls import Call
from vllm_lint.analyzer.context import Context, Frame
from vllm_lint.analyzer.events import SizeDivision
from vllm_lint.analyzer.operators import ONE, derived, product, some
from vllm_lint.analyzer.sizes import Condition, Size
from vllm_lint.analyzer.source import Located
from vllm_lint.analyzer.values import NONE, Choice, Const, Sequence, Tensor, Value, as_size, choice, element_of

#: One dimension of a side: the names that it is the product of.
Group = tuple[str, ...]

_TOKEN = re.compile(r"\(([^()]*)\)|(\S+)")
_ELLIPSIS = "..."


def parse(pattern: str) -> tuple[list[Group], list[Group]] | None:
    """Both sides of a pattern; None if it is none."""
    left, arrow, right = pattern.replace("…", _ELLIPSIS).partition("->")
    if not arrow or any(side.count("(") != side.count(")") for side in (left, right)):
        return None
    sides = [[_names(m) for m in _TOKEN.finditer(side)] for side in (left, right)]
    return sides[0], sides[1]


def _names(match: re.Match[str]) -> Group:
    inside = match.group(1)
    return (match.group(2),) if inside is None else tuple(inside.split())


def call_einops(call: Call) -> Value:
    """The result of `rearrange(tensor, pattern, **sizes)`, also with `reduce`'s and `repeat`'s arguments.

    A list of tensors is taken as their stack, as einops does.
    """
    source = call.args[0] if call.args else call.kwargs.get("tensor", NONE)
    if isinstance(source, Choice):
        return choice(call_einops(call.of(o)) for o in source.options)
    pattern = call.args[1] if len(call.args) > 1 else call.kwargs.get("pattern", NONE)
    if isinstance(source, Sequence):
        source = _stacked(source)
    sides = parse(pattern.value) if isinstance(pattern, Const) and isinstance(pattern.value, str) else None
    if not isinstance(source, Tensor) or sides is None:
        return derived(None, source, exact=False)
    left, right = _without_ellipsis(sides, source)
    given = {name: size for name, size in ((k, as_size(v)) for k, v in call.kwargs.items()) if size is not None}
    known = _solve(call.context, source, left, given, call.node, call.frame)
    if any(_ELLIPSIS in group for group in (*left, *right)):
        return derived(None, source, exact=False)  # the rank is not known
    result = [product(known.get(n, some()) if not n.isdigit() else Size.const(int(n)) for n in g) for g in right]
    before, after = ([n for group in side for n in group if n != "1" and known.get(n) != ONE] for side in (left, right))
    # Dimensions that come to lie beside each other and become one are copied.
    moved = before != after and sorted(before) == sorted(after) and all(len(group) <= 1 for group in right)
    return operators.strided(derived(result, source, *call.kwargs.values()), active=moved)


def _stacked(sequence: Sequence) -> Value:
    item = element_of(sequence)
    if not isinstance(item, Tensor) or item.shape is None:
        return item
    count = some() if sequence.items is None else Size.const(len(sequence.items))
    return derived((count, *item.shape), item)


def _without_ellipsis(sides: tuple[list[Group], list[Group]], tensor: Tensor) -> tuple[list[Group], list[Group]]:
    """Both sides with `...` replaced by as many names as the rank of the tensor leaves for it."""
    left, right = sides
    if tensor.shape is None or tensor.open or (_ELLIPSIS,) not in left:
        return sides
    names = [f"...{i}" for i in range(len(tensor.shape) - len(left) + 1)]

    def spread(side: list[Group]) -> list[Group]:
        groups: list[Group] = []
        for group in side:
            if group == (_ELLIPSIS,):
                groups += [(name,) for name in names]
            else:
                groups.append(tuple(n for name in group for n in (names if name == _ELLIPSIS else (name,))))
        return groups

    return spread(left), spread(right)


def _solve(
    context: Context, tensor: Tensor, left: list[Group], given: dict[str, Size], node: Located, frame: Frame
) -> dict[str, Size]:
    """The size of each name on the left, from the tensor's shape and the sizes that were passed."""
    known = dict(given)
    if tensor.shape is None or len(tensor.shape) != len(left):
        return known
    for group, size in zip(left, tensor.shape, strict=True):
        names = [name for name in group if not name.isdigit()]
        missing = [name for name in names if name not in given]
        factor = product(given[name] for name in names if name in given)
        if len(missing) != 1:
            continue
        known[missing[0]] = _divided(context, tensor, size, factor, node, frame)
    return known


def _divided(context: Context, tensor: Tensor, size: Size, factor: Size, node: Located, frame: Frame) -> Size:
    """A dimension taken apart by `factor`; reported where the token count would have to be divisible."""
    exact = size.divide(factor)
    if exact is not None:
        return exact
    if size.depends and not size.is_vague and factor != ONE:
        holds = Condition("==", (Size.operation("mod", size, factor), Size.const(0)))
        if holds.decide() is not True and holds.changes_at() is not None:
            context.emit(SizeDivision, node, frame, tensor, form="rearrange", divisor=repr(factor))
    return Size.operation("floordiv", size, factor)
