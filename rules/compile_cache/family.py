"""What the rules about the compile cache share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vllm_lint.analyzer.events import Event, UnhashedInfluence
from vllm_lint.analyzer.findings import Confidence, Contract, Severity, Step
from vllm_lint.analyzer.rule import Report, Rule

#: vLLM keeps what it compiled under a key of its own; torch's caches go by the graph itself.
ONLY_VLLM = frozenset({Contract.VLLM})


class InfluenceRule(Rule):
    """Reports what the key does not hold where it is read."""

    events: ClassVar[tuple[type[Event], ...]] = (UnhashedInfluence,)
    kind: ClassVar[str]

    def subject(self, event: UnhashedInfluence) -> str:
        """What is read, as a message begins with it."""
        raise NotImplementedError

    def advice(self, event: UnhashedInfluence) -> str:
        """How to bring it into the key."""
        raise NotImplementedError

    def check(self, event: Event) -> Iterator[Report]:
        """Report the read once, whatever of the compiled code it decides."""
        assert isinstance(event, UnhashedInfluence)
        origin = event.origin
        if origin.kind != self.kind:
            return
        steps = [*event.steps, Step(event.span, _effect(event))]
        if origin.declared is not None:
            steps.append(Step(origin.declared, origin.reason))
        is_sure = origin.certain and event.confidence is Confidence.HIGH
        yield Report(
            f"{self.subject(event)} decides what is compiled, but is not in the key of the compile cache: "
            f"{origin.reason}",
            span=origin.read,
            confidence=Confidence.HIGH if is_sure else Confidence.MEDIUM,
            severity=None if is_sure else Severity.WARNING,
            help=self.advice(event),
            steps=tuple(steps),
        )


def _effect(event: UnhashedInfluence) -> str:
    if event.form == "argument":
        return f"`{event.text}` makes it a constant of the graph"
    if event.form == "call":
        return f"it chooses what `{event.text}` calls"
    return f"`{event.text}` decides which code is captured"
