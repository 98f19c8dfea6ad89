"""Puts new content into a file in one step, so that it is never seen half-written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def replace_file(target: Path, data: bytes) -> None:
    """Write `data` to a temporary file beside `target`, with the permissions that this has, and rename it.

    A device or a pipe (/dev/stdout) is written to instead.

    Raises:
        OSError: it cannot be written.
    """
    if target.exists() and not target.is_file():
        target.write_bytes(data)
        return
    scratch = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        scratch.write_bytes(data)
        if target.exists():
            shutil.copymode(target, scratch)
        scratch.replace(target)
    finally:
        scratch.unlink(missing_ok=True)
