"""gitignore patterns: where they are written, and what they say about a path."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec


class IgnoreFile:
    """Patterns that hold below `folder` and are relative to it; `origin` is None for the user's settings."""

    def __init__(self, origin: Path | None, folder: Path, lines: Iterable[str]) -> None:
        self.origin = origin
        self._prefix = str(folder).rstrip(os.sep) + os.sep
        self._lines = [line for line in lines if line.strip() and not line.startswith("#")]
        self._spec: GitIgnoreSpec | None = None

    def __bool__(self) -> bool:
        return bool(self._lines)

    def verdict(self, path: str, *, is_folder: bool) -> bool | None:
        """Whether `path` is left out; None if no pattern speaks of it."""
        return self._match(path, is_folder=is_folder)[0]

    def pattern(self, path: str, *, is_folder: bool) -> str:
        """The pattern that decided about `path`."""
        index = self._match(path, is_folder=is_folder)[1]
        return "" if index is None else self._lines[index].strip()

    def _match(self, path: str, *, is_folder: bool) -> tuple[bool | None, int | None]:
        if not path.startswith(self._prefix):
            return None, None
        if self._spec is None:
            self._spec = self._compile()
        relative = path[len(self._prefix) :] + ("/" if is_folder else "")
        result = self._spec.check_file(relative)
        return result.include, result.index

    def _compile(self) -> GitIgnoreSpec:
        from pathspec import GitIgnoreSpec  # takes 16 ms, and there may be no pattern

        valid = []
        for line in self._lines:
            try:
                GitIgnoreSpec.from_lines([line])
                valid.append(line)
            except (ValueError, re.error):
                if self.origin is None:
                    raise ValueError(f"exclude: {line!r} is not a gitignore pattern") from None
                # git passes over such a line too
        self._lines = valid
        return GitIgnoreSpec.from_lines(valid)


def from_settings(patterns: tuple[str, ...], base: Path) -> tuple[IgnoreFile, ...]:
    """The user's own patterns, relative to `base`.

    Raises:
        ValueError: a pattern is not valid.
    """
    ignore = IgnoreFile(None, base, patterns)
    ignore.verdict(str(base / "_"), is_folder=False)  # compiles, so that a bad pattern is told even if no path meets it
    return (ignore,) if ignore else ()


def inside(folder: Path) -> tuple[IgnoreFile, ...]:
    """The patterns of the .gitignore file in `folder`."""
    return _read(folder / ".gitignore", folder)


def above(folder: Path) -> tuple[IgnoreFile, ...]:
    """Patterns that hold in `folder` and come from above it in its repository, the nearest first.

    There are none outside a repository: what lies further up is not meant for it.
    """
    found: list[IgnoreFile] = []
    for here in (folder, *folder.parents):
        if here != folder:
            found += inside(here)
        if os.path.lexists(here / ".git"):
            return (*found, *_read(_git_folder(here) / "info" / "exclude", here))
    return ()


def _git_folder(repository: Path) -> Path:
    """The folder that holds info/exclude; in a worktree or submodule `.git` is a file that leads there."""
    git = repository / ".git"
    try:
        leads_to = repository / git.read_text().removeprefix("gitdir:").strip()
        common = leads_to / "commondir"
        return leads_to / common.read_text().strip() if common.exists() else leads_to
    except (OSError, UnicodeDecodeError):
        return git


def _read(path: Path, folder: Path) -> tuple[IgnoreFile, ...]:
    """Patterns in the file at `path`; none if it is not there or cannot be read, as for git."""
    try:
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError:
        return ()
    ignore = IgnoreFile(path, folder, lines)
    return (ignore,) if ignore else ()
