"""Where the time of a run goes."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

Kind = Literal["stage", "root", "rule"]


class Profile:
    """Seconds of processor time by what they were spent on. What nests in something else does not count for that."""

    def __init__(self, clock: Callable[[], float] = time.process_time) -> None:
        self._clock = clock
        self._inner: list[float] = []
        """For each thing that is going on, the time that others took inside it."""
        self.seconds: defaultdict[tuple[Kind, str], float] = defaultdict(float)

    @contextmanager
    def spent_on(self, kind: Kind, name: str) -> Iterator[None]:
        """Count the time that passes inside as spent on this."""
        begin = self._clock()
        self._inner.append(0.0)
        try:
            yield
        finally:
            passed = self._clock() - begin
            self.seconds[kind, name] += passed - self._inner.pop()
            if self._inner:
                self._inner[-1] += passed

    def of(self, kind: Kind) -> list[tuple[str, float]]:
        """Names and seconds of one kind, the longest first."""
        found = [(name, seconds) for (its_kind, name), seconds in self.seconds.items() if its_kind == kind]
        return sorted(found, key=lambda row: -row[1])


def spent_on(profile: Profile | None, kind: Kind, name: str) -> AbstractContextManager[None]:
    """As the method; nothing where nobody asked."""
    return nullcontext() if profile is None else profile.spent_on(kind, name)
