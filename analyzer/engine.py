"""Runs an analysis: files in, findings out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vllm_lint.analyzer.findings import Finding, Root, ToolError
from vllm_lint.analyzer.rule import Rule


@dataclass(frozen=True)
class Settings:
    """What to check and how. Paths are resolved against `base`, and findings name paths relative to it."""

    paths: tuple[Path, ...]
    base: Path = field(default_factory=Path.cwd)
    exclude: tuple[str, ...] = ()
    """gitignore-style patterns, on top of .gitignore files."""
    exclude_base: Path | None = None
    """Folder that these patterns are relative to; None for `base`."""
    source_roots: tuple[Path, ...] = ()
    """Folders in which imports are looked up, besides those that the paths themselves lie in."""
    search_installed: bool = True
    """Whether to read installed packages (vllm) that the checked files import."""
    roots: tuple[str, ...] = ()
    """User-declared compiled roots, `package.module:Class` or `package.module:function`."""
    stdin: tuple[str, bytes] | None = None
    """A file name and the text to check in its place; `paths` need not name it."""
    cache_dir: Path | None = None
    """Where facts are kept between runs; None for no cache."""
    jobs: int = 0
    """Worker processes; 0 chooses by the number of processors and the work."""


@dataclass(frozen=True)
class RootReport:
    """A compiled root and what the analysis reached from it."""

    root: Root
    dynamic: dict[str, str]
    """Argument name to what is dynamic in it, such as "dim 0"."""
    functions: int
    """How many functions were interpreted."""
    unresolved: tuple[str, ...]
    """Calls that could not be followed."""


@dataclass(frozen=True)
class FileReport:
    """What became of one file."""

    path: str
    status: Literal["root", "reached", "not reached", "excluded", "unreadable"]
    reason: str


@dataclass(frozen=True)
class CheckResult:
    """Everything a run produced, in source order."""

    findings: tuple[Finding, ...]
    errors: tuple[ToolError, ...]
    files: tuple[FileReport, ...]
    roots: tuple[RootReport, ...]
    suppressed: int
    """Findings silenced by a comment."""


def check(settings: Settings, rules: Sequence[type[Rule]]) -> CheckResult:
    """Check `settings.paths` with `rules`.

    Raises:
        FileNotFoundError: one of the paths does not exist.
    """
    raise NotImplementedError
