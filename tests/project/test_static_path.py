"""The static half starts fast because it leaves the heavy libraries alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
HEAVY = ("torch", "vllm", "transformers", "sympy", "rich", "numpy")

RUN_WITHOUT_HEAVY = f"""
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {HEAVY!r}:
            raise RuntimeError(f"the static path imports {{name}}")

sys.meta_path.insert(0, Refuse())
from vllm_lint.cli.main import main
main(prog_name="vllm-lint")
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", RUN_WITHOUT_HEAVY, *arguments], cwd=ROOT, check=False, capture_output=True, text=True
    )


def test_the_import_guard_works() -> None:
    guard = RUN_WITHOUT_HEAVY.replace("from vllm_lint.cli.main import main", "import torch")
    done = subprocess.run([sys.executable, "-c", guard], check=False, capture_output=True, text=True)
    assert "the static path imports torch" in done.stderr


@pytest.mark.parametrize("output_format", ["full", "concise", "json", "jsonl", "github", "sarif"])
def test_check_imports_nothing_heavy(output_format: str) -> None:
    done = run("check", "--no-cache", "--jobs", "1", "--output-format", output_format, "examples/tiny_model")
    assert done.returncode == 1, done.stderr
    assert "VL201" in done.stdout
    assert not done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        ["--help"],
        ["rules"],
        ["explain", "VL201"],
        ["debug", "examples"],
        ["trace", "tests/data/traces/h200-engine-llama.log.xz", "examples", "--no-cache"],
    ],
)
def test_other_commands_import_nothing_heavy(arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 0, done.stderr


def test_version_imports_only_what_it_needs() -> None:
    code = "import sys; from vllm_lint.cli.main import main; main(['--version'], standalone_mode=False)"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print(*sys.modules)"], check=True, capture_output=True, text=True
    )
    loaded = set(done.stdout.split())
    assert not loaded & {
        "libcst",
        "msgspec",
        "pathspec",
        "vllm_lint.analyzer.engine",
        "vllm_lint.rules.catalogue",
    }
