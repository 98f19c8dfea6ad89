"""Paths as GitHub wants them: relative to the root of the checkout."""

from __future__ import annotations

import os
from pathlib import Path


def checkout_path(path: str, base: Path) -> Path:
    """`path` of a finding relative to the checkout of a workflow run; absolute if it lies elsewhere.

    Without a workflow run, `base` stands for the checkout.
    """
    root = Path(os.environ.get("GITHUB_WORKSPACE") or base).resolve()
    full = Path(os.path.normpath(base / path))
    for candidate in (full, full.resolve()):
        if candidate.is_relative_to(root):
            return candidate.relative_to(root)
    return full
