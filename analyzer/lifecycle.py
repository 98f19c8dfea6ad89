"""How far a rule has come, since which version of vllm-lint, and with which versions of torch it holds."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from enum import Enum

_COMPARISONS = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_CLAUSE = re.compile(rf"({'|'.join(_COMPARISONS)})\s*(\d+(?:\.\d+)*)")


class Stage(str, Enum):
    """What a user may expect of a rule. docs/versioning.md says what a release may change about each."""

    PREVIEW = "preview"
    STABLE = "stable"
    DEPRECATED = "deprecated"
    REMOVED = "removed"


@dataclass(frozen=True)
class Lifecycle:
    """The version in which each stage began, empty for a stage that a rule skipped or has not come to."""

    preview: str = ""
    stable: str = ""
    deprecated: str = ""
    removed: str = ""
    replaced_by: str = ""
    """Code of the rule to use instead of one that is deprecated or removed."""

    @property
    def history(self) -> dict[Stage, str]:
        """The stages that began, first to last, each with its version."""
        return {stage: version for stage in Stage if (version := getattr(self, stage.value))}

    @property
    def stage(self) -> Stage:
        """The last stage that began."""
        return list(self.history)[-1]

    @property
    def since(self) -> str:
        """The version in which that stage began."""
        return self.history[self.stage]

    def __str__(self) -> str:
        replaced = f", use {self.replaced_by}" if self.replaced_by else ""
        return f"{self.stage.value} since {self.since}{replaced}"


def parsed(version: str) -> tuple[int, ...]:
    """The numbers a version begins with, without zeros at the end, so that 2.9 is 2.9.0.

    What follows them is passed over: a nightly 2.14.0.dev and a build 2.14.0+cpu count as 2.14.

    Raises:
        ValueError: it begins with no number.
    """
    found = re.match(r"\d+(?:\.\d+)*", version)
    if found is None:
        raise ValueError(f"{version!r} is no version")
    return tuple(map(int, re.sub(r"(\.0+)+$", "", found[0]).split(".")))


def holds_for(specifier: str, version: str) -> bool:
    """Whether `version` is in `specifier`, such as `>=2.9,<2.13`.

    Raises:
        ValueError: one of them cannot be read.
    """
    clauses = [_CLAUSE.fullmatch(clause.strip()) for clause in specifier.split(",")]
    if None in clauses:
        raise ValueError(f"{specifier!r} is no range of versions")
    given = parsed(version)
    return all(_COMPARISONS[clause[1]](given, parsed(clause[2])) for clause in clauses if clause)
