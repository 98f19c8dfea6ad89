"""Runs one command and says what it cost: seconds, processor seconds and memory."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: Seconds between two looks at the memory of the process tree.
SAMPLE_S = 0.1


@dataclass(frozen=True)
class Usage:
    """What a command cost.

    `cpu_s` is user and system time of the command and its descendants. `peak_mb` (MiB) is the most memory that
    all its processes held together (proportional set size, sampled), and at least the largest process's maximum
    resident set as the kernel reports it. The kernel counts the caller's own memory at the fork there, so call from
    a small process.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float
    exit_code: int
    output: str


def measure(command: Sequence[str | Path], cwd: Path, env: Mapping[str, str] | None = None) -> Usage:
    """Run `command` in `cwd` and wait for it. Its standard output is kept, its standard error is dropped.

    Raises:
        FileNotFoundError: there is no such program.
    """
    begin = time.perf_counter()
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=cwd,
        env=dict(os.environ) | dict(env or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        errors="replace",
    )
    sampler = _TreeMemory(process.pid)
    sampler.start()
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begin
    sampler.stop()
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    largest_kb = usage.ru_maxrss / 1024 if sys.platform == "darwin" else usage.ru_maxrss
    return Usage(
        wall_s=wall,
        cpu_s=usage.ru_utime + usage.ru_stime,
        peak_mb=max(sampler.peak_kb, largest_kb) / 1024,
        exit_code=process.returncode,
        output=output,
    )


class _TreeMemory(threading.Thread):
    """Watches the memory of a process and its descendants. Sees nothing where there is no Linux /proc."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.peak_kb = 0.0
        self._pid = pid
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(SAMPLE_S):
            self.peak_kb = max(self.peak_kb, sum(map(_pss_kb, _descendants(self._pid))))

    def stop(self) -> None:
        self._done.set()
        self.join()


def _descendants(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found = children.read_text().split()
        except OSError:  # the process ended between the two looks
            continue
        for child in found:
            yield from _descendants(int(child))


def _pss_kb(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")), 0.0)
