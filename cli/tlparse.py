"""Has tlparse, PyTorch's own program, render a log to pages for people."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from vllm_lint.cli.errors import Failure
from vllm_lint.runtime_verifier.trace.log import TraceLog, open_log


def require(logs: Sequence[TraceLog]) -> None:
    """See that `render` will be possible.

    Raises:
        Failure: tlparse is not installed, or there are several logs.
    """
    if shutil.which("tlparse") is None:
        raise Failure("--html needs tlparse, which is not installed: pip install tlparse")
    if len(logs) > 1:
        raise Failure(f"--html takes one log, and there are {len(logs)}: name one of them in place of DIR")


def render(log: TraceLog, out: Path) -> Path:
    """Render into the folder `out`, whose pages are replaced; returns the first page.

    Raises:
        Failure: tlparse fails.
    """
    with tempfile.TemporaryDirectory() as scratch:
        plain = Path(scratch, "trace.log")  # tlparse reads no compressed logs
        with open_log(log.path) as packed, plain.open("wb") as file:
            shutil.copyfileobj(packed, file)
        command = ["tlparse", str(plain), "-o", str(out), "--overwrite", "--no-browser"]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise Failure(f"tlparse failed with status {done.returncode}: {last}")
    return out / "index.html"
