"""`verify` and `check --verify` as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = """
import torch
from torch import nn
from vllm.compilation.decorators import support_torch_compile


@support_torch_compile
class Wrong(nn.Module):
    def forward(self, x: torch.Tensor):
        if x.shape[0] % 32 == 0:
            return x * 2
        return x


@support_torch_compile
class Unbuildable(nn.Module):
    def __init__(self, config):
        super().__init__()

    def forward(self, x: torch.Tensor):
        if x.shape[0] > 64:
            return x * 2
        return x


class Plain(nn.Module):
    def forward(self, x):
        return x * 2
"""
HARNESS = """
import torch
from model import Plain, Wrong

def good():
    return Plain(), {"x": torch.randn(5, 4)}

def bad():
    return Wrong(), {"x": torch.randn(5, 4)}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.py").write_text(SOURCE)
    (tmp_path / "harness.py").write_text(HARNESS)
    return tmp_path


def program(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vllm_lint.cli", *arguments, "--no-cache"]
    return subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)


def findings(done: subprocess.CompletedProcess[str]) -> list[tuple[str, int, str]]:
    return [(f["code"], f["line"], f["verdict"]) for f in json.loads(done.stdout)["findings"]]


@pytest.mark.torch
def test_verify_reports_what_a_capture_shows(folder: Path) -> None:
    traces = folder / "traces"
    options = ("--trace-dir", str(traces), "--output-format", "json", "--jobs", "1", "--replay", "eager,aot_eager")
    done = program(folder, "verify", "model.py:Wrong", *options)
    assert findings(done) == [("VL201", 10, "confirmed")]
    assert done.returncode == 1
    assert done.stderr == "vllm-lint: 1 target, 1 capture, 10 replays on cpu\n"
    assert sorted(path.name for path in (traces / "0-Wrong").iterdir()) == ["0-Wrong.backed.log", "result.json"]


@pytest.mark.torch
def test_harnesses_of_the_configuration_are_verified(folder: Path) -> None:
    settings = '[verify]\nharness = ["harness:good", "harness.py:good"]\ntimeout = 100\n'
    (folder / "vllm-lint.toml").write_text(settings)
    done = program(folder, "verify", "--output-format", "concise")
    assert (done.returncode, done.stderr) == (0, "vllm-lint: 2 targets, 2 captures, 20 replays on cpu\n")


@pytest.mark.torch
@pytest.mark.parametrize(("fail_on", "status"), [("confirmed", 1), ("likely", 1), ("any", 1)])
def test_check_verify_gives_every_finding_a_verdict(folder: Path, fail_on: str, status: int) -> None:
    done = program(folder, "check", "--verify", "model.py", "--output-format", "json", "--fail-on", fail_on)
    assert findings(done) == [("VL201", 10, "confirmed"), ("VL201", 21, "not run")]
    assert done.returncode == status
    (reason,) = json.loads(done.stdout)["findings"][1]["evidence"]
    assert reason.startswith("Unbuildable: nothing is known of the argument `config` of Unbuildable; write a function")


OPERATORS = """
import torch
from torch import nn
from vllm.compilation.decorators import support_torch_compile


def fake(x: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)


@torch.library.custom_op("own::scaled", mutates_args=())
def scaled(x: torch.Tensor) -> torch.Tensor:
    x[:, 0] = 2
    return x * 3


@torch.library.custom_op("own::unused", mutates_args=())
def unused(x: torch.Tensor) -> torch.Tensor:
    return x


scaled.register_fake(fake)
unused.register_fake(fake)


@support_torch_compile
class Model(nn.Module):
    def forward(self, x: torch.Tensor):
        return scaled(x + 1)
"""


@pytest.mark.torch
def test_an_operator_that_is_called_confirms_what_is_said_of_its_implementation(tmp_path: Path) -> None:
    """The run sees it at the call, the rule at the statement that writes."""
    (tmp_path / "model.py").write_text(OPERATORS)
    done = program(tmp_path, "check", "--preview", "--verify", "model.py", "--output-format", "json")
    assert findings(done) == [("VL304", 13, "confirmed"), ("VL305", 19, "not run")]
    (shown,) = json.loads(done.stdout)["findings"][0]["evidence"]
    assert "calling `own::scaled` showed undeclared-mutation: tensor argument 1" in shown


@pytest.mark.torch
def test_what_was_not_verified_fails_only_where_that_is_asked_for(folder: Path) -> None:
    source = SOURCE.replace("x.shape[0] % 32 == 0", "self.training")
    (folder / "model.py").write_text(source)
    for fail_on, status in (("confirmed", 0), ("likely", 1), ("any", 1)):
        done = program(folder, "check", "--verify", "model.py", "--output-format", "json", "--fail-on", fail_on)
        assert (findings(done), done.returncode) == ([("VL201", 21, "not run")], status)


@pytest.mark.torch
def test_a_target_that_cannot_be_verified_is_an_error(folder: Path) -> None:
    done = program(folder, "verify", "model.py:Unbuildable", "--output-format", "concise")
    assert done.returncode == 2
    assert "error: not verified: nothing is known of the argument `config` of Unbuildable" in done.stderr


@pytest.mark.vllm
@pytest.mark.slow
def test_a_file_of_vllms_is_read_in_place_of_the_installed_one(tmp_path: Path) -> None:
    from importlib.util import find_spec

    spec = find_spec("vllm")
    assert spec is not None and spec.origin is not None
    inside = Path("vllm", "model_executor", "models", "llama.py")
    text = Path(spec.origin).parent.parent.joinpath(inside).read_text()
    planted = "        aux_hidden_states: list[torch.Tensor] = []\n"
    assert text.count(planted) == 1
    copy = tmp_path / inside
    copy.parent.mkdir(parents=True)
    branch = "        if positions.size(0) % 128 == 0:\n            hidden_states = hidden_states * 2\n"
    copy.write_text(text.replace(planted, planted + branch))
    done = program(tmp_path, "check", "--verify", "vllm", "--output-format", "json", "--jobs", "1")
    line = 2 + text[: text.index(planted)].count("\n")
    assert ("VL201", line, "confirmed") in findings(done)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify"], "nothing to verify: name a target, an architecture with --arch, or --all"),
        (
            ["verify", "model.py"],
            "'model.py' is no target: expected FILE.py:NAME, package.module:NAME, or a folder with",
        ),
        (["verify", "none.py:M"], "cannot verify none.py:M: there is no file none.py"),
        (["verify", "model.py:Wrong", "--shape", "x"], "--shape: 'x' is no shape: expected NAME=SIZE,SIZE or"),
        (["verify", "model.py:Wrong", "--modes", "back"], "'back' is not one of backed, oblivious, strict"),
        (["verify", "model.py:Wrong", "--replay", "x"], "'x' is not one of eager, aot_eager, inductor"),
        (["verify", "--harness", "make_model"], "harness 'make_model' has no function: expected package.module:func"),
        (
            ["verify", "model.py:Wrong", "--python", "/none/python"],
            "cannot start /none/python: No such file or directory",
        ),
        (["check", "--timeout", "3", "model.py"], "--timeout goes with --verify"),
        (["check", "--verify", "-"], "--verify needs files, and cannot verify the path -"),
    ],
)
def test_what_is_wrong_is_one_line(folder: Path, arguments: list[str], message: str) -> None:
    done = program(folder, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert message in line


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("[verify]\nharnes = []", "vllm-lint.toml:2: unknown setting 'verify.harnes', did you mean 'harness'?"),
        ("[verify]\ntimeout = 'long'", "vllm-lint.toml:2: timeout: expected float, got str"),
        ("verify = 3", "vllm-lint.toml:1: verify: expected object, got int"),
    ],
)
def test_settings_are_checked(folder: Path, settings: str, message: str) -> None:
    (folder / "vllm-lint.toml").write_text(settings)
    done = program(folder, "verify", "model.py:Wrong")
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
