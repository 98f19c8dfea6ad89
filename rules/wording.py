"""Phrases that messages of several rules are made of."""

from __future__ import annotations

from collections.abc import Sequence

_STATEMENTS = {"if", "while", "assert", "not", "and", "or", "match", "range"}


def construct(form: str) -> str:
    """How a message names the construct that decides, from `form` of an event."""
    if form in _STATEMENTS or form.endswith("()"):
        return f"`{form}`"
    if form == "assert with message":
        return "`assert` with a formatted message"
    return form


def listed(words: Sequence[str], conjunction: str = "and") -> str:
    """The words as an enumeration: `a`, `a and b`, `a, b and c`."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {conjunction} {words[-1]}"


def quoted(names: Sequence[str]) -> str:
    """Names in backquotes, as an enumeration."""
    return listed([f"`{name}`" for name in names])
