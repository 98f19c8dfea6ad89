"""Results that do not depend on who asks first, so that everything in a run may use them.

A result is kept if it is a function of the program alone. One that came about while something that it needs was still
being worked out depends on where that began: it is only good until that is done, and then it is forgotten.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

from vllm_lint.analyzer.recording import Table

_T = TypeVar("_T")

#: Results that need each other, one inside the other, up to here; a call can need another one for ever.
_MAX_NESTING = 50


@dataclass(frozen=True)
class _Result:
    value: Any
    questions: int
    height: int
    """How deep the results nest that it needs."""
    circle: frozenset[Hashable] = frozenset()
    """Results that need themselves, among those that it needs: while one of them is open it would be another."""


class Shared:
    """Works out results once, and notes for each what it asks about the files of the program.

    `touched` has a bit for each question asked since it was last set to 0; `questions` says which.
    """

    def __init__(self) -> None:
        self.touched = 0
        self._bits = Table()
        self._asked: dict[str, tuple[str, int]] = {}
        self._known: dict[Hashable, _Result] = {}
        self._open: dict[Hashable, int] = {}
        """What is being worked out, by the order in which that began."""
        self._passing: dict[Hashable, tuple[_Result, float]] = {}
        """Results that depend on something that is still open, with the number of that."""
        self._needs: float = math.inf
        """The first one open that the result being worked out depends on."""
        self._height = 0
        self._circle: frozenset[Hashable] = frozenset()

    def ask(self, question: str, answer: Callable[[], str]) -> None:
        """Note a question, which has the same answer throughout a run."""
        known = self._asked.get(question)
        if known is None:
            known = self._asked[question] = (answer(), self._bits.bit(question))
        self.touched |= known[1]

    def questions(self, mask: int) -> dict[str, str]:
        """The questions whose bits are set in `mask`, and their answers, sorted."""
        return {question: self._asked[question][0] for question in sorted(map(str, self._bits.things(mask)))}

    def once(self, key: Hashable, compute: Callable[[], _T], unfinished: _T) -> _T:
        """What `compute` gives for `key`; `unfinished` where that is needed to work it out itself."""
        result = self._known.get(key)
        if result is None or (result.circle and not result.circle.isdisjoint(self._open)):
            result = self._passing_result(key) or self._compute(key, compute, unfinished)
        if len(self._open) + result.height > _MAX_NESTING:
            self._needs = -1
            return unfinished
        self.touched |= result.questions
        self._height = max(self._height, result.height)
        self._circle |= result.circle
        value: _T = result.value
        return value

    def _passing_result(self, key: Hashable) -> _Result | None:
        result, needs = self._passing.get(key, (None, math.inf))
        self._needs = min(self._needs, needs)
        return result

    def _compute(self, key: Hashable, compute: Callable[[], _T], unfinished: _T) -> _Result:
        if key in self._open:
            first = self._open[key]
            self._needs = min(self._needs, first)
            return _Result(unfinished, 0, 0, frozenset(k for k, number in self._open.items() if number >= first))
        number = len(self._open)
        if number >= _MAX_NESTING:
            self._needs = -1
            return _Result(unfinished, 0, 0)
        outer = (self.touched, self._needs, self._height, self._circle)
        self.touched, self._needs, self._height, self._circle = 0, math.inf, 0, frozenset()
        self._open[key] = number
        try:
            value = compute()
            result = _Result(value, self.touched, self._height + 1, self._circle)
            needs = self._needs
        finally:
            del self._open[key]
            self.touched, self._needs, self._height, self._circle = outer
        if self._passing:
            self._passing = {k: v for k, v in self._passing.items() if number and v[1] < number}
        if needs >= number:
            self._known[key] = result
        else:
            self._needs = min(self._needs, needs)
            if number:
                self._passing[key] = (result, needs)
        return result
