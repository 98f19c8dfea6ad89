"""Torch's registry of graph breaks, and what the rules cover of it.

`graph_breaks.json` holds our facts about each id: its type (torch's name for it), whether source code shows it, and,
where no rule or no fixture covers it, why. Which rules cover an id is told by the rules themselves.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from vllm_lint.analyzer.rule import Rule

Visibility = Literal["A", "B", "C"]
"""A: the source shows it. B: types or the whole program are needed. C: only a run shows it."""

Coverage = Literal["proved", "no fixture", "none", "new"]
"""A fixture of a covering rule was seen to break with the id; a rule covers it, but no fixture can show it; no rule
covers it; or the id is not among those that we know."""

#: Why no rule covers an id. All but "runtime" and "raised" mean that no model that works can raise it.
REASONS = {
    "retired": "torch no longer raises it",
    "eager": "the code fails without compilation as well",
    "captured": "torch captures what it is about",
    "setting": "only under a setting that vLLM leaves alone",
    "inner": "tells where another break is",
    "internal": "torch holds itself to it, and no source gets there",
    "runtime": "only a run shows it",
    "raised": "can be raised, and no rule is about it",
}


#: The reasons that leave it open whether a model that works can raise an id.
POSSIBLE = ("runtime", "raised")


@dataclass(frozen=True)
class KnownBreak:
    """What we know of an id. `reason` is a key of `REASONS`, and `note` says more; both are "" for a covered id.

    `no_fixture` says why no fixture can show a covered id; it is "" for those that one does. `since` is the first torch
    that has the id, where the one that the facts were made from does not.
    """

    id: str
    type: str
    visibility: Visibility
    reason: str = ""
    note: str = ""
    no_fixture: str = ""
    since: str = ""


@dataclass(frozen=True)
class Entry:
    """One id, as the table shows it. `visibility` is "" for an id that is new."""

    id: str
    type: str
    visibility: str
    coverage: Coverage
    rules: tuple[str, ...]
    why: str
    registered: bool
    """Whether the registry that was looked at has the id."""


class RegistryError(ValueError):
    """A registry cannot be read; the message says why, without the path."""


@cache
def known_breaks() -> Mapping[str, KnownBreak]:
    """Our facts about every id, in the order of ids."""
    return {
        number: KnownBreak(
            number,
            fact["type"],
            fact["class"],
            fact.get("reason", ""),
            fact.get("note", ""),
            fact.get("no_fixture", ""),
            fact.get("since", ""),
        )
        for number, fact in _data()["ids"].items()
    }


def source() -> str:
    """What the facts were made from."""
    data = _data()
    return f"{data['registry']} of torch {data['torch']}"


@cache
def _data() -> Mapping[str, Any]:
    text = files("vllm_lint.rules").joinpath("graph_breaks.json").read_text(encoding="utf-8")
    data: Mapping[str, Any] = json.loads(text)
    return data


def read_registry(path: Path) -> dict[str, str]:
    """Types by id, of a registry in torch's format: id to a list of descriptions, the newest first.

    Raises:
        RegistryError: the file cannot be read, or is no such registry.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RegistryError(error.strerror or str(error)) from error
    except ValueError as error:  # no JSON, or no UTF-8
        raise RegistryError(f"not JSON: {error}") from error
    if not isinstance(data, dict) or not data:
        raise RegistryError("not a registry of graph breaks: no object of ids")
    types = {}
    for number, described in data.items():
        latest = described[0] if isinstance(described, list) and described else None
        if not isinstance(latest, dict) or not isinstance(latest.get("Gb_type"), str):
            raise RegistryError(f"not a registry of graph breaks: {number!r} has no Gb_type")
        types[number] = latest["Gb_type"]
    return types


def table(rules: Iterable[type[Rule]], registry: Mapping[str, str] | None = None) -> list[Entry]:
    """Every id that we or `registry` know, by id, and what covers it."""
    covering: dict[str, list[str]] = {}
    for rule in rules:
        for number in rule.meta.graph_breaks:
            covering.setdefault(number, []).append(rule.meta.code)
    known = known_breaks()
    numbers = sorted({*known, *(registry or ())}, key=lambda n: (len(n), n))
    return [_entry(n, known.get(n), covering.get(n, ()), registry) for n in numbers]


def _entry(number: str, known: KnownBreak | None, rules: Iterable[str], registry: Mapping[str, str] | None) -> Entry:
    registered = registry is None or number in registry
    name = (registry or {}).get(number) or (known.type if known else "")
    codes = tuple(rules)
    if known is None:
        why = "not classified yet"
        return Entry(number, name, "", "new", codes, why, registered)
    if not codes:
        why = f"{REASONS[known.reason]}: {known.note}" if known.note else REASONS[known.reason]
        return Entry(number, name, known.visibility, "none", codes, why, registered)
    coverage: Coverage = "no fixture" if known.no_fixture else "proved"
    return Entry(number, name, known.visibility, coverage, codes, known.no_fixture, registered)
