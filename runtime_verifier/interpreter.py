"""Starts this package in an interpreter that has torch and vLLM, and need not have vllm-lint.

The interpreter sees this package and nothing else of the site-packages that it lies in.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from vllm_lint.runtime_verifier import launch
from vllm_lint.runtime_verifier.versions import OWN_CURES

#: Set for every process that is started: no network, no reports, no file outside the folder of the run.
_ALWAYS = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "PYTHONDONTWRITEBYTECODE": "1",
    "TORCHINDUCTOR_COMPILE_THREADS": "1",  # Inductor's pools do not survive a fork
    "OMP_NUM_THREADS": "1",  # nor do torch's
    "OPENBLAS_NUM_THREADS": "1",  # nor numpy's
}
#: Where libraries keep what they compile or download, by the name of the folder.
_FOLDERS = {
    "TMPDIR": "tmp",
    "XDG_CACHE_HOME": "cache",
    "XDG_CONFIG_HOME": "config",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "TRITON_CACHE_DIR": "triton",
    "VLLM_CACHE_ROOT": "cache/vllm",
    "VLLM_CONFIG_ROOT": "config/vllm",
    "HF_MODULES_CACHE": "cache/hf_modules",
    "TORCH_EXTENSIONS_DIR": "cache/torch_extensions",
    "FLASHINFER_WORKSPACE_BASE": "cache",
    "CUDA_CACHE_PATH": "cache/cuda",
    "MPLCONFIGDIR": "config/matplotlib",
}
#: What would write logs of the user's where they asked for those of another program.
_NEVER = ("TORCH_TRACE", "TORCH_LOGS", "TORCH_LOGS_OUT", "TORCH_COMPILE_DEBUG")


class NotStarted(Exception):
    """The interpreter cannot be started; the message says why."""


def start(
    python: str, folder: Path, module: str, arguments: Sequence[str] = (), **extra: str
) -> subprocess.Popen[bytes]:
    """Start `module` of this package with pipes for standard input and output.

    Errors and what else it says go to the file `said` in `folder`, which is to be removed when it has ended.

    Raises:
        NotStarted: there is no such program, or it may not be executed.
    """
    code, fallback = folder / "code", folder / "fallback"
    package = code / "vllm_lint"
    package.mkdir(parents=True)
    fallback.mkdir()
    (package / "runtime_verifier").symlink_to(Path(__file__).resolve().parent)
    (fallback / "msgspec").symlink_to(Path(msgspec.__file__).resolve().parent)
    shutil.copyfile(launch.__file__, code / "__main__.py")
    command = [python, str(code), str(fallback), launch.abi(), f"vllm_lint.runtime_verifier.{module}", *arguments]
    environment = _environment(folder) | extra
    try:
        with (folder / "said").open("wb") as said:
            return subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, env=environment
            )
    except OSError as error:
        raise NotStarted(f"cannot start {python}: {error.strerror}") from error


def last_words(folder: Path) -> str:
    """The last line that the process said, for people; empty if it said nothing, or took its folder along."""
    try:
        lines = (folder / "said").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except FileNotFoundError:
        return ""
    return lines[-1].strip() if lines else ""


def cure(command: str, python: str) -> str:
    """What to type, for a command that begins with `{python} -m pip`."""
    own = OWN_CURES.get(command)
    return own if own and python == sys.executable else command.replace("{python}", python)


def _environment(folder: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in _NEVER}
    # Models and tokenizers that the user has are read where they are.
    hub = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "huggingface")
    folders = {name: str(folder / inside) for name, inside in _FOLDERS.items()}
    for path in folders.values():
        os.makedirs(path, exist_ok=True)
    return {"HF_HOME": hub, **inherited, **_ALWAYS, **folders}
