"""How far a long run is, on a terminal."""

from __future__ import annotations

import os
import shutil
import sys
import time
from types import TracebackType

import click

from vllm_lint.cli.console import cell_width, visible


class Progress:
    """One line on stderr that is written anew with every result, and gone at the end.

    Nothing is written where stderr is no terminal, or one that cannot erase a line.
    """

    def __init__(self, total: int) -> None:
        self._total, self._done, self._started = total, 0, time.monotonic()
        self._is_shown = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._is_colored = not os.environ.get("NO_COLOR")

    def __enter__(self) -> Progress:
        self._write(f"0/{self._total}", "starting")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._erase()

    def done(self, name: str, summary: str) -> None:
        """Show that one more is done, and what came of it."""
        self._done += 1
        left = (time.monotonic() - self._started) / self._done * (self._total - self._done)
        rest = f", about {_time(left)} left" if self._done < self._total else ""
        self._write(f"{self._done}/{self._total}", f"{name}: {summary}{rest}")

    def _write(self, count: str, text: str) -> None:
        if not self._is_shown:
            return
        room = shutil.get_terminal_size().columns - len(count) - 2
        self._erase()
        counted = click.style(count, bold=True) if self._is_colored else count
        click.echo(f"{counted} {_cut(visible(text), room)}", err=True, nl=False, color=True)

    def _erase(self) -> None:
        if self._is_shown:
            click.echo("\r\x1b[K", err=True, nl=False, color=True)


def _cut(text: str, cells: int) -> str:
    used = 0
    for position, char in enumerate(text):
        used += cell_width(char)
        if used > cells:
            return text[: max(position - 1, 0)] + "\u2026"
    return text


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
