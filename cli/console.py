"""Colour, and text that reaches a stream whole or not at all."""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Literal

import click

from vllm_lint.analyzer.findings import Severity
from vllm_lint.cli.errors import Failure, leave_closed_pipe
from vllm_lint.cli.replacing import replace_file

ColorMode = Literal["auto", "always", "never"]

_SEVERITY_COLORS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


class Style:
    """Colours for a terminal, or the text unchanged."""

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled

    def _paint(self, text: str, color: str | None = None, *, bold: bool = False) -> str:
        return click.style(text, fg=color, bold=bold or None) if self.enabled and text else text

    def severity(self, severity: Severity, text: str) -> str:
        """`text` in the colour of `severity`."""
        return self._paint(text, _SEVERITY_COLORS[severity], bold=True)

    def strong(self, text: str) -> str:
        """Names and headings."""
        return self._paint(text, bold=True)

    def frame(self, text: str) -> str:
        """Line numbers, arrows and rules around source text."""
        return self._paint(text, "bright_blue")

    def step(self, text: str) -> str:
        """Marks of the steps that lead to a decision."""
        return self._paint(text, "bright_blue", bold=True)

    def good(self, text: str) -> str:
        """A clean result."""
        return self._paint(text, "green", bold=True)


def use_color(mode: ColorMode, stream: IO[str]) -> bool:
    """Whether to colour what goes to `stream`: the option first, then NO_COLOR, FORCE_COLOR and the terminal."""
    if mode != "auto":
        return mode == "always"
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") != "0":
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def terminal_width() -> int | None:
    """Columns of the terminal on stdout; None if stdout is something else."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def visible(text: str) -> str:
    """`text` with control characters as their pictures, so that source text cannot drive the terminal."""
    return "".join(_PICTURES.get(char, char) for char in text)


_PICTURES = {chr(code): chr(0x2400 + code) for code in range(32) if chr(code) != "\t"} | {
    chr(0x7F): "\u2421",
    **{chr(code): "\ufffd" for code in (*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A))},
}


def cell_width(char: str) -> int:
    """How many terminal cells `char` takes: 2 for wide East Asian ones, 0 for marks that combine."""
    if char.isascii():
        return 1
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def print_pieces(pieces: Iterable[str]) -> None:
    """Print each piece and a line end. A reader who closed the pipe has had enough, which is no error."""
    try:
        for piece in pieces:
            sys.stdout.buffer.write(f"{piece}\n".encode(sys.stdout.encoding, "backslashreplace"))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        leave_closed_pipe()


def write_pieces(pieces: Iterable[str], target: Path) -> None:
    """Write a report as UTF-8, in one step.

    Raises:
        Failure: the file cannot be written.
    """
    try:
        replace_file(target, "".join(f"{piece}\n" for piece in pieces).encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise Failure(f"cannot write {target}: {error.strerror}") from error
