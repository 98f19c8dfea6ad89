"""Paths as GitHub wants them: relative to the root of the checkout."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path


def checkout_path(path: str, base: Path) -> Path:
    """`path` of a finding relative to the checkout of a workflow run; absolute if it lies elsewhere.

    Without a workflow run, `base` stands for the checkout.
    """
    return _relative(path, base, Path(os.environ.get("GITHUB_WORKSPACE") or base))


@cache  # a file is named by many findings and steps, and resolving asks the system
def _relative(path: str, base: Path, root: Path) -> Path:
    root = root.resolve()
    full = Path(os.path.normpath(base / path))
    for candidate in (full, full.resolve()):
        if candidate.is_relative_to(root):
            return candidate.relative_to(root)
    return full
