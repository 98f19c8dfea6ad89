"""Which versions of torch and vLLM work, and what to type where one is missing."""

from __future__ import annotations

import re

Version = tuple[int, int]

OLDEST_TORCH: Version = (2, 9)
NEWEST_TORCH: Version = (2, 15)
OLDEST_VLLM: Version = (0, 24)
NEWEST_VLLM: Version = (0, 33)

INSTALL_TORCH = "{python} -m pip install 'torch>=2.9'"
UPDATE_TORCH = "{python} -m pip install --upgrade 'torch>=2.9'"
REPLACE_TORCH = "{python} -m pip install --force-reinstall torch"
INSTALL_VLLM = "{python} -m pip install 'vllm>=0.24'"
LOOK_FOR_GPU = "nvidia-smi"
#: The same for the interpreter that vllm-lint itself runs in.
OWN_CURES = {INSTALL_TORCH: "pip install 'vllm-lint[verify]'", INSTALL_VLLM: "pip install 'vllm-lint[vllm]'"}


def parsed(version: str) -> Version | None:
    """Major and minor number; None where there are none, as in `dev`."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else None


def is_too_old(torch: str) -> bool:
    """Whether this torch lacks what a capture needs."""
    known = parsed(torch)
    return known is not None and known < OLDEST_TORCH


def notes(torch: str, vllm: str) -> tuple[str, ...]:
    """What to say once about versions that may work, and that nobody has tried."""
    said = []
    known = parsed(torch)
    if known is not None and known > NEWEST_TORCH:
        tested = _range(OLDEST_TORCH, NEWEST_TORCH)
        said.append(f"torch {torch} is newer than the versions that vllm-lint was tested with ({tested})")
    known = parsed(vllm)
    if vllm and (known is None or not OLDEST_VLLM <= known <= NEWEST_VLLM):
        tested = _range(OLDEST_VLLM, NEWEST_VLLM)
        said.append(f"vLLM {vllm} is not among the versions that vllm-lint was tested with ({tested})")
    return tuple(said)


def _range(oldest: Version, newest: Version) -> str:
    return f"{oldest[0]}.{oldest[1]} to {newest[0]}.{newest[1]}"
