"""Which rules run, from lists of codes, names and prefixes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vllm_lint.analyzer.findings import Finding
from vllm_lint.analyzer.rule import Rule
from vllm_lint.cli.errors import Failure, did_you_mean
from vllm_lint.rules import catalogue

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec


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


def choose(select: Sequence[str], ignore: Sequence[str], origins: Mapping[str, str]) -> tuple[type[Rule], ...]:
    """Rules that are selected more specifically than they are ignored, in code order.

    Raises:
        Failure: an entry names no rule.
    """
    chosen = _specificity(select, _origin("select", origins))
    ignored = _specificity(ignore, _origin("ignore", origins))
    return tuple(rule for rule in catalogue.RULES if chosen.get(rule, -1) > ignored.get(rule, -1))


def _origin(key: str, origins: Mapping[str, str]) -> str:
    return f"--{key}" if origins[key] == "command line" else f"{origins[key]}: {key}"


def _specificity(selectors: Iterable[str], origin: str) -> dict[type[Rule], int]:
    """For each rule that is named, how closely: 0 by ALL, then the length of the prefix, and most by code or name."""
    ranks: dict[type[Rule], int] = {}
    for selector in selectors:
        found = find(selector, origin)
        is_exact = len(found) == 1 and selector in (found[0].meta.code, found[0].meta.name)
        rank = len("VL000") if is_exact else 0 if selector == "ALL" else len(selector)
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
