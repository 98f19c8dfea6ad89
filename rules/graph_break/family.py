"""What the rules about graph breaks share."""

from __future__ import annotations

from vllm_lint.analyzer.events import LibraryCall, RegionEvent
from vllm_lint.analyzer.findings import Confidence, Contract, Fix, Severity
from vllm_lint.analyzer.rule import Report, Rule


class GraphBreakRule(Rule):
    """A rule about something that stops the capture."""

    def severity_under(self, contract: Contract) -> Severity | None:
        """An error where one full graph is promised; under plain `torch.compile` a break only costs speed."""
        return Severity.WARNING if contract is Contract.COMPILE else self.meta.severity


def report_call(event: RegionEvent, message: str, advice: str) -> Report:
    """Report a library call: less certain, and a warning, where a condition may keep it from being traced."""
    fixes: tuple[Fix, ...] = ()
    if isinstance(event, LibraryCall) and event.guarded is not None:
        fixes = (Fix("put it under `if not torch.compiler.is_compiling()`", "safe", (event.guarded,)),)
    if not event.conditional:
        return Report(message, help=advice, fixes=fixes)
    return Report(
        f"{message}; a condition decides whether it is reached",
        confidence=max(event.confidence, Confidence.MEDIUM, key=lambda c: c.rank),
        severity=Severity.WARNING,
        help=advice,
        fixes=fixes,
    )
