"""Tells the guards that some size breaks from those that hold for every size."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from vllm_lint.runtime_verifier.trace.constraints import Constraint, NotUnderstood
from vllm_lint.runtime_verifier.trace.evidence import Compilation, Guard, Symbol

Benign = Literal["", "compiler", "argument", "data", "equal lengths", "always true", "implied"]
"""Why a guard is harmless; empty if it is not.

"compiler": without a user frame, so Inductor chose code by it. "argument": torch noted it while it described an
argument, such as that the size fits the memory, and it holds for whatever is passed. "data": about a value that came
out of a tensor, which the captured graph checks itself. "equal lengths": two inputs of one number of tokens. "always
true": no size in its range breaks it. "implied": an operation asked, and no size breaks it that does not break a
decision of Python code or what an operation asked before. What goes wrong there goes wrong by those.
"""


@dataclass(frozen=True)
class Judgement:
    """A guard and at which sizes it is false. `hint` is the size that was captured."""

    guard: Guard
    expression: str
    benign: Benign = ""
    fails_at: tuple[int, ...] = ()
    undecided: bool = False
    hint: int | None = None
    sizes: frozenset[str] = frozenset()
    """The first symbol of each number of tokens that it speaks of."""

    @property
    def is_harmful(self) -> bool:
        """Whether it is false for some size, or nobody knows."""
        return not self.benign

    @property
    def is_divisibility(self) -> bool:
        """Whether it demands a multiple."""
        return re.match(r"Eq\((?:Mod|PythonMod)\(.*\), 0\)$", self.guard.text) is not None


def judge(compilation: Compilation) -> Iterator[Judgement]:
    """Judge each guard once, in the order in which they were added."""
    judged = list(_each(compilation))
    telling = [j for j in judged if j.is_harmful and not j.undecided and j.guard.origin == "python"]
    for judgement in judged:
        if judgement.is_harmful and not judgement.undecided and judgement.guard.origin == "operation":
            if _is_implied(judgement, telling):
                yield replace(judgement, benign="implied")
                continue
            telling.append(judgement)
        yield judgement


def _each(compilation: Compilation) -> Iterator[Judgement]:
    """Judge each guard by itself."""
    same = _equal_lengths(compilation)
    for guard in dict.fromkeys(compilation.guards):
        expression = compilation.readable(guard.text)
        if not guard.stack or guard.origin == "argument":
            yield Judgement(guard, expression, "argument" if guard.stack else "compiler")
            continue
        try:
            yield _judge(guard, Constraint(guard.text), expression, compilation, same)
        except NotUnderstood:
            yield Judgement(guard, expression, undecided=True)


def _judge(
    guard: Guard, constraint: Constraint, expression: str, compilation: Compilation, same: dict[str, str]
) -> Judgement:
    symbols = {name: compilation.symbols[name] for name in constraint.symbols if name in compilation.symbols}
    if len(symbols) < len(constraint.symbols):
        raise NotUnderstood(guard.text)
    if any(not symbol.source for symbol in symbols.values()):
        return Judgement(guard, expression, "data")
    fixed = {name: known.hint for name, known in compilation.symbols.items() if known.hint is not None}
    failing: set[int] = set()
    hint: int | None = None
    for group in {same[name] for name in symbols}:
        members = frozenset(name for name, leader in same.items() if leader == group)
        failing_at = constraint.fails_at(members, fixed, constraint.probes)
        asked = [symbols[name] for name in members & symbols.keys()]
        unit = math.gcd(*(compilation.units.get(symbol.name, 1) for symbol in asked))
        sizes = _in_range(failing_at, asked, unit)
        if sizes or hint is None:
            hint = compilation.symbols[group].hint
        failing |= sizes
    groups = frozenset(same[name] for name in symbols)
    if failing:
        return Judgement(guard, expression, fails_at=tuple(sorted(failing)), hint=hint, sizes=groups)
    return Judgement(guard, expression, "equal lengths" if len(symbols) > 1 else "always true", hint=hint)


def _is_implied(judged: Judgement, telling: list[Judgement]) -> bool:
    """Whether each size that breaks the guard breaks one of the `telling`; 1 breaks nearly all."""
    left = [n for n in judged.fails_at if n > 1]
    if not left:
        return False
    for other in telling:
        if other.sizes == judged.sizes:
            constraint = Constraint(other.guard.text)
            left = [n for n in left if n not in constraint.fails_at(constraint.symbols, {}, left)]
    return not left


def _in_range(sizes: tuple[int, ...], symbols: list[Symbol], unit: int) -> set[int]:
    """Those of `sizes` that the symbols may have, or none. They are multiples of `unit`.

    Dynamo's ranges begin at 2 since it specialises 0 and 1. Without guards a batch of 1 runs the same code, so it is
    among the sizes of a guard that others break; alone it breaks nearly every guard and says nothing.
    """
    possible = {n for n in sizes if n % unit == 0}
    broken = {n for n in possible if n >= 2 * unit and all(s.low <= n <= s.high for s in symbols)}
    return broken | ({unit} & possible) if broken else broken


def _equal_lengths(compilation: Compilation) -> dict[str, str]:
    """For each symbol the first of those that are one number of tokens.

    Two inputs that had equal sizes in the captured batch are taken to have them always: vLLM marks the number of tokens
    and nothing else. Without a value to compare, so are all that were declared to have none.
    """
    # A trace that was cut, or comes from a torch that logs no marks, has none at all.
    is_marked = compilation.is_marked
    leaders: dict[tuple[object, ...], str] = {}
    same: dict[str, str] = {}
    for name, symbol in compilation.symbols.items():
        is_tokens = symbol.source and (symbol.marked or not is_marked)
        same[name] = leaders.setdefault(("tokens", symbol.hint) if is_tokens else (name,), name)
    return same
