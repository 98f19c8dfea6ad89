"""Writes torch's structured trace of one capture to a file, as TORCH_TRACE would."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch._logging import structured
from torch._logging._internal import TorchLogsFormatter


@contextmanager
def write_trace(path: Path | None) -> Iterator[None]:
    """Write what is captured inside to `path`; nothing if it is None."""
    if path is None:
        yield
        return
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(TorchLogsFormatter(trace=True))
    structured.INTERN_TABLE.clear()  # a log says by itself what its numbers for paths mean
    trace = logging.getLogger("torch.__trace")
    trace.addHandler(handler)
    try:
        yield
    finally:
        trace.removeHandler(handler)
        handler.close()
