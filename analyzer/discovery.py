"""Finds the Python files to check under the paths a user gave."""

from __future__ import annotations

import os
import stat
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vllm_lint.analyzer.events import FileProblem
from vllm_lint.analyzer.findings import Span
from vllm_lint.analyzer.ignores import IgnoreFile, above, from_settings, inside
from vllm_lint.analyzer.source import os_reason

if TYPE_CHECKING:
    from vllm_lint.analyzer.engine import Settings  # which imports this module

#: Folders that hold no source; too common to be worth a line in a report.
_NEVER_SOURCE = frozenset(
    {".git", ".hg", ".svn", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".vllm_lint_cache"}
)
#: Folders that hold code of others, or code that was made from the source.
_BY_DEFAULT = frozenset({".eggs", ".nox", ".tox", ".venv", "__pypackages__", "node_modules", "site-packages"})
#: The same, unless they are packages themselves.
_UNLESS_PACKAGE = frozenset({"build", "dist", "venv"})


@dataclass
class Discovery:
    """Files to check, sorted; what was left out and why; and what could not be looked at."""

    files: tuple[Path, ...] = ()
    excluded: list[tuple[Path, str]] = field(default_factory=list)
    """Files and folders with the reason; what lies in such a folder is not listed."""
    problems: list[FileProblem] = field(default_factory=list)


def display_name(path: Path, base: Path) -> str:
    """`path` as findings show it: relative to `base` if it lies below, with forward slashes, always printable."""
    text = path.relative_to(base).as_posix() if path.is_relative_to(base) else path.as_posix()
    return os.fsencode(text).decode(errors="replace")


def discover(settings: Settings) -> Discovery:
    """Find the files that `settings.paths` name or contain.

    A file that is named itself is checked whatever excludes it, unless `settings.force_exclude` has `settings.exclude`
    hold for it too. In a folder every `.py` file counts that neither `settings.exclude`, a .gitignore file,
    .git/info/exclude nor a default leaves out. Links to folders are not followed.

    Raises:
        FileNotFoundError: one of the paths does not exist.
    """
    walk = _Walk(settings)
    for path in settings.paths:
        walk.add(Path(os.path.normpath(settings.base / path)))
    walk.add_links()
    walk.result.files = tuple(sorted(map(Path, walk.found.values())))
    return walk.result


class _Walk:
    """Collects files over all given paths, each real file once."""

    def __init__(self, settings: Settings) -> None:
        self.base = settings.base
        self.forced = settings.force_exclude
        self.exclude = from_settings(settings.exclude, settings.exclude_base or settings.base)
        self.result = Discovery()
        self.found: dict[str, str] = {}
        """The real path of each file, and the path that it is reported under."""
        self.links: list[str] = []

    def add(self, path: Path) -> None:
        """Take in one path that the user gave."""
        if not os.path.lexists(path):
            raise FileNotFoundError(f"no such file or folder: {display_name(path, self.base)}")
        if self.forced and self.is_left_out(path):
            return
        if _is_folder(str(path)):
            self.add_folder(str(path))
        elif path.suffix == ".ipynb":
            self.problem(str(path), "is a notebook, and notebooks are not read: convert it to a .py file")
        else:
            self.found[os.path.realpath(path)] = str(path)

    def is_left_out(self, path: Path) -> bool:
        """Whether a pattern of the settings leaves out `path` or a folder that it lies in."""
        for part in (*reversed(path.parents), path):
            if not self.passes(str(part), self.exclude, is_folder=part != path or _is_folder(str(path))):
                return True
        return False

    def add_folder(self, top: str) -> None:
        """Walk down from `top`, without following links."""
        # A folder that was asked for by name is looked into, even if patterns from above it leave it out.
        own = tuple(layer for layer in self.exclude if not layer.verdict(top, is_folder=True))
        stack = [(top, tuple(layer for layer in above(Path(top)) if not layer.verdict(top, is_folder=True)))]
        real_top = os.path.realpath(top)
        while stack:
            folder, ignores = stack.pop()
            try:
                with os.scandir(folder) as listing:
                    entries = {entry.name: entry for entry in listing}
            except OSError as error:
                self.problem(folder, os_reason(error, Path(folder)))
                continue
            if folder != top and (reason := _default_reason(Path(folder).name, entries)):
                self.leave_out(folder, reason)
                continue
            if ".gitignore" in entries:
                ignores = (*inside(Path(folder)), *ignores)
            for entry in entries.values():
                kind = _kind(entry)
                if kind is None or not self.passes(entry.path, (*own, *ignores), is_folder=kind == "folder"):
                    continue
                if kind == "folder":
                    stack.append((entry.path, ignores))
                elif kind == "link":
                    self.links.append(entry.path)
                elif kind == "notebook":
                    self.leave_out(entry.path, "notebooks are not read")
                else:
                    self.found.setdefault(real_top + entry.path[len(top) :], entry.path)

    def passes(self, path: str, layers: tuple[IgnoreFile, ...], *, is_folder: bool) -> bool:
        """Whether no pattern leaves `path` out; the first layer that speaks of it decides."""
        for layer in layers:
            verdict = layer.verdict(path, is_folder=is_folder)
            if verdict:
                origin = "the setting exclude" if layer.origin is None else display_name(layer.origin, self.base)
                self.leave_out(path, f"excluded by {origin} ({layer.pattern(path, is_folder=is_folder)})")
            if verdict is not None:
                return not verdict
        return True

    def add_links(self) -> None:
        """Take in the links met on the way, after all real files, which are reported under their own paths."""
        for path in sorted(self.links):
            try:
                mode = Path(path).stat().st_mode
            except OSError as error:
                self.problem(path, os_reason(error, Path(path)))
                continue
            real = os.path.realpath(path)
            if stat.S_ISDIR(mode):
                self.leave_out(path, "links to folders are not followed")
            elif path.endswith(".py") and real in self.found:
                self.leave_out(path, f"links to {display_name(Path(self.found[real]), self.base)}, which is checked")
            elif path.endswith(".py"):
                self.found[real] = path

    def leave_out(self, path: str, reason: str) -> None:
        self.result.excluded.append((Path(path), reason))

    def problem(self, path: str, reason: str) -> None:
        span = Span(display_name(Path(path), self.base), 1, 1, 1, 1)
        self.result.problems.append(FileProblem(span=span, kind="unreadable", reason=reason))


def _kind(entry: os.DirEntry[str]) -> Literal["folder", "link", "notebook", "file"] | None:
    """What an entry of a folder is to us; None for what is not source."""
    if entry.is_dir(follow_symlinks=False):
        return None if entry.name in _NEVER_SOURCE else "folder"
    is_python = entry.name.endswith(".py") and not entry.name.startswith(".#")  # a lock of Emacs, a dangling link
    if entry.is_symlink():
        return "link" if is_python or _is_folder(entry.path) else None
    if not entry.is_file():
        return None
    return "file" if is_python else "notebook" if entry.name.endswith(".ipynb") else None


def _is_folder(path: str) -> bool:
    return os.path.isdir(path)  # Path.is_dir raises where a link leads into a closed folder


def _default_reason(name: str, entries: Container[str]) -> str:
    """Why the folder `name`, which holds `entries`, is not looked into; empty if it is."""
    if name in _BY_DEFAULT or (name in _UNLESS_PACKAGE and "__init__.py" not in entries):
        return f"folders named {name} are excluded by default"
    return "is a virtual environment" if "pyvenv.cfg" in entries else ""
