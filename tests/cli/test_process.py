"""The program as a process: what happens to it from outside."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli import samples

ROOT = Path(__file__).parents[2]

#: Runs the program with an analysis that tells that it started, and then finds much or does not end.
PROGRAM = """
import sys, time
sys.path.insert(0, {root!r})
from tests.cli import samples
from vllm_lint.analyzer import engine
from vllm_lint.cli.main import main

def check(settings, rules):
    if {ends}:
        return samples.result(*[samples.finding()] * 5000)
    print("started", file=sys.stderr, flush=True)
    time.sleep(60)

engine.check = check
main()
"""


def start(folder: Path, *arguments: str, ends: bool) -> subprocess.Popen[bytes]:
    code = PROGRAM.format(root=str(ROOT), ends=ends)
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=samples.write_sources(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize("form", ["full", "concise", "json", "jsonl", "github", "sarif"])
def test_a_closed_pipe_is_silent_and_keeps_the_verdict(tmp_path: Path, form: str) -> None:
    with start(tmp_path, ".", "--output-format", form, ends=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_ctrl_c_ends_with_one_line_and_no_file(tmp_path: Path) -> None:
    with start(tmp_path, ".", "--output-file", "report.txt", ends=False) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stderr.readline() == b"started\n"
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == b"vllm-lint: interrupted\n"
        assert process.stdout.read() == b""
    assert process.returncode == 130
    assert sorted(path.name for path in tmp_path.iterdir()) == ["helpers.py", "model.py"]


def test_the_console_script_runs() -> None:
    script = Path(sys.executable).with_name("vllm-lint")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("vllm-lint ")
