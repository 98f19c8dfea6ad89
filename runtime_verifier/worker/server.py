"""The process that imports torch once and forks a child for every job.

Reads requests as JSON lines from standard input, writes replies as JSON lines, and ends with its standard input: no
child outlives it. Started by `pool.Pool` with the name of the folder that it is to remove at the end.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import resource
import selectors
import shutil
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

import msgspec

from vllm_lint.runtime_verifier import versions
from vllm_lint.runtime_verifier.jobs import Hello, Job, Reply, Request
from vllm_lint.runtime_verifier.outcomes import Crashed, Outcome, Result, TimedOut, line_of
from vllm_lint.runtime_verifier.worker import network

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # of Linux


@dataclass
class _Child:
    pid: int
    request: Request
    pipe: int
    deadline: float
    received: bytes = b""


class _Server:
    def __init__(self, replies: int) -> None:
        self._replies = replies
        self._selector = selectors.DefaultSelector()
        self._children: dict[int, _Child] = {}
        self._inductor_warm = False
        self._vllm_warm = False
        self._transformers_warm = False

    def serve(self) -> None:
        _control_process(_PR_SET_CHILD_SUBREAPER, 1)
        self._selector.register(0, selectors.EVENT_READ)
        pending = b""
        try:
            while True:
                for key, _ in self._selector.select(self._patience()):
                    if key.fd != 0:
                        self._receive(self._children[key.fd])
                        continue
                    data = os.read(0, 1 << 16)
                    if not data:
                        return
                    *lines, pending = (pending + data).split(b"\n")
                    for line in lines:
                        self._start(msgspec.json.decode(line, type=Request))
                self._end_late()
        finally:
            for child in list(self._children.values()):
                self._forget(child)

    def send(self, message: Reply | Hello) -> None:
        data = msgspec.json.encode(message) + b"\n"
        while data:
            data = data[os.write(self._replies, data) :]

    def _patience(self) -> float | None:
        deadlines = [c.deadline for c in self._children.values()]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _start(self, request: Request) -> None:
        if "inductor" in request.job.backends and not self._inductor_warm:
            from vllm_lint.runtime_verifier.worker.warmup import warm_up_inductor

            warm_up_inductor()
            self._inductor_warm = True
        if request.job.provider == "vllm" and not self._vllm_warm:
            from vllm_lint.runtime_verifier.worker.warmup import warm_up_vllm

            warm_up_vllm()
            self._vllm_warm = True
        if request.job.provider == "transformers" and not self._transformers_warm:
            from vllm_lint.runtime_verifier.worker.warmup import warm_up_transformers

            warm_up_transformers()
            self._transformers_warm = True
        reader, writer = os.pipe()
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            os.close(self._replies)
            _work(request, writer, server)
        os.close(writer)
        child = _Child(pid, request, reader, time.monotonic() + request.job.timeout)
        self._children[reader] = child
        self._selector.register(reader, selectors.EVENT_READ)

    def _receive(self, child: _Child) -> None:
        data = os.read(child.pipe, 1 << 16)
        child.received += data
        # What the target started may keep the pipe open, so its end is not the end of a reply.
        if data and not data.endswith(b"\n"):
            return
        status = self._forget(child)
        try:
            reply = msgspec.json.decode(child.received, type=Reply)
        except msgspec.DecodeError:  # it ended before it had said everything
            self._answer(child, Crashed(status))
        else:
            self.send(reply)

    def _end_late(self) -> None:
        now = time.monotonic()
        for child in list(self._children.values()):
            if child.deadline <= now:
                self._forget(child)
                self._answer(child, TimedOut(child.request.job.timeout))

    def _forget(self, child: _Child) -> int:
        """End the process and everything it started; return its exit status."""
        _kill(child.pid)
        self._selector.unregister(child.pipe)
        os.close(child.pipe)
        del self._children[child.pipe]
        _, status = os.waitpid(child.pid, 0)
        self._end_orphans()
        return os.waitstatus_to_exitcode(status)

    def _end_orphans(self) -> None:
        """End what left its group before its parent ended: it is a child of this process now."""
        jobs = {child.pid for child in self._children.values()}
        while orphans := _children_here() - jobs:
            for pid in orphans:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)

    def _answer(self, child: _Child, outcome: Outcome) -> None:
        self.send(Reply(child.request.number, Result(child.request.job.target, whole=(outcome,))))


def _kill(pid: int) -> None:
    for end in (os.killpg, os.kill):  # the group may not exist yet, or no longer
        try:
            end(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _children_here() -> set[int]:
    """The processes whose parent this one is, as far as the system tells."""
    try:
        return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}
    except OSError:  # only Linux has it
        return set()


def _control_process(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value)


def _work(request: Request, writer: int, server: int) -> None:
    """In the child: do the job and end without running the server's clean-up."""
    status = 1
    try:
        os.setsid()
        _control_process(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != server:  # it ended before that was set
            return
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):  # what a model prints is no evidence
            os.dup2(nowhere, stream)
        job = request.job
        used = _mapped()
        resource.setrlimit(resource.RLIMIT_DATA, (used + job.memory, used + job.memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash is an outcome, and no file beside the user's
        network.refuse()
        with os.fdopen(writer, "wb") as out:
            out.write(msgspec.json.encode(_answer(request.number, job)) + b"\n")
        status = 0
    finally:
        os._exit(status)


def _mapped() -> int:
    """Bytes of private memory that this process has mapped, as RLIMIT_DATA counts it; the peak in use elsewhere."""
    try:
        sizes = Path("/proc/self/statm").read_text().split()
    except OSError:  # only Linux has it
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return int(sizes[5]) * resource.getpagesize()


def _answer(number: int, job: Job) -> Reply:
    from vllm_lint.runtime_verifier.worker.work import run

    try:
        return Reply(number, run(job))
    except Exception:  # noqa: BLE001 - a defect of ours or of torch: reported as such, never as a verdict
        return Reply(number, failure=traceback.format_exc())


def main() -> None:
    """Serve until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent closes our input
    replies = os.dup(1)
    os.dup2(2, 1)  # what user code prints must not mix with replies
    server = _Server(replies)
    try:
        server.send(_hello())
        server.serve()
    finally:
        shutil.rmtree(sys.argv[1], ignore_errors=True)


def _hello() -> Hello:
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"  # a process that has used a GPU cannot fork others that do
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a library that it is linked with is missing
        return Hello(missing=str(error).splitlines()[0], cure=versions.INSTALL_TORCH)
    version = str(torch.__version__)
    if versions.is_too_old(version):
        return Hello(missing=f"its torch {version} is older than 2.9", cure=versions.UPDATE_TORCH)
    try:
        from vllm_lint.runtime_verifier.worker.warmup import warm_up

        warm_up()
    except Exception as error:  # noqa: BLE001  a torch that lacks what is asked of it can fail in any way
        return Hello(missing=f"its torch {version} cannot compile: {line_of(error)}", cure=versions.REPLACE_TORCH)
    return Hello(version, _vllm_version(), "cuda" if torch.cuda.is_available() else "")


def _vllm_version() -> str:
    """What vLLM says of itself, without importing it, which takes seconds; empty without vLLM."""
    spec = importlib.util.find_spec("vllm")
    if spec is None or spec.origin is None:
        return ""
    try:
        text = Path(spec.origin).with_name("_version.py").read_text(encoding="utf-8")
    except OSError:  # a source tree that was not built
        return "of an unknown version"
    found = re.search(r"^__version__.*?= *'([^']+)'", text, re.MULTILINE)
    return found[1] if found else "of an unknown version"
