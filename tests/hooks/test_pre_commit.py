"""The hook of `.pre-commit-hooks.yaml`, installed and run by the real pre-commit program."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

pytestmark = pytest.mark.slow

BAD = """\
import torch
from torch import nn
from vllm.compilation.decorators import support_torch_compile


@support_torch_compile
class Model(nn.Module):
    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        if hidden.size(0) % 128 == 0:
            return hidden.abs()
        return hidden
"""
GOOD = BAD.replace("hidden.size(0) % 128 == 0", "self.training")


@dataclass(frozen=True)
class Repository:
    """A git repository whose user has a name, and nobody's configuration."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def git(self, *arguments: str, status: int = 0) -> str:
        """What git printed; fails unless it exits with `status`."""
        roles = ("GIT_AUTHOR", "GIT_COMMITTER")
        names = {f"{role}_NAME": "Tester" for role in roles} | {f"{role}_EMAIL": "tester@example.com" for role in roles}
        isolated = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            env={**os.environ, **names, **isolated, **self.environment},
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == status, done.stdout
        return done.stdout

    def commit(self, name: str, text: str, status: int = 0) -> str:
        """Write a file and commit everything."""
        (self.folder / name).write_text(text)
        self.git("add", "--all")
        return self.git("commit", "--message", name, status=status)

    def commits(self) -> int:
        return int(self.git("rev-list", "--all", "--count"))


@pytest.fixture(scope="module")
def hook_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This checkout as it stands, as a repository of one commit, tagged v0."""
    repository = Repository(tmp_path_factory.mktemp("hooks"))
    listed = Repository(ROOT).git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            target = repository.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
    repository.git("init", "--quiet")
    repository.git("add", "--all", "--force")
    repository.git("commit", "--quiet", "--message", "Everything")
    repository.git("tag", "v0")
    return repository.folder


@pytest.fixture(scope="module")
def project(hook_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A new repository that has the hook installed."""
    home = tmp_path_factory.mktemp("pre-commit")
    project = Repository(tmp_path_factory.mktemp("project"), {"PRE_COMMIT_HOME": str(home)})
    (project.folder / ".pre-commit-config.yaml").write_text(
        f"repos:\n  - repo: {hook_repository}\n    rev: v0\n    hooks:\n      - id: vllm-lint\n"
        "      - id: vllm-lint-verify\n"
    )
    project.git("init", "--quiet")
    subprocess.run([sys.executable, "-m", "pre_commit", "install"], cwd=project.folder, check=True, capture_output=True)
    return project


def test_hook_stops_a_bad_model_and_passes_a_good_one(project: Repository) -> None:
    said = project.commit("model.py", BAD, status=1)
    assert "VL201" in said
    assert "model.py:9" in said
    assert project.commits() == 0

    project.commit("model.py", GOOD)
    assert project.commits() == 1


def test_hook_is_not_run_without_python_files(project: Repository) -> None:
    said = project.commit("notes.md", BAD)
    assert "(no files to check)" in said


def test_hook_leaves_out_what_is_excluded(project: Repository) -> None:
    (project.folder / "vllm-lint.toml").write_text('exclude = ["third_party/"]\n')
    (project.folder / "third_party").mkdir()
    before = project.commits()
    project.commit("third_party/model.py", BAD)
    assert project.commits() == before + 1
    said = project.commit("other.py", BAD, status=1)
    assert "other.py:9" in said
    assert "third_party" not in said


def test_manual_hook_verifies_with_the_configured_interpreter(project: Repository) -> None:
    (project.folder / "vllm-lint.toml").write_text(f"[verify]\npython = {sys.executable!r}\n")
    model = project.folder / "wrong.py"
    model.write_text(BAD)
    project.git("add", "wrong.py")
    run = ["run", "--hook-stage", "manual", "vllm-lint-verify", "--files", "wrong.py"]
    command = [sys.executable, "-m", "pre_commit", *run]
    environment = {**os.environ, **project.environment}
    done = subprocess.run(command, cwd=project.folder, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout
    if find_spec("torch") is None:
        assert f"cannot verify with {sys.executable}: No module named 'torch'" in done.stdout
    else:
        assert "wrong.py:9" in done.stdout
        assert "verdict: confirmed" in done.stdout
