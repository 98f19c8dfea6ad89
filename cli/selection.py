"""Which rules run, from lists of codes, names and prefixes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vllm_lint.analyzer.findings import Finding
from vllm_lint.analyzer.lifecycle import Stage
from vllm_lint.analyzer.rule import Rule
from vllm_lint.cli.errors import Failure, did_you_mean
from vllm_lint.rules import catalogue

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

#: How specific an entry is that is a code or name; the length of the longest prefix is less.
_BY_ITS_OWN_NAME = len("VL000")


def find(selector: str, origin: str) -> tuple[type[Rule], ...]:
    """Rules that `selector` names; `origin` is where it was written.

    Raises:
        Failure: it names none.
    """
    found = catalogue.find(selector)
    # The families of the catalogue exist before each has a rule, and ALL may be empty only then.
    if not found and selector != "ALL":
        known = [word for rule in catalogue.RULES for word in (rule.meta.code, rule.meta.name)]
        raise Failure(f"{origin}: unknown rule {selector!r}{did_you_mean(selector, known)}")
    return found


@dataclass(frozen=True)
class Selection:
    """Which rules run and which do not."""

    rules: tuple[type[Rule], ...]
    """Those that run, in code order."""
    asleep: tuple[type[Rule], ...]
    """Those that would run if rules in preview were asked for."""
    notes: tuple[str, ...]
    """What is worth saying about the entries."""


def choose(
    select: Sequence[str], ignore: Sequence[str], origins: Mapping[str, str], *, preview: bool = False
) -> Selection:
    """Take the rules that are selected more specifically than they are ignored, those in preview if they may run.

    Raises:
        Failure: an entry names no rule.
    """
    chosen = _specificity(select, _origin("select", origins))
    ignored = _specificity(ignore, _origin("ignore", origins))
    selected = [rule for rule in catalogue.RULES if chosen.get(rule, -1) > ignored.get(rule, -1)]
    selected = [rule for rule in selected if rule.meta.stage is not Stage.REMOVED]
    unnamed = (rule for rule in selected if chosen[rule] < _BY_ITS_OWN_NAME)
    asleep = [] if preview else [rule for rule in unnamed if rule.meta.stage is Stage.PREVIEW]
    rules = tuple(rule for rule in selected if rule not in asleep)
    notes = [note for key, words in (("select", select), ("ignore", ignore)) for note in _notes(key, words, origins)]
    notes += [
        f"{_origin('select', origins)}: all rules of {word} are in preview, and run with --preview"
        for word in select
        if asleep and set(catalogue.find(word)) <= set(asleep)
    ]
    return Selection(rules, tuple(asleep), tuple(notes))


def _notes(key: str, words: Iterable[str], origins: Mapping[str, str]) -> Iterator[str]:
    """What has become of rules that are selected or ignored by their own code or name."""
    for word in words:
        (rule, *others) = catalogue.find(word)
        if others or not rule.meta.is_named(word):
            continue
        meta = rule.meta
        origin = f"{_origin(key, origins)}: {word}"
        if word in meta.former:
            yield f"{origin} is now {meta.code} {meta.name}"
        if meta.stage in (Stage.DEPRECATED, Stage.REMOVED):
            instead = f", use {meta.lifecycle.replaced_by}" if meta.lifecycle.replaced_by else ""
            yield f"{origin} is {meta.stage.value} since {meta.lifecycle.since}{instead}"


def _origin(key: str, origins: Mapping[str, str]) -> str:
    return f"--{key}" if origins[key] == "command line" else f"{origins[key]}: {key}"


def _specificity(selectors: Iterable[str], origin: str) -> dict[type[Rule], int]:
    """For each rule that is named, how closely: 0 by ALL, then the length of the prefix, and most by code or name."""
    ranks: dict[type[Rule], int] = {}
    for selector in selectors:
        found = find(selector, origin)
        is_exact = len(found) == 1 and found[0].meta.is_named(selector)
        rank = _BY_ITS_OWN_NAME if is_exact else 0 if selector == "ALL" else len(selector)
        for rule in found:
            ranks[rule] = max(rank, ranks.get(rule, -1))
    return ranks


class FileIgnores:
    """Findings not to report in some files, from `per-file-ignores`."""

    def __init__(self, patterns: Mapping[str, Sequence[str]], folder: Path, origin: str) -> None:
        """`patterns` are relative to `folder`.

        Raises:
            Failure: an entry names no rule, or a pattern is not valid.
        """
        self._folder = folder
        self._entries = [
            (
                compile_pattern(pattern, origin, "per-file-ignores"),
                {rule.meta.code for name in names for rule in find(name, origin)},
            )
            for pattern, names in patterns.items()
        ]

    def hides(self, finding: Finding, base: Path) -> bool:
        """Whether `finding`, whose path is relative to `base`, is not to be reported."""
        path = (base / finding.path).resolve()
        if not path.is_relative_to(self._folder):
            return False
        relative = path.relative_to(self._folder).as_posix()
        return any(finding.code in codes and spec.match_file(relative) for spec, codes in self._entries)


def compile_pattern(pattern: str, origin: str, key: str) -> GitIgnoreSpec:
    """One gitignore-style pattern, written under `key` in `origin`.

    Raises:
        Failure: it is not valid.
    """
    from pathspec import GitIgnoreSpec

    try:
        return GitIgnoreSpec.from_lines([pattern])
    except (ValueError, re.error) as error:
        raise Failure(f"{origin}: {key}: {pattern!r} is not a gitignore pattern") from error
