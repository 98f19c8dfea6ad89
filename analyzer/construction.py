"""Attributes in the order in which a constructor sets them.

Outside of constructors an attribute holds the join of all that is assigned to it. Within one, the last assignment
counts: what a class takes back that its base class has set up is taken back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from vllm_lint.analyzer.origins import Origins
from vllm_lint.analyzer.values import Instance, Value, decided, join, with_truth

_Place: TypeAlias = tuple[int, str]


@dataclass
class Changes:
    """What one arm of a condition assigned: for each attribute the object, the value before and the value after."""

    by_place: dict[_Place, tuple[Instance, Value | None, Value]] = field(default_factory=dict)


class Construction:
    """One object that is being constructed, with the objects that its constructor creates."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self._arms: list[Changes] = []
        self.unsure = 0
        """Above 0 where what runs may not run, or not once."""

    def owns(self, instance: Instance) -> bool:
        """Whether nobody but this constructor, and those that it calls, can have set attributes of `instance`."""
        owner: Instance | None = instance
        while owner is not None and owner is not self.instance:
            owner = owner.owner
        return owner is not None

    def assign(self, instance: Instance, name: str, value: Value) -> None:
        """Have `instance.name` be `value` from now on."""
        attributes = instance.attributes
        if self._arms:
            changes = self._arms[-1].by_place
            place = (id(instance), name)
            before = changes[place][1] if place in changes else attributes.get(name)
            changes[place] = (instance, before, value)
        attributes[name] = value

    def enter_arm(self) -> None:
        """Begin to note what an arm of a condition assigns."""
        self._arms.append(Changes())

    def leave_arm(self) -> Changes:
        """Take back what the arm assigned, and say what that was."""
        changes = self._arms.pop()
        for (_, name), (instance, before, _) in changes.by_place.items():
            if before is None:
                instance.attributes.pop(name, None)
            else:
                instance.attributes[name] = before
        return changes

    def merge(self, arms: list[tuple[bool, Changes]], test: Callable[[], Value | None], origins: Origins) -> None:
        """Have each attribute be what it is after one or the other arm, which come with the truth of their condition.

        `test` gives the value that the condition asks for. An attribute that holds it has that truth in an arm.
        `origins` are those of the condition.
        """
        tested = test() if any(arm.by_place.keys() != arms[0][1].by_place.keys() for _, arm in arms) else None
        places = {place: change for _, changes in arms for place, change in changes.by_place.items()}
        for place, (instance, before, _) in places.items():
            merged: Value | None = None
            for truth, changes in arms:
                if place in changes.by_place:
                    value: Value | None = changes.by_place[place][2]
                else:
                    value = with_truth(before, truth) if before is not None and before is tested else before
                if value is not None:
                    merged = value if merged is None else decided(join(merged, value), origins)
            assert merged is not None
            self.assign(instance, place[1], merged)
