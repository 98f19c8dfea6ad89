"""What the analysis observed, and rules judge."""

from __future__ import annotations

from dataclasses import dataclass

from vllm_lint.analyzer.findings import Confidence, Span, Step


@dataclass(frozen=True, kw_only=True)
class Event:
    """One observation. `steps` lead from where the token count entered to `span`."""

    span: Span
    confidence: Confidence = Confidence.HIGH
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FileProblem(Event):
    """A file that could not be read or parsed. `kind` is "unreadable" or "unparsable"."""

    kind: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class SuppressionProblem(Event):
    """A suppression comment that does nothing or names no rule.

    `kind` is "unused", "unknown-code" or "no-code"; `text` is the code or name as written, and `removal`
    what to put in place of the whole comment (empty to delete it).
    """

    kind: str
    text: str
    comment: Span
    removal: str
