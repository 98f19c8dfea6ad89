"""The capture engine itself, on modules written by the tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vllm_lint.runtime_verifier.jobs import Job
from vllm_lint.runtime_verifier.outcomes import (
    CaptureFailed,
    CheckLost,
    Crashed,
    DataDependent,
    EagerFailed,
    GraphBreak,
    GraphSync,
    OutOfMemory,
    RangeViolated,
    Result,
    RuntimeAssert,
    ShapeGuard,
    Specialized,
    TimedOut,
    WrongAnswer,
)
from vllm_lint.runtime_verifier.pool import Pool, VerifierUnavailable

pytestmark = pytest.mark.torch

HEADER = """
import ctypes, os, subprocess, time
import torch
from torch import nn
from vllm.compilation.decorators import support_torch_compile
"""
Capture = Callable[..., Result]


@pytest.fixture
def capture(pool: Pool, tmp_path: Path) -> Capture:
    """Captures a class M whose forward(self, x) has the given body."""

    def run(body: str, init: str = "pass", **options: Any) -> Result:
        path = tmp_path / "model.py"
        text = textwrap.indent(textwrap.dedent(body).strip(), " " * 8)
        path.write_text(
            f"{HEADER}\n@support_torch_compile\nclass M(nn.Module):\n"
            f"    def __init__(self):\n        super().__init__()\n        {init}\n\n"
            f"    def forward(self, x: torch.Tensor):\n{text}\n"
        )
        return pool.run(Job(path=str(path), target="M", standins=True, **options))

    return run


def only(result: Result, kind: type) -> Any:
    found = [o for o in result.outcomes if isinstance(o, kind)]
    assert len(found) == 1, result.outcomes
    return found[0]


@pytest.mark.parametrize(
    ("condition", "expression", "wrong_at"),
    [
        ("x.size(0) % 128 == 0", "x.size(0) % 128 == 0", (1, 2, 3, 7, 127, 129, 1000)),
        ("x.size(0) > 64", "x.size(0) > 64", (1, 2, 3, 7)),
    ],
)
def test_the_silent_class(capture: Capture, condition: str, expression: str, wrong_at: tuple[int, ...]) -> None:
    """mark_dynamic, as vLLM calls it, accepts a guard that leaves two sizes; the strict range and unbacked do not."""
    result = capture(f"if {condition}:\n    return x * 2\nreturn x + 1", modes=("backed", "strict", "unbacked"))
    guard = only(result, ShapeGuard)
    assert guard.expression == expression
    assert (Path(guard.stack[-1].path).name, guard.stack[-1].function) == ("model.py", "forward")
    assert set(wrong_at) <= set(guard.fails_at)
    wrong = only(result, WrongAnswer)
    assert wrong.sizes == wrong_at
    assert wrong.max_difference > 1
    assert len(only(result, RangeViolated).guards) == 1
    assert only(result, DataDependent).place == guard.stack[-1]


def test_zero_one_specialization_leaves_no_guard_but_the_decision_unbacked_and_replay_show_it(capture: Capture) -> None:
    result = capture("return x * 2 if x.shape[0] == 1 else x", modes=("backed", "strict", "unbacked"))
    assert {type(o) for o in result.outcomes} == {WrongAnswer, DataDependent, ShapeGuard}
    (decided,) = (o for o in result.outcomes if isinstance(o, ShapeGuard))
    assert (decided.mode, decided.expression) == ("oblivious", "x.size(0) != 1")
    assert only(result, WrongAnswer).sizes == (1,)


def test_a_specialized_size_is_blamed_on_its_line(capture: Capture) -> None:
    found = only(capture("y = x * 2\nfor i in range(x.shape[0]):\n    y = y + i\nreturn y"), Specialized)
    assert found.source == "x.size(0)"
    assert Path(found.place.path).read_text().splitlines()[found.place.line - 1].strip().startswith("for i in range")


def test_sizes_of_two_inputs_found_equal_are_benign(pool: Pool, tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(
        f"{HEADER}\n@support_torch_compile\nclass M(nn.Module):\n"
        "    def forward(self, x: torch.Tensor, y: torch.Tensor):\n"
        "        assert x.shape == y.shape\n        return x + y\n"
    )
    assert pool.run(Job(path=str(path), target="M", standins=True)).outcomes == ()


def test_a_divisibility_guard_becomes_a_runtime_assert_when_unbacked(capture: Capture) -> None:
    result = capture("return x.view(-1, 4, 8).mean(1)", modes=("unbacked",))
    assert any(o.expression == "(8 * x.size(0)) % 32 == 0" for o in result.outcomes if isinstance(o, RuntimeAssert))


def test_the_pass_without_fullgraph_lists_every_break(capture: Capture) -> None:
    result = capture("x = x * 2\nprint(1)\nx = x + 1\nprint(2)\nreturn x", modes=("backed", "breaks"))
    breaks = [o for o in result.outcomes if isinstance(o, GraphBreak)]
    assert [(o.mode, o.id) for o in breaks] == [(mode, "GB0059") for mode in ("backed", "breaks", "breaks")]
    first, again, second = (o.place.line if o.place else 0 for o in breaks)
    assert first == again == second - 2


def test_host_syncs_in_a_clean_graph_are_found(capture: Capture) -> None:
    result = capture("n = x.sum().item()\nreturn x[x > 0].sum() * n + x.nonzero().sum() + x.to('cpu').to(x.device)")
    assert [o.operator for o in result.outcomes if isinstance(o, GraphSync)] == ["item", "getitem", "nonzero", "to"]


def test_a_move_to_where_another_tensor_is_is_no_sync(capture: Capture) -> None:
    assert capture("return x.to(x.device) + torch.ones(1).to(device=x.device, dtype=x.dtype)").outcomes == ()


def test_frozen_module_state_is_a_wrong_answer(capture: Capture) -> None:
    result = capture("self.calls += 1\nreturn x * self.calls", init="self.calls = 0")
    assert only(result, WrongAnswer).sizes == (1, 2, 3, 7, 127, 128, 129, 256, 512, 1000)


def test_state_that_is_only_written_is_compared_too(capture: Capture) -> None:
    wrong = only(capture("self.calls += 1\nreturn x * 2", init="self.calls = 0"), WrongAnswer)
    assert wrong.detail.startswith("state.calls: ")


def test_an_input_that_is_written_to_is_compared(capture: Capture) -> None:
    wrong = only(capture("x.mul_(2 if x.shape[0] > 64 else 3)\nreturn x.sum() * 0"), WrongAnswer)
    assert wrong.sizes == (1, 2, 3, 7)
    assert wrong.detail == "inputs.x: values differ"


def test_some_wrong_answers_only_show_behind_aotautograd(capture: Capture) -> None:
    result = capture("return x * ((x.shape[0] > 64) * 2 + 1)", backends=("eager", "aot_eager"))
    assert [(o.backend, o.sizes) for o in result.outcomes if isinstance(o, WrongAnswer)] == [
        ("aot_eager", (1, 2, 3, 7, 64))
    ]


def test_a_lost_check_is_not_a_wrong_answer(capture: Capture) -> None:
    result = capture("assert x.shape[0] <= 512\nreturn x * 2")
    assert only(result, CheckLost).sizes == (513, 1000)
    assert not any(isinstance(o, WrongAnswer) for o in result.outcomes)


def test_a_size_that_breaks_a_guard_is_replayed_even_if_nobody_asked(capture: Capture) -> None:
    result = capture("return x * 2 if x.shape[0] == 48 else x")
    assert only(result, WrongAnswer).sizes == (48,)


def test_eager_failure_is_no_verdict(capture: Capture) -> None:
    outcome = only(capture("return x @ x"), EagerFailed)
    assert outcome.stage == "forward"


def test_a_forward_without_tensors_is_no_capture(capture: Capture) -> None:
    assert isinstance(only(capture("return 1"), CaptureFailed), CaptureFailed)


def test_an_import_that_fails_is_an_outcome(pool: Pool, tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text("import nothing_of_that_name\n")
    outcome = only(pool.run(Job(path=str(path), target="M", standins=True)), EagerFailed)
    assert outcome.stage == "import"
    assert "nothing_of_that_name" in outcome.message


@pytest.mark.parametrize(("body", "status"), [("os._exit(3)", 3), ("ctypes.string_at(0)", -signal.SIGSEGV)])
def test_a_crash_is_an_outcome(capture: Capture, body: str, status: int) -> None:
    assert capture(body).outcomes == (Crashed(status),)


def test_a_hang_is_an_outcome_and_leaves_no_process(capture: Capture, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    body = f"""
    child = subprocess.Popen(["sleep", "600"])
    open({str(pids)!r}, "w").write(f"{{os.getpid()}} {{child.pid}}")
    time.sleep(600)
    """
    started = time.monotonic()
    assert capture(body, timeout=2.0).outcomes == (TimedOut(2.0),)
    assert time.monotonic() - started < 10
    assert all(is_gone(int(pid)) for pid in pids.read_text().split())


def test_the_memory_limit_is_an_outcome(capture: Capture) -> None:
    limit = 1 << 30
    assert capture("return x + torch.ones(1 << 30).sum()", memory=limit).outcomes == (OutOfMemory(limit),)


def test_a_crash_does_not_disturb_the_jobs_beside_it(pool: Pool, tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(
        f"{HEADER}\n@support_torch_compile\nclass Good(nn.Module):\n"
        "    def forward(self, x: torch.Tensor):\n        return x * 2\n\n"
        "@support_torch_compile\nclass Bad(nn.Module):\n"
        "    def forward(self, x: torch.Tensor):\n        os._exit(3)\n"
    )
    jobs = [Job(path=str(path), target=t, standins=True) for t in ("Bad", "Good") * 3]
    results = [f.result() for f in [pool.submit(j) for j in jobs]]
    assert [r.outcomes for r in results] == [(Crashed(3),), ()] * 3


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_no_process_and_no_folder_outlives_the_program(tmp_path: Path, end: signal.Signals) -> None:
    model = tmp_path / "model.py"
    pids = tmp_path / "pids"
    model.write_text(
        f"{HEADER}\n@support_torch_compile\nclass M(nn.Module):\n    def forward(self, x: torch.Tensor):\n"
        f"        open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{os.getppid()}}\\n')\n        time.sleep(600)\n"
    )
    script = tmp_path / "main.py"
    script.write_text(
        "from vllm_lint.runtime_verifier.jobs import Job\nfrom vllm_lint.runtime_verifier.pool import Pool\n"
        f"with Pool(1) as pool:\n    pool.run(Job(path={str(model)!r}, target='M', standins=True, timeout=300))\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    program = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.DEVNULL, env=environment)
    wait_until(lambda: pids.exists() and pids.read_text().endswith("\n"))
    program.send_signal(end)
    program.wait(30)
    for pid in pids.read_text().split():
        wait_until(lambda pid=pid: is_gone(int(pid)))  # type: ignore[misc]
    assert not list(tmp_path.glob("vllm-lint-*"))


def test_importing_the_verifier_imports_no_torch() -> None:
    code = (
        "import sys, vllm_lint.runtime_verifier.pool, vllm_lint.runtime_verifier.proofs\n"
        "assert not {'torch', 'vllm', 'sympy', 'numpy'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_torch_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError(\"No module named 'torch'\")\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(VerifierUnavailable) as caught:
        Pool(1)
    assert str(caught.value).endswith("No module named 'torch'; run: pip install 'vllm-lint[verify]'")


def test_a_python_that_does_not_exist_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(VerifierUnavailable, match=r"cannot start .*: No such file"):
        Pool(1, python=str(tmp_path / "python"))


def is_gone(pid: int) -> bool:
    """Whether no such process runs; a zombie that nobody has waited for yet is gone."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("body", "shapes_differ"),
    [
        ("return x[:64].sum(0)", True),
        ("return (x[: x.shape[0] // 4 * 4].reshape(-1, 4, 8) * 2).sum(1)", False),
    ],
)
def test_inductor_is_wrong_where_operations_have_other_shapes_than_the_graph_notes(
    capture: Capture, body: str, shapes_differ: bool
) -> None:
    (part,) = capture(body, backends=("eager", "inductor")).parts
    assert any(isinstance(o, ShapeGuard) and o.by_operation for o in part.outcomes)
    wrong = {n for o in part.outcomes if isinstance(o, WrongAnswer) and o.backend == "inductor" for n in o.sizes}
    assert bool(part.misshapen) == bool(wrong) == shapes_differ, part.outcomes


def test_sizes_that_eager_refuses_are_told_from_others(capture: Capture) -> None:
    (part,) = capture("return x + self.table[: x.shape[0]]", "self.table = nn.Buffer(torch.ones(300, 8))").parts
    (guard,) = [o for o in part.outcomes if isinstance(o, ShapeGuard)]
    assert guard.bound == 301
    assert guard.by_operation
    assert part.refused == (301, 512, 1000)
