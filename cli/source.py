"""Source lines for the renderers."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Sequence
from pathlib import Path

# The line ends that Python's tokenizer knows; str.splitlines would also split at form feeds and others.
_LINE_END = re.compile(r"\r\n|\r|\n")


class SourceReader:
    """Lines of the files that findings name, read when asked for.

    Call it with a path as it stands in a finding; a file that cannot be read has no lines.
    """

    def __init__(self, base: Path, stdin: tuple[str, bytes] | None = None) -> None:
        self._base = base
        self._stdin = stdin
        self._lines: dict[str, Sequence[str]] = {}

    def __call__(self, path: str) -> Sequence[str]:
        """Lines of `path` without their ends; the first is at index 0."""
        if path not in self._lines:
            data = self._read(path)
            self._lines[path] = () if data is None else tuple(_LINE_END.split(_decode(data)))
        return self._lines[path]

    def _read(self, path: str) -> bytes | None:
        if self._stdin and self._stdin[0] == path:
            return self._stdin[1]
        try:
            return (self._base / path).read_bytes()
        except OSError:
            # Reported by the analysis already; a report about the file is still worth showing without its text.
            return None


def _decode(data: bytes) -> str:
    try:
        encoding = tokenize.detect_encoding(io.BytesIO(data).readline)[0]
    except SyntaxError:
        encoding = "utf-8"
    return data.decode(encoding, "replace")
