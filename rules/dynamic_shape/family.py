"""What the rules about the number of tokens share."""

from __future__ import annotations

from vllm_lint.analyzer.events import SizeDecision
from vllm_lint.analyzer.findings import Contract
from vllm_lint.rules.wording import listed

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
