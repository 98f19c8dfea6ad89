"""Which lines changed since a git revision."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from vllm_lint.analyzer.findings import Finding, Span
from vllm_lint.cli.errors import Failure

_HUNK = re.compile(rb"@@ -\S+ \+(\d+)(?:,(\d+))? @@")


class Changes:
    """The working tree against `ref`; an untracked file counts as changed throughout."""

    def __init__(self, ref: str, base: Path) -> None:
        """Ask git about the repository that holds `base`.

        Raises:
            Failure: there is no git, no repository or no such revision.
        """
        self._base = base
        self._top = Path(_path(_git(base, "rev-parse", "--show-toplevel").rstrip(b"\n"))).resolve()
        try:
            _git(base, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}")
        except Failure as error:
            raise Failure(f"--diff-from: unknown git revision {ref!r}") from error
        plain = ("--unified=0", "--no-color", "--no-ext-diff", "--no-textconv", "--src-prefix=a/", "--dst-prefix=b/")
        quoted = ("-c", "core.quotePath=true")
        self._hunks = _hunks(_git(self._top, *quoted, "diff", *plain, "--end-of-options", ref, "--"))
        untracked = _git(self._top, "ls-files", "--others", "--exclude-standard", "-z")
        self._untracked = {_path(name) for name in untracked.split(b"\0") if name}

    def touch(self, finding: Finding) -> bool:
        """Whether a line of `finding` or of a step on its path changed."""
        return any(map(self._touches, [finding.span, *(step.span for step in finding.steps)]))

    def _touches(self, span: Span) -> bool:
        path = (self._base / span.path).resolve()
        if not path.is_relative_to(self._top):
            return False
        name = path.relative_to(self._top).as_posix()
        if name in self._untracked:
            return True
        return any(
            # Lines removed after line `start` changed a span only if it goes on below.
            start <= span.end_line and span.line < start + count if count else span.line <= start < span.end_line
            for start, count in self._hunks.get(name, ())
        )


def _hunks(diff: bytes) -> dict[str, list[tuple[int, int]]]:
    """First line and number of lines of each hunk in the new text, by path."""
    hunks: dict[str, list[tuple[int, int]]] = {}
    current: list[tuple[int, int]] = []
    in_header = True
    for line in diff.split(b"\n"):
        if line.startswith(b"diff --git "):
            in_header, current = True, []
        elif in_header and line.startswith(b"+++ "):
            name = _unquote(line[len(b"+++ ") :].rstrip(b"\t"))
            current = hunks.setdefault(name.removeprefix("b/"), [])
        elif match := _HUNK.match(line):
            in_header = False
            current.append((int(match[1]), int(match[2] or 1)))
    return hunks


def _unquote(name: bytes) -> str:
    """Git writes an unusual name in double quotes with C escapes, and so in ASCII."""
    if not name.startswith(b'"'):
        return _path(name)
    return _path(name[1:-1].decode("unicode_escape").encode("latin-1"))


def _path(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _git(folder: Path, *arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True)
    except FileNotFoundError as error:
        raise Failure("--diff-from needs git, which is not installed") from error
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode(errors="replace").strip().splitlines() or [f"exit status {error.returncode}"]
        raise Failure(f"--diff-from: git: {lines[0].removeprefix('fatal: ')}") from error
    return done.stdout
