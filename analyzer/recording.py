"""What happened while something was interpreted, so that it can be told again where the result is reused.

The roots of one file share interpretations. Still each root hears of all that it reaches, by its own path, and each
file knows all that its facts depend on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from vllm_lint.analyzer.events import Event, RegionEvent
from vllm_lint.analyzer.findings import Step

#: Steps with the tick of the clock at which they were taken.
Path = tuple[tuple[int, Step], ...]


@dataclass
class Recording:
    """Sets are kept as bit masks: they are joined at every call.

    `functions` and `unresolved` are bits of the interpreter's tables, `questions` of the project's. `events` maps the
    identity of an event to the event, without steps, to the path on which it was seen first, and to whether a call on
    that path stands under a condition that is not decided. One that leads there in any case counts before all others.
    """

    functions: int = 0
    unresolved: int = 0
    questions: int = 0
    events: dict[int, tuple[Event, Path, bool]] = field(default_factory=dict)

    def is_news(self, event: Event, *, conditional: bool) -> bool:
        """Whether an event was not seen before, or only under a condition that this time does not stand above it."""
        known = self.events.get(id(event))
        return known is None or (known[2] and not conditional)

    def add(self, event: Event, path: Path, *, conditional: bool = False) -> None:
        """Record an event, if it is news."""
        if self.is_news(event, conditional=conditional):
            self.events[id(event)] = (event, path, conditional)

    def join(self, other: Recording, *, conditional: bool = False) -> None:
        """Take over what happened in a part; `conditional` if the part may not be traced."""
        self.functions |= other.functions
        self.unresolved |= other.unresolved
        self.questions |= other.questions
        for event, path, was_conditional in other.events.values():
            self.add(event, path, conditional=was_conditional or conditional)

    def told(self) -> Iterator[Event]:
        """The events with their steps, in the order in which they were seen."""
        for event, path, conditional in self.events.values():
            steps = tuple(step for _, step in sorted(path, key=lambda s: s[0]))
            if conditional and isinstance(event, RegionEvent):
                yield replace(event, steps=steps, conditional=True)
            else:
                yield replace(event, steps=steps)


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
