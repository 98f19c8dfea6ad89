"""Skips tests whose marker names something this machine lacks; on CI torch and vLLM are never lacking."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec

import pytest

REQUIREMENTS: dict[str, tuple[Callable[[], bool], str]] = {
    "torch": (lambda: find_spec("torch") is not None, "torch is not installed"),
    "vllm": (lambda: find_spec("vllm") is not None, "vLLM is not installed"),
    "gpu": (lambda: shutil.which("nvidia-smi") is not None, "no CUDA device"),
}
REQUIRED_ON_CI = {"torch", "vllm"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for marker, (is_met, reason) in REQUIREMENTS.items():
        marked = [item for item in items if item.get_closest_marker(marker)]
        if not marked or is_met():
            continue
        if os.environ.get("CI") and marker in REQUIRED_ON_CI:
            raise pytest.UsageError(f"{reason}, and on CI the tests marked {marker} must run")
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=reason))
