"""Type-checks the wheel that users install, in a fresh environment, then the tests and scripts against it.

The source folders alone would not do: their import names (`vllm_lint.rules`, not `rules`) exist only in the wheel.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("analyzer", "rewriter", "rules", "runtime_verifier", "cli")
SCRIPTS = ("tests", "benchmarks", "docs")
#: What the tests import and the wheel does not bring.
TEST_NEEDS = ("mypy", "pytest", "hypothesis", "packaging", "types-jsonschema", "types-PyYAML")


def main() -> int:
    """Return mypy's exit code."""
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(work), str(ROOT)]
        subprocess.run(build, check=True, capture_output=True)
        (wheel,) = work.glob("*.whl")
        venv.create(work / "venv", with_pip=True)
        python = work / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
        pip = [str(python), "-m", "pip", "install", "--quiet", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, str(wheel), *map(_pin, TEST_NEEDS)], check=True)
        mypy = [str(python), "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(work)]
        packages = [argument for package in PACKAGES for argument in ("-p", f"vllm_lint.{package}")]
        # In an empty folder, since mypy would take packages from the source folders first.
        library = subprocess.run([*mypy, *packages], cwd=work, check=False).returncode
        scripts = subprocess.run([*mypy, "--explicit-package-bases", *SCRIPTS], cwd=ROOT, check=False).returncode
    return max(library, scripts)


def _pin(package: str) -> str:
    """The version that this environment has, so that both agree on what an error is."""
    try:
        return f"{package}=={version(package)}"
    except ModuleNotFoundError:  # stubs, which only the fresh environment needs
        return package


if __name__ == "__main__":
    sys.exit(main())
