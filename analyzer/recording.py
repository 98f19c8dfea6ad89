"""What happened while something was interpreted, so that it can be told again where the result is reused.

The roots of one file share interpretations. Still each root hears of all that it reaches, by its own path, and each
file knows all that its facts depend on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from vllm_lint.analyzer.events import Event
from vllm_lint.analyzer.findings import Step

#: Steps with the tick of the clock at which they were taken.
Path = tuple[tuple[int, Step], ...]


@dataclass
class Recording:
    """Sets are kept as bit masks: they are joined at every call.

    `functions` and `unresolved` are bits of the interpreter's tables, `questions` of the project's. `events` maps the
    identity of an event to the event, without steps, and to the path on which it was seen first.
    """

    functions: int = 0
    unresolved: int = 0
    questions: int = 0
    events: dict[int, tuple[Event, Path]] = field(default_factory=dict)

    def add(self, event: Event, path: Path) -> None:
        """Record an event, unless it was seen before."""
        self.events.setdefault(id(event), (event, path))

    def join(self, other: Recording) -> None:
        """Take over what happened in a part."""
        self.functions |= other.functions
        self.unresolved |= other.unresolved
        self.questions |= other.questions
        for key, seen in other.events.items():
            self.events.setdefault(key, seen)

    def told(self) -> Iterator[Event]:
        """The events with their steps, in the order in which they were seen."""
        for event, path in self.events.values():
            yield replace(event, steps=tuple(step for _, step in sorted(path, key=lambda s: s[0])))


class Table:
    """Gives things numbers, for masks."""

    def __init__(self) -> None:
        self._bits: dict[object, int] = {}
        self._things: list[object] = []

    def bit(self, thing: object) -> int:
        """The mask in which only the bit of `thing` is set."""
        known = self._bits.get(thing)
        if known is None:
            known = self._bits[thing] = 1 << len(self._things)
            self._things.append(thing)
        return known

    def things(self, mask: int) -> Iterator[object]:
        """What the bits of `mask` stand for."""
        while mask:
            lowest = mask & -mask
            yield self._things[lowest.bit_length() - 1]
            mask ^= lowest
