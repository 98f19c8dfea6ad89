"""Interpreters that lack something, or are none: one line that says what to type."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest

from vllm_lint.runtime_verifier import launch, pool, versions
from vllm_lint.runtime_verifier.jobs import Device, Hello
from vllm_lint.runtime_verifier.pool import Pool, VerifierUnavailable, architectures


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter with nothing installed, neither vllm-lint nor msgspec."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, symlinks=True)
    return str(folder / "bin" / "python")


@pytest.fixture
def torch_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that `import torch` executes in processes started by the test."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    return tmp_path / "torch.py"


def refusal(python: str = sys.executable) -> str:
    with pytest.raises(VerifierUnavailable) as caught:
        Pool(1, python)
    return str(caught.value)


def test_no_torch(bare: str) -> None:
    assert refusal(bare) == (
        f"cannot verify with {bare}: No module named 'torch'; run: {bare} -m pip install 'torch>=2.9'"
    )


def test_another_interpreter_sees_this_package_and_no_other(bare: str, torch_is: Path) -> None:
    torch_is.write_text(
        "import importlib.util\nfind = importlib.util.find_spec\n"
        "raise ImportError(str([n for n in ('msgspec', 'click', 'pathspec', 'pytest') if find(n)]))\n"
    )
    assert "['msgspec']" in refusal(bare)


def test_no_msgspec_that_this_version_of_python_could_load(bare: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "abi", lambda: "cpython-399 another")
    assert refusal(bare) == f"cannot verify with {bare}: it has no msgspec; run: {bare} -m pip install msgspec"


def test_an_old_torch(torch_is: Path) -> None:
    torch_is.write_text("__version__ = '2.8.1'\n")
    assert refusal().endswith(
        f": its torch 2.8.1 is older than 2.9; run: {sys.executable} -m pip install --upgrade 'torch>=2.9'"
    )


def test_a_torch_that_does_not_load(torch_is: Path) -> None:
    torch_is.write_text("raise OSError('libgomp.so.1: cannot open shared object file')\n")
    assert ": libgomp.so.1: cannot open shared object file; run: pip install 'vllm-lint[verify]'" in refusal()


def test_a_torch_that_cannot_compile(torch_is: Path) -> None:
    torch_is.write_text("__version__ = '2.13.0'\n")
    said = refusal()
    assert ": its torch 2.13.0 cannot compile: " in said
    assert said.endswith(f"; run: {sys.executable} -m pip install --force-reinstall torch")


def test_an_old_python(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 8, 2))
    monkeypatch.setattr(sys, "argv", ["start", "fallback", "abi", "module"])
    with pytest.raises(SystemExit):
        launch.main()
    assert json.loads(capsys.readouterr().out) == {
        "missing": "it is Python 3.8.2, and 3.10 is the oldest that works",
        "cure": "",
    }


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo hello", "hello"),
        ("echo 'no such option' >&2; exit 3", "no such option"),
        ("exit 3", "it ended at once with status 3"),
    ],
)
def test_what_is_no_python(tmp_path: Path, script: str, said: str) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\n{script}\n")
    assert refusal(str(program)) == f"cannot start {program}: Permission denied"
    program.chmod(0o755)
    assert refusal(str(program)) == f"cannot verify with {program}: it does not run Python programs: {said}"


@pytest.mark.parametrize(
    ("hello", "device", "message"),
    [
        (Hello(torch="2.13.0"), "auto", "it has no vLLM; run: python -m pip install 'vllm>=0.24'"),
        (
            Hello(torch="2.13.0+cpu", vllm="0.30.0"),
            "cuda",
            "its torch 2.13.0+cpu is built without CUDA; run: python -m pip install --force-reinstall torch",
        ),
        (Hello(torch="2.13.0", vllm="0.30.0"), "cuda", "its torch 2.13.0 finds no GPU; run: nvidia-smi"),
    ],
)
def test_no_vllm_and_no_gpu_where_they_are_needed(hello: Hello, device: Device, message: str) -> None:
    with pytest.raises(VerifierUnavailable) as caught:
        pool._require(hello, "python", device, needs_vllm=True)
    assert str(caught.value) == f"cannot verify with python: {message}"


def test_no_gpu_and_no_vllm_where_they_are_not_needed() -> None:
    pool._require(Hello(torch="2.13.0"), "python", "auto", needs_vllm=False)


def test_no_vllm_to_list_the_architectures_of(bare: str) -> None:
    with pytest.raises(VerifierUnavailable) as caught:
        architectures(bare)
    assert str(caught.value).startswith(f"cannot list vLLM's architectures with {bare}: ModuleNotFoundError: No module")
    assert str(caught.value).endswith(f"; run: {bare} -m pip install 'vllm>=0.24'")


@pytest.mark.parametrize(
    ("torch", "vllm", "expected"),
    [
        ("2.9.0", "", []),
        ("2.15.1+cu130", "0.33.0", []),
        ("2.16.0", "", ["torch 2.16.0 is newer than the versions that vllm-lint was tested with (2.9 to 2.15)"]),
        ("2.13.0", "0.23.1", ["vLLM 0.23.1 is not among the versions that vllm-lint was tested with (0.24 to 0.33)"]),
        (
            "2.13.0",
            "0.1.dev7",
            ["vLLM 0.1.dev7 is not among the versions that vllm-lint was tested with (0.24 to 0.33)"],
        ),
    ],
)
def test_versions_that_nobody_tried_are_noted(torch: str, vllm: str, expected: list[str]) -> None:
    assert list(versions.notes(torch, vllm)) == expected


@pytest.mark.torch
def test_the_versions_here_work(tmp_path: Path) -> None:
    with Pool(1, device="cpu") as started:
        assert not versions.is_too_old(started.torch)
        folder = started._folder
        assert folder.is_dir()
    assert not folder.exists()
    assert not list(tmp_path.iterdir())


def test_ctrl_c_while_torch_is_imported_leaves_nothing(tmp_path: Path, torch_is: Path) -> None:
    torch_is.write_text(
        f"import os, time\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)\n"
    )
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    program = subprocess.Popen(
        [sys.executable, "-c", "from vllm_lint.runtime_verifier.pool import Pool\nPool(1)"],
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(scratch)},
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    program.send_signal(signal.SIGINT)
    assert program.wait(20) != 0
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text()}").exists()
    assert not list(scratch.iterdir())
