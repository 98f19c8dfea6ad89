"""Nothing of a run is left, whatever ends it: no process, no file outside its folders, no connection."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.verify.conftest import Verify
from vllm_lint.runtime_verifier.jobs import Job
from vllm_lint.runtime_verifier.outcomes import EagerFailed, TimedOut
from vllm_lint.runtime_verifier.pool import Pool, WorkerError

pytestmark = pytest.mark.torch


def is_gone(pid: int) -> bool:
    """Whether no such process runs; a zombie that nobody has waited for yet is gone."""
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


def wait_until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def starts_a_daemon(pids: Path, then: str) -> str:
    """A forward that starts a process in a session of its own."""
    return f"""
    import os, subprocess, time
    def M(x):
        child = subprocess.Popen(["sleep", "600"], start_new_session=True)
        with open({str(pids)!r}, "a") as file:
            file.write(f"{{os.getpid()}} {{child.pid}}\\n")
        {then}
        return x
    """


def test_a_process_in_a_session_of_its_own_ends_with_a_timeout(verify: Verify, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    assert verify(starts_a_daemon(pids, "time.sleep(600)"), timeout=8.0).outcomes == (TimedOut(8.0),)
    assert all(is_gone(int(pid)) for pid in pids.read_text().split())


def test_a_process_in_a_session_of_its_own_ends_with_a_result(verify: Verify, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    verify(starts_a_daemon(pids, "pass"))
    wait_until(lambda: all(is_gone(int(pid)) for pid in pids.read_text().split()), 5)


def test_a_forked_process_that_keeps_the_pipe_does_not_keep_the_result(verify: Verify) -> None:
    source = """
    import os, time
    def M(x):
        if os.fork() == 0:
            time.sleep(600)
        return x
    """
    started = time.monotonic()
    verify(source, timeout=120)
    assert time.monotonic() - started < 60


def test_the_end_of_the_server_ends_its_jobs_and_is_said(tmp_path: Path) -> None:
    model, pids = tmp_path / "model.py", tmp_path / "pids"
    model.write_text(
        f"import os, time\ndef M(x):\n    open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{os.getppid()}} ')\n"
        "    time.sleep(600)\n"
    )
    with Pool(1) as pool:
        first, second = (pool.submit(Job(path=str(model), target="M", standins=True, timeout=300)) for _ in range(2))
        wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
        job, server = map(int, pids.read_text().split())
        os.kill(server, signal.SIGKILL)
        for future in (first, second):
            assert isinstance(future.exception(30), WorkerError)
        wait_until(lambda: is_gone(job))
        assert isinstance(pool.submit(Job(path=str(model), target="M")).exception(30), WorkerError)


def test_results_come_as_they_are_ready(pool: Pool, tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(
        "import time\ndef slow(x):\n    time.sleep(4)\n    return x * 2\n\ndef fast(x):\n    return x * 2\n"
    )
    jobs = [Job(path=str(path), target=name, standins=True, sizes=()) for name in ("slow", "fast")]
    assert [job.target for job, _ in pool.completed(jobs)] == ["fast", "slow"]


@pytest.mark.parametrize("end", ["SIGTERM", "SIGHUP", "closed pipe"])
def test_no_process_and_no_folder_outlives_the_program(tmp_path: Path, end: str) -> None:
    model, pids, scratch = tmp_path / "model.py", tmp_path / "pids", tmp_path / "scratch"
    scratch.mkdir()
    model.write_text(
        f"import os, time\ndef slow(x):\n    time.sleep(600)\ndef M(x):\n"
        f"    open({str(pids)!r}, 'w').write(f'{{os.getpid()}} {{os.getppid()}} ')\n    return x\n"
    )
    script = tmp_path / "main.py"
    script.write_text(
        "from vllm_lint.runtime_verifier.jobs import Job\nfrom vllm_lint.runtime_verifier.pool import Pool\n"
        f"with Pool(2) as pool:\n    pool.submit(Job(path={str(model)!r}, target='slow', standins=True, timeout=300))\n"
        f"    while True:\n        print(pool.run(Job(path={str(model)!r}, target='M', standins=True)), flush=True)\n"
    )
    program = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(scratch)},
        # nohup has it ignored, and that is respected
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # noqa: PLW1509  one thread here
    )
    assert program.stdout is not None
    assert program.stdout.readline()
    if end == "closed pipe":
        program.stdout.close()
    else:
        program.send_signal(signal.Signals[end])
    try:
        program.wait(240)
    finally:
        program.kill()
        program.stdout.close()
    for pid in pids.read_text().split():
        wait_until(lambda pid=pid: is_gone(int(pid)))  # type: ignore[misc]
    wait_until(lambda: not list(scratch.iterdir()), 20)


def test_a_target_reaches_no_other_machine(verify: Verify) -> None:
    source = "import socket\ndef M(x):\n    socket.create_connection(('192.0.2.1', 80), timeout=3)\n    return x\n"
    (outcome,) = verify(source).outcomes
    assert isinstance(outcome, EagerFailed)
    assert "a target is verified without network, so 192.0.2.1 cannot be reached" in outcome.message


#: Notes every connection, and every file that is opened to be written, of all Python processes.
WATCH = """
import os, sys
log = os.open(os.environ["WATCHED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def watch(event, args):
    if event == "open" and isinstance(args[0], str):
        if args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            os.write(log, f"write {os.path.abspath(args[0])}\\n".encode())
    elif event in ("socket.connect", "socket.getaddrinfo"):
        os.write(log, f"{event} {args[1] if event == 'socket.connect' else args[0]}\\n".encode())

sys.addaudithook(watch)
"""
MODELS = {
    "module": "Job(path='model.py', target='M', backends=('inductor',), folder=OUT, standins=True, timeout=300)",
    "transformers": "Job(provider='transformers', target='llama', trace_size=16, sizes=(1,), folder=OUT, timeout=300)",
    "vllm": "Job(provider='vllm', target='LlamaForCausalLM', trace_size=16, sizes=(1,), folder=OUT, timeout=300)",
}


@pytest.mark.parametrize(
    "provider",
    [
        "module",
        pytest.param("transformers", marks=pytest.mark.vllm),
        pytest.param("vllm", marks=[pytest.mark.vllm, pytest.mark.slow]),
    ],
)
def test_nothing_is_written_elsewhere_and_nothing_is_sent(tmp_path: Path, provider: str) -> None:
    work, home, out, scratch, hooks = (tmp_path / n for n in ("work", "home", "out", "scratch", "hooks"))
    for folder in (work, home, scratch, hooks):
        folder.mkdir()
    (hooks / "sitecustomize.py").write_text(WATCH)
    (work / "model.py").write_text("def M(x):\n    return x.cumsum(0) * 2\n")
    script = f"""
        from vllm_lint.runtime_verifier.jobs import Job
        from vllm_lint.runtime_verifier.pool import Pool
        OUT = {str(out)!r}
        with Pool(1) as pool:
            result = pool.run({MODELS[provider]})
        assert all(part.replayed for part in result.parts) and result.parts, result
    """
    log = tmp_path / "log"
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "HF_", "VLLM_", "TORCH"))}
    search = os.pathsep.join(filter(None, (str(hooks), os.environ.get("PYTHONPATH"))))
    environment = {"HOME": str(home), "TMPDIR": str(scratch), "WATCHED": str(log), "PYTHONPATH": search}
    command = [sys.executable, "-c", textwrap.dedent(script)]
    subprocess.run(command, cwd=work, env={**inherited, **environment}, check=True)
    assert [path.name for path in work.iterdir()] == ["model.py"]
    assert not list(home.rglob("*"))
    assert not list(scratch.iterdir())
    noted = [line.split(" ", 1) for line in log.read_text().splitlines()]
    allowed = (str(out), str(scratch), "/dev/", "/proc/")
    assert [what for kind, what in noted if kind == "write" and not what.startswith(allowed)] == []
    assert any(what.startswith(str(out)) for kind, what in noted if kind == "write"), "the hook noted nothing"
    elsewhere = [what for kind, what in noted if kind != "write" and not ("127.0.0.1" in what or "::1" in what)]
    assert elsewhere == []
