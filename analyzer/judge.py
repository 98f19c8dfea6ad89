"""Turns events into findings by asking the rules, and keeps the best finding for each place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from vllm_lint.analyzer.events import Event
from vllm_lint.analyzer.findings import Confidence, Contract, Finding, Fix, Root, ToolError
from vllm_lint.analyzer.profile import Profile, spent_on
from vllm_lint.analyzer.rule import Report, Rule


class Judge:
    """Asks each rule about the events that it wants to hear of."""

    def __init__(self, rules: Sequence[type[Rule]], profile: Profile | None = None) -> None:
        self._profile = profile
        self._listeners: dict[type[Event], list[Rule]] = {}
        for rule in rules:
            instance = rule()
            for event in rule.events:
                self._listeners.setdefault(event, []).append(instance)
        self._best: dict[tuple[object, ...], Finding] = {}
        self.errors: set[ToolError] = set()

    def hears(self, event: type[Event]) -> bool:
        """Whether a rule wants to hear of such events."""
        return event in self._listeners

    def add(self, event: Event, root: Root | None) -> None:
        """Judge one event seen under `root`."""
        for rule in self._listeners.get(type(event), ()):
            severity = rule.severity_under(root.contract if root else Contract.VLLM)
            if severity is None:
                continue
            try:
                with spent_on(self._profile, "rule", rule.meta.code):
                    self.merge([_finding(rule, event, report, root) for report in rule.check(event)])
            except Exception as error:  # noqa: BLE001  one broken rule does not stop the others
                message = f"{type(error).__name__}: {error}"
                self.errors.add(ToolError(message, path=event.span.path, rule=rule.meta.code, kind="rule"))

    def merge(self, findings: Iterable[Finding]) -> None:
        """Take in findings; of several about one thing in one place the most certain stays."""
        for finding in findings:
            key = (finding.code, finding.span)
            known = self._best.get(key)
            if known is None or _preference(finding) < _preference(known):
                self._best[key] = finding

    def findings(self) -> list[Finding]:
        """What is left, in no order."""
        return list(self._best.values())


def _preference(finding: Finding) -> tuple[object, ...]:
    root = finding.root
    return (
        finding.severity.rank,
        finding.confidence.rank,
        root is not None,
        root.name if root else "",
        finding.message,
        len(finding.steps),
    )


def _finding(rule: Rule, event: Event, report: Report, root: Root | None) -> Finding:
    span = report.span or event.span
    contract = root.contract if root else Contract.VLLM
    severity = report.severity or rule.severity_under(contract) or rule.meta.severity
    return Finding(
        code=rule.meta.code,
        name=rule.meta.name,
        severity=severity,
        confidence=report.confidence or event.confidence or Confidence.HIGH,
        promise=rule.meta.promise,
        path=span.path,
        line=span.line,
        column=span.column,
        end_line=span.end_line,
        end_column=span.end_column,
        message=report.message,
        help=report.help,
        root=root,
        steps=report.steps or event.steps,
        fixes=report.fixes if contract is not Contract.COMPILE else _as_unsafe(report.fixes),
    )


def _as_unsafe(fixes: tuple[Fix, ...]) -> tuple[Fix, ...]:
    """Under plain `torch.compile` what is flagged does run, so somebody may rely on it."""
    return tuple(msgspec.structs.replace(fix, safety="unsafe") for fix in fixes)
