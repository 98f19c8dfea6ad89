"""What the rules about state that outlives a call share."""

from __future__ import annotations

from vllm_lint.analyzer.events import RegionEvent, StateChange
from vllm_lint.analyzer.findings import Confidence, Contract, Severity, Step
from vllm_lint.analyzer.rule import Report

#: Only vLLM drops guards: elsewhere a change of what was read makes torch.compile trace again.
DROPS_GUARDS = frozenset({Contract.VLLM})
ATTRIBUTES = ("attribute", "class attribute")


def changes_between_steps(event: StateChange) -> bool:
    """Whether a step leaves another value than it found, and the value is no tensor."""
    if event.value == "tensor":
        return False
    if event.change in ("grow", "shrink"):
        return True
    if event.lazy and not event.steers:
        return False  # the same is put there by every step that finds nothing
    if event.derived:
        return event.value in ("constant", "scalar", "unknown")
    return (
        event.change == "bind" and not event.lazy and event.read is not None and event.value in ("constant", "scalar")
    )


def changed(event: StateChange, what: str) -> Report:
    """Report a change where the value is read first: what is read there is what the graph keeps."""
    read = event.read or event.span
    steps = event.steps if read == event.span else (*event.steps, Step(event.span, f"`{event.text}` is changed here"))
    if event.used or not event.derived:
        message = (
            f"{what} `{event.text}` changes in every step, and the graph keeps the value that it had during capture"
        )
        severity = Severity.ERROR
    else:
        message = f"{what} `{event.text}` stays at what the first step made of it, for the graph keeps its first value"
        severity = Severity.WARNING
    report = judged(event, message, _ADVICE, severity)
    return Report(report.message, read, report.confidence, report.severity, report.help, steps)


_ADVICE = "keep it in a buffer that the forward writes into (`self.steps.add_(1)`), or outside of the compiled forward"


def judged(event: RegionEvent, message: str, advice: str, severity: Severity) -> Report:
    """Report something: less certain, and a warning, where a condition may keep it from being traced."""
    if not event.conditional:
        return Report(message, severity=severity, help=advice)
    return Report(
        f"{message}; a condition decides whether it is reached",
        confidence=max(event.confidence, Confidence.MEDIUM, key=lambda c: c.rank),
        severity=Severity.WARNING,
        help=advice,
    )
