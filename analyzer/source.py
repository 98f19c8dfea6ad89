"""One source file: its text, its syntax tree, and positions as people count them."""

from __future__ import annotations

import ast
import codecs
import errno
import io
import os
import re
import stat
import sys
import tokenize
import warnings
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TypeAlias

from vllm_lint.analyzer.events import FileProblem
from vllm_lint.analyzer.findings import Span

#: Nodes that carry a position.
Located: TypeAlias = ast.expr | ast.stmt | ast.excepthandler | ast.arg | ast.keyword | ast.alias | ast.pattern

# Python's parser ends a line at these and at nothing else; str.splitlines also splits at form feeds and the like.
_NEWLINE = re.compile(r"\r\n|\r|\n")

#: How Python 3's parser words what was right in Python 2.
_PYTHON_2 = (
    "Missing parentheses in call to",
    "multiple exception types must be parenthesized",
    "leading zeros in decimal integer literals",
)


class UnparsableError(Exception):
    """The text is not Python; `problem` says what and where."""

    def __init__(self, problem: FileProblem) -> None:
        super().__init__(f"{problem.span.path}: {problem.reason}")
        self.problem = problem


@dataclass(slots=True)
class SourceFile:
    """A file that was read and decoded. It is parsed when `tree` or `problem` is first asked for.

    `name` is the path as findings show it, `text` has no byte order mark and keeps its line ends, and `digest`
    names the bytes on disk.
    """

    path: Path
    name: str
    text: str
    digest: str
    _tree: ast.Module | FileProblem | None = field(default=None, repr=False, compare=False)
    _lines: list[str] | None = field(default=None, repr=False, compare=False)

    @property
    def tree(self) -> ast.Module:
        """The syntax tree.

        Raises:
            UnparsableError: the text is not valid for the Python that runs this.
        """
        parsed = self._parsed()
        if isinstance(parsed, FileProblem):
            raise UnparsableError(parsed)
        return parsed

    @property
    def problem(self) -> FileProblem | None:
        """Why the file cannot be parsed, or None if it can."""
        parsed = self._parsed()
        return parsed if isinstance(parsed, FileProblem) else None

    @property
    def lines(self) -> list[str]:
        """The text by line as Python's parser counts them, without line ends."""
        if self._lines is None:
            self._lines = _NEWLINE.split(self.text) if "\r" in self.text else self.text.split("\n")
        return self._lines

    def span(self, node: Located) -> Span:
        """Where `node` stands."""
        end_line = node.end_lineno or node.lineno
        end_offset = node.col_offset if node.end_col_offset is None else node.end_col_offset
        start = self._column(node.lineno, node.col_offset)
        return Span(self.name, node.lineno, start, end_line, self._column(end_line, end_offset))

    def segment(self, node: Located) -> str:
        """The source text of `node`, lines joined by a line feed."""
        span = self.span(node)
        lines = self.lines[span.line - 1 : span.end_line]
        lines[-1] = lines[-1][: span.end_column - 1]
        lines[0] = lines[0][span.column - 1 :]
        return "\n".join(lines)

    def _column(self, line: int, offset: int) -> int:
        """Turn a byte offset into UTF-8 into a column of code points.

        Up to Python 3.11 nodes inside f-strings can lie past the end of their line, hence the clamping.
        """
        text = self.lines[line - 1] if line <= len(self.lines) else ""
        if text.isascii():
            return min(max(offset, 0), len(text)) + 1
        return len(text.encode()[: max(offset, 0)].decode(errors="ignore")) + 1

    def _parsed(self) -> ast.Module | FileProblem:
        if self._tree is None:
            self._tree = self._parse()
        return self._tree

    def _parse(self) -> ast.Module | FileProblem:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a bad escape in the checked code is not ours to report
                return ast.parse(self.text, self.name)
        except SyntaxError as error:
            return self._syntax_problem(error)
        except (RecursionError, MemoryError):
            return _problem(self.name, "unparsable", "nested too deeply for Python's parser")
        except ValueError as error:  # lone surrogates, which some encodings can produce
            return _problem(self.name, "unparsable", str(error))

    def _syntax_problem(self, error: SyntaxError) -> FileProblem:
        version = ".".join(map(str, sys.version_info[:2]))
        reason = f"not valid Python {version}: {_lower_first(error.msg)}"
        if error.msg.startswith(_PYTHON_2):
            reason = f"this looks like Python 2: {_lower_first(error.msg)}"
        start = self._clamp(error.lineno, error.offset)
        end = self._clamp(error.end_lineno, error.end_offset)
        return _problem(self.name, "unparsable", reason, start, max(start, end))

    def _clamp(self, line: int | None, column: int | None) -> tuple[int, int]:
        line = min(max(line or 1, 1), len(self.lines))
        return line, min(max(column or 1, 1), len(self.lines[line - 1]) + 1)


def read_source(path: Path, name: str, data: bytes | None = None) -> SourceFile | FileProblem:
    """Read and decode the file at `path`, or decode `data` in its place; the encoding is found as Python finds it.

    What is wrong with the file comes back as a problem of kind "unreadable", or "unparsable" if it holds NUL bytes.
    """
    if data is None:
        try:
            if not stat.S_ISREG(path.stat().st_mode):  # opening a named pipe would wait for ever
                return _problem(name, "unreadable", "is a directory" if path.is_dir() else "not a regular file")
            data = path.read_bytes()
        except OSError as error:
            return _problem(name, "unreadable", os_reason(error, path))
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    except SyntaxError as error:
        if error.msg.startswith("unknown encoding"):
            return _problem(name, "unreadable", f"{error.msg} in its coding comment")
        if data.startswith(codecs.BOM_UTF8):
            return _problem(name, "unreadable", "starts with a UTF-8 byte order mark, but its coding comment disagrees")
        encoding = "utf-8"  # its first lines are not, and decoding says at which byte
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        before = _NEWLINE.split(error.object[: error.start].decode(encoding, errors="replace"))
        at = (len(before), len(before[-1]) + 1)
        return _problem(name, "unreadable", f"not {encoding}: byte 0x{error.object[error.start]:02x}", at, at)
    except (UnicodeError, LookupError) as error:  # a cookie may name a codec that is not for text, such as "hex"
        return _problem(name, "unreadable", f"cannot decode as {encoding}: {_lower_first(str(error))}")
    source = SourceFile(path, name, text, blake2b(data, digest_size=16).hexdigest())
    if "\0" in text:
        before = _NEWLINE.split(text[: text.index("\0")])
        at = (len(before), len(before[-1]) + 1)
        return _problem(name, "unparsable", "contains NUL bytes, so it is binary or UTF-16", at, at)
    return source


def os_reason(error: OSError, path: Path) -> str:
    """Why the system refused to read `path`, in a few words."""
    if error.errno == errno.ENOENT and path.is_symlink():
        return f"dangling link to {os.fsencode(path.readlink()).decode(errors='replace')}"
    if error.errno == errno.ELOOP:
        return "link that leads back to itself"
    return _lower_first(error.strerror or str(error))


def _problem(
    name: str, kind: str, reason: str, start: tuple[int, int] = (1, 1), end: tuple[int, int] = (1, 1)
) -> FileProblem:
    return FileProblem(span=Span(name, *start, *end), kind=kind, reason=reason)


def _lower_first(text: str) -> str:
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]
