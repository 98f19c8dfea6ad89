"""What the rules about graph breaks share."""

from __future__ import annotations

from typing import Literal

from vllm_lint.analyzer.events import RegionEvent
from vllm_lint.analyzer.findings import Confidence, Contract, Severity
from vllm_lint.analyzer.rule import Report, Rule

_OUTPUT = ("builtins.print", "builtins.open", "builtins.input", "sys.stdout.", "sys.stderr.")
_TEXT = ("builtins.str", "builtins.repr", "builtins.str.__mod__")
_LOGGING = ("logging.", "warnings.")
#: Library calls that other rules, or none yet, are about.
_ELSEWHERE = ("torch.one_hot", "builtins.__build_class__")

Kind = Literal["output", "text", "logging", "untraceable"]


class GraphBreakRule(Rule):
    """A rule about something that stops the capture."""

    def severity_under(self, contract: Contract) -> Severity | None:
        """An error where one full graph is promised; under plain `torch.compile` a break only costs speed."""
        return Severity.WARNING if contract is Contract.COMPILE else self.meta.severity


def kind_of_call(name: str) -> Kind | None:
    """Which rule a library call that cannot be traced belongs to; None if it belongs to none of this family."""
    if name in _ELSEWHERE:
        return None
    if name in _TEXT:
        return "text"
    if _is_one_of(name, _OUTPUT):
        return "output"
    return "logging" if _is_one_of(name, _LOGGING) else "untraceable"


def report_call(event: RegionEvent, message: str, advice: str) -> Report:
    """Report a library call: less certain, and a warning, where a condition may keep it from being traced."""
    if not event.conditional:
        return Report(message, help=advice)
    return Report(
        f"{message}; a condition decides whether it is reached",
        confidence=max(event.confidence, Confidence.MEDIUM, key=lambda c: c.rank),
        severity=Severity.WARNING,
        help=advice,
    )


def _is_one_of(name: str, names: tuple[str, ...]) -> bool:
    """Whether `name` is one of `names`, of which those with a trailing dot stand for all that they contain."""
    return any(name.startswith(known) if known.endswith(".") else name == known for known in names)
