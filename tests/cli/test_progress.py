"""Progress goes to a terminal and nowhere else."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys

import pytest

from vllm_lint.cli.progress import Progress

SCRIPT = """
from vllm_lint.cli.progress import Progress
with Progress(2) as progress:
    progress.done("First", "verified")
    progress.done("Second\\x1b[2J", "a long text " * 20)
"""


def on_a_terminal(**environment: str) -> str:
    main, terminal = pty.openpty()
    plain = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    program = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        stderr=terminal,
        env={**plain, "TERM": "xterm", "COLUMNS": "60", **environment},
    )
    program.wait(30)
    os.close(terminal)
    said = os.read(main, 1 << 16).decode()
    os.close(main)
    return said


def test_each_result_takes_the_place_of_the_last() -> None:
    said = on_a_terminal()
    lines = said.split("\r\x1b[K")
    assert "1/2\x1b[0m First: verified, about 0 s left" in lines[2]
    assert lines[-1] == ""
    assert "\x1b[2J" not in said
    assert all(len(line.replace("\x1b[1m", "").replace("\x1b[0m", "")) < 60 for line in lines)


def test_no_color() -> None:
    assert "\x1b[1m" not in on_a_terminal(NO_COLOR="1")


class Dumb(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [io.StringIO(), Dumb()])
def test_no_terminal_and_one_that_cannot_erase(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO) -> None:
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys, "stderr", stream)
    with Progress(1) as progress:
        progress.done("name", "verified")
    assert stream.getvalue() == ""
