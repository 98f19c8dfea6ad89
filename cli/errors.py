"""The ways in which a command ends early."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any

import click

EXIT_FINDINGS = 1
EXIT_ERROR = 2
EXIT_NOTHING = 3
EXIT_INTERRUPTED = 130


class Failure(click.ClickException):
    """An error that the user can do something about: one line on stderr, exit status 2."""

    exit_code = EXIT_ERROR

    def show(self, file: Any = None) -> None:
        """Print the line."""
        click.echo(f"vllm-lint: error: {self.format_message()}", file=file, err=file is None)


def leave_closed_pipe() -> None:
    """Point stdout at nothing, so that Python's own flush at exit stays silent too."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`, did you mean 'x'?` if one of `known` is near `word`, or nothing."""
    from difflib import get_close_matches

    near = get_close_matches(word, list(known), n=1)
    return f", did you mean {near[0]!r}?" if near else ""
