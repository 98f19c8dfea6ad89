"""What the rules about the number of tokens share."""

from __future__ import annotations

from vllm_lint.analyzer.events import SizeDecision
from vllm_lint.analyzer.findings import Contract, Severity
from vllm_lint.analyzer.rule import Report
from vllm_lint.rules.wording import construct, listed

#: Only vLLM drops guards; elsewhere a guard on the number of tokens compiles once more, which is allowed.
ONLY_VLLM = frozenset({Contract.VLLM})

_NAMED_SIZES = 3


def only_one_token(event: SizeDecision) -> bool:
    """Whether no batch but that of a single token changes the answer."""
    return set(event.changes_at) <= {0, 1}


def condition(event: SizeDecision) -> str:
    """The condition as a message shows it."""
    return f"`case {event.text}`" if event.form == "match" else f"`{event.text}`"


def sizes_in_words(event: SizeDecision) -> str:
    """Where the answer changes, such as "the answer at 128, 256 and 512 tokens is not that at most others"."""
    named = [str(size) for size in event.changes_at[:_NAMED_SIZES]]
    more = " tokens and others" if len(event.changes_at) > _NAMED_SIZES else " tokens"
    noun = " token" if named == ["1"] else more
    words = ", ".join(named) if "others" in more else listed(named)
    return f"the answer differs at {words}{noun}"


def report_decision(event: SizeDecision, subject: str, answers: str) -> Report:
    """Report a decision on `subject`; less severe where nothing but a check depends on it."""
    if event.only_raises:
        return Report(
            f"check {condition(event)} on {subject} is made for the captured batch and dropped for all others",
            severity=Severity.WARNING,
            help=f"{answers}; check where the inputs are prepared, or with `torch._check`",
        )
    return Report(
        f"{construct(event.form)} on {subject}: "
        f"vLLM captures one answer to {condition(event)} and replays it for every batch",
        help=f"{answers}; compute what is right for all, or decide in a custom operator",
    )
