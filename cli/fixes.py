"""Applies the fixes of findings to the files that were checked, or shows what that would change."""

from __future__ import annotations

import ast
import difflib
import os
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vllm_lint.analyzer.engine import CheckResult
from vllm_lint.analyzer.findings import Edit, Fix, Span, ToolError
from vllm_lint.analyzer.source import SourceFile, os_reason, read_source
from vllm_lint.cli.replacing import replace_file

#: Start and end of what is replaced, counted in code points from the start of the text, and what comes in its place.
_Change = tuple[int, int, str]


@dataclass
class Rewrite:
    """What fixes make of one file. `skipped` fixes touch what others change and can be applied afterwards."""

    source: SourceFile
    text: str
    changes: tuple[_Change, ...] = ()
    applied: int = 0
    skipped: int = 0

    def lines_of(self, span: Span) -> range:
        """The numbers of the lines of the new text that hold what is, or came in place of what was, at `span`."""
        start, end, _ = _Lines(self.source).change(Edit(span, ""))
        first, last = (self.text.count("\n", 0, self._moved(at, is_end=at == end)) + 1 for at in (start, end))
        return range(first, last + 1)

    def _moved(self, offset: int, *, is_end: bool) -> int:
        longer = 0
        for start, end, new in self.changes:
            if end <= offset and (start < offset or is_end):
                longer += len(new) - (end - start)
            elif start < offset:  # inside of what was replaced
                return start + longer + (len(new) if is_end else 0)
        return offset + longer

    @property
    def data(self) -> bytes:
        """The new text in the encoding of the file."""
        with self.source.path.open("rb") as file:
            encoding, _ = tokenize.detect_encoding(file.readline)
        return self.text.encode(encoding)

    @property
    def diff(self) -> Iterator[str]:
        """A unified diff, a line at a time, without line ends."""
        before, after = (text.splitlines(keepends=True) for text in (self.source.text, self.text))
        for line in difflib.unified_diff(before, after, f"a/{self.source.name}", f"b/{self.source.name}"):
            yield line.rstrip("\r\n")
            if not line.endswith(("\n", "\r")):
                yield "\\ No newline at end of file"

    def write(self) -> None:
        """Put the new text in place of the old one, in its encoding, unless the file changed since it was read.

        Raises:
            OSError: it cannot be written, or it changed.
        """
        path = self.source.path.resolve()  # of a link, what it leads to is replaced
        known = read_source(path, self.source.name)
        if not isinstance(known, SourceFile) or known.digest != self.source.digest:
            raise OSError("it changed while it was being fixed")
        replace_file(path, self.data)


@dataclass
class Rewrites:
    """What fixes make of all files, and why some could not be applied."""

    files: list[Rewrite] = field(default_factory=list)
    errors: list[ToolError] = field(default_factory=list)

    @property
    def applied(self) -> int:
        """How many fixes."""
        return sum(rewrite.applied for rewrite in self.files)


def rewrites(result: CheckResult, base: Path, stdin: tuple[str, bytes] | None = None, *, unsafe: bool) -> Rewrites:
    """Apply the first fix of each finding that has one, in memory. A file that changed since it was checked is left."""
    digests = {file.path: file.digest for file in result.files}
    by_file: dict[str, list[Fix]] = {}
    for finding in result.findings:
        for fix in finding.fixes[:1]:
            if fix.may_be_applied(unsafe=unsafe):
                (name,) = {edit.span.path for edit in fix.edits}
                by_file.setdefault(name, []).append(fix)
    found = Rewrites()
    for name, fixes in sorted(by_file.items()):
        path = Path(os.path.normpath(base / name))
        source = read_source(path, name, stdin[1] if stdin else None)
        if not isinstance(source, SourceFile):
            found.errors.append(_not_fixed(source.reason, name))
        elif source.digest != digests.get(name):
            found.errors.append(_not_fixed("it changed since it was checked", name))
        else:
            rewrite = rewritten(source, fixes)
            if left := len(fixes) - rewrite.applied - rewrite.skipped:
                reason = f"{left} of {len(fixes)} fixes would leave something that is not Python"
                found.errors.append(_not_fixed(reason, name))
            if rewrite.applied:
                found.files.append(rewrite)
    return found


def _not_fixed(reason: str, name: str) -> ToolError:
    return ToolError(f"not fixed: {reason}", path=name, kind="fix")


def rewritten(source: SourceFile, fixes: Iterable[Fix]) -> Rewrite:
    """Apply what does not overlap, from the top; a fix that would leave something that is not Python is left out."""
    chosen: list[tuple[_Change, ...]] = []
    skipped = 0
    lines = _Lines(source)
    for changes in sorted(tuple(lines.change(edit) for edit in fix.edits) for fix in fixes):
        taken = {change for each in chosen for change in each}
        if any(_collide(change, other) for change in changes for other in taken - {*changes}):
            skipped += 1
        else:
            chosen.append(changes)
    text = _applied(source.text, chosen)
    if not _is_python(text):
        good: list[tuple[_Change, ...]] = []
        for changes in chosen:
            if _is_python(_applied(source.text, [*good, changes])):
                good.append(changes)
        chosen, text = good, _applied(source.text, good)
    return Rewrite(source, text, tuple(sorted({c for each in chosen for c in each})), len(chosen), skipped)


class _Lines:
    """Where the lines of a text start."""

    def __init__(self, source: SourceFile) -> None:
        self._starts = [0]
        for line in source.lines:
            at = self._starts[-1] + len(line)
            self._starts.append(at + (2 if source.text.startswith("\r\n", at) else 1))
        self._newline = "\r\n" if "\r\n" in source.text else "\n"

    def change(self, edit: Edit) -> _Change:
        span: Span = edit.span
        start = self._starts[span.line - 1] + span.column - 1
        end = self._starts[span.end_line - 1] + span.end_column - 1
        return start, end, edit.replacement.replace("\n", self._newline)


def _collide(a: _Change, b: _Change) -> bool:
    """Two insertions at one place collide too, as nobody knows which comes first."""
    return a[0] < b[1] and b[0] < a[1] if a[:2] != b[:2] else True


def _applied(text: str, chosen: Iterable[tuple[_Change, ...]]) -> str:
    for start, end, replacement in sorted({change for each in chosen for change in each}, reverse=True):
        text = text[:start] + replacement + text[end:]
    return text


def _is_python(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def write(found: Rewrites) -> Mapping[str, int]:
    """Write all files, and return how many fixes each got; those that cannot be written go to `found.errors`."""
    written: dict[str, int] = {}
    for rewrite in found.files:
        try:
            rewrite.write()
        except OSError as error:
            reason = os_reason(error, rewrite.source.path)
            found.errors.append(_not_fixed(reason, rewrite.source.name))
        else:
            written[rewrite.source.name] = rewrite.applied
    return written
