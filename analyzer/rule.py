"""What a rule is: metadata, a docstring that is its documentation, and a check over the interpreter's events."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from vllm_lint.analyzer.events import Event
from vllm_lint.analyzer.findings import Confidence, Contract, Edit, Fix, Promise, Severity, Span, Step
from vllm_lint.analyzer.lifecycle import Lifecycle, Stage, holds_for

#: Headings of a rule's docstring, in this order; the first paragraph before them is the summary.
DOC_HEADINGS = (
    "What it flags",
    "Why it matters",
    "Example",
    "Use instead",
    "Fix safety",
    "References",
)


@dataclass(frozen=True)
class Report:
    """What a rule says about one event; the engine adds code, root, call path and position.

    `span`, `confidence`, `severity` and `help` override what the event and the rule give.
    """

    message: str
    span: Span | None = None
    confidence: Confidence | None = None
    severity: Severity | None = None
    help: str = ""
    steps: tuple[Step, ...] = ()
    fixes: tuple[Fix, ...] = ()


def offered(title: str, safety: Literal["safe", "unsafe"], *edits: Edit | None) -> tuple[Fix, ...]:
    """A fix of these edits; none where one of them could not be made."""
    made = tuple(edit for edit in edits if edit is not None)
    return (Fix(title, safety, made),) if made and len(made) == len(edits) else ()


@dataclass(frozen=True)
class Meta:
    """Facts about a rule that the documentation, the formats and the tests read.

    `proof` names how the fixtures are proved (see `runtime_verifier.proofs`), or is "static only, because ...".
    `graph_breaks` are ids of torch's graph-break registry. `torch` is the range of versions that it holds for.
    `former` are codes and names that the rule once had. An `opt_in` rule, and one in preview unless the user asks for
    these, runs only where it is selected by its own code or name.
    """

    code: str
    name: str
    promise: Promise
    severity: Severity
    proof: str
    lifecycle: Lifecycle = field(default_factory=lambda: Lifecycle(preview="0.1.0"))
    former: tuple[str, ...] = ()
    torch: str = ">=2.9"
    graph_breaks: tuple[str, ...] = ()
    fix: str = "none"
    opt_in: bool = False
    contracts: frozenset[Contract] = field(default_factory=lambda: frozenset(Contract))

    @property
    def stage(self) -> Stage:
        """The stage that the rule is in."""
        return self.lifecycle.stage

    def is_named(self, word: str) -> bool:
        """Whether `word` is the code or the name of the rule, or was once."""
        return word in (self.code, self.name, *self.former)

    def holds_for(self, torch: str) -> bool:
        """Whether the rule holds for this version of torch; a version that says nothing is taken for one that does."""
        return not torch[:1].isdigit() or holds_for(self.torch, torch)


class Rule:
    """Base of all rules. A rule never prints, reads configuration or touches files."""

    meta: ClassVar[Meta]
    events: ClassVar[tuple[type[Event], ...]] = ()

    def check(self, event: Event) -> Iterator[Report]:
        """Yield what the rule says about `event`, which is an instance of one of `events`."""
        raise NotImplementedError

    def severity_under(self, contract: Contract) -> Severity | None:
        """Severity under a root's contract; None means that the contract allows the construct."""
        return self.meta.severity if contract in self.meta.contracts else None

    @classmethod
    def documentation(cls) -> str:
        """The docstring as Markdown, dedented."""
        return inspect.cleandoc(cls.__doc__ or "")

    @classmethod
    def summary(cls) -> str:
        """First sentence of the documentation."""
        return cls.documentation().split("\n\n", 1)[0].replace("\n", " ")

    @classmethod
    def section(cls, heading: str) -> str:
        """Text under one of `DOC_HEADINGS`; empty if the rule has none."""
        parts: list[str] = re.split(r"^## (.+)$", cls.documentation(), flags=re.MULTILINE)
        return dict(zip(parts[1::2], (p.strip() for p in parts[2::2]), strict=True)).get(heading, "")
