"""The process that imports torch once and forks a child for every job.

Reads requests as JSON lines from standard input, writes replies as JSON lines, and ends with its standard input: no
child outlives it. Started by `pool.Pool` as `python -m vllm_lint.runtime_verifier.server CACHE`; the folder CACHE is
Inductor's, and is removed at the end.
"""

from __future__ import annotations

import ctypes
import os
import resource
import selectors
import shutil
import signal
import sys
import time
import traceback
from dataclasses import dataclass

import msgspec

from vllm_lint.runtime_verifier.jobs import Hello, Job, Reply, Request
from vllm_lint.runtime_verifier.outcomes import Crashed, Outcome, Result, TimedOut

_PR_SET_PDEATHSIG = 1


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

    def serve(self) -> None:
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
            from vllm_lint.runtime_verifier.warmup import warm_up_inductor

            warm_up_inductor()
            self._inductor_warm = True
        if request.job.provider == "vllm" and not self._vllm_warm:
            from vllm_lint.runtime_verifier.warmup import warm_up_vllm

            warm_up_vllm()
            self._vllm_warm = True
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            os.close(self._replies)
            _work(request, writer)
        os.close(writer)
        child = _Child(pid, request, reader, time.monotonic() + request.job.timeout)
        self._children[reader] = child
        self._selector.register(reader, selectors.EVENT_READ)

    def _receive(self, child: _Child) -> None:
        data = os.read(child.pipe, 1 << 16)
        if data:
            child.received += data
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
        """End the process and everything it started in its group; return its exit status."""
        _kill(child.pid)
        self._selector.unregister(child.pipe)
        os.close(child.pipe)
        del self._children[child.pipe]
        _, status = os.waitpid(child.pid, 0)
        return os.waitstatus_to_exitcode(status)

    def _answer(self, child: _Child, outcome: Outcome) -> None:
        self.send(Reply(child.request.number, Result(child.request.job.target, whole=(outcome,))))


def _kill(pid: int) -> None:
    for end in (os.killpg, os.kill):  # the group may not exist yet, or no longer
        try:
            end(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _work(request: Request, writer: int) -> None:
    """In the child: do the job and end without running the server's clean-up."""
    status = 1
    try:
        os.setsid()
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):  # what a model prints is no evidence
            os.dup2(nowhere, stream)
        job = request.job
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        resource.setrlimit(resource.RLIMIT_DATA, (used + job.memory, used + job.memory))
        with os.fdopen(writer, "wb") as out:
            out.write(msgspec.json.encode(_answer(request.number, job)))
        status = 0
    finally:
        os._exit(status)


def _answer(number: int, job: Job) -> Reply:
    from vllm_lint.runtime_verifier.worker import run

    try:
        return Reply(number, run(job))
    except Exception:  # noqa: BLE001 - a defect of ours or of torch: reported as such, never as a verdict
        return Reply(number, failure=traceback.format_exc())


def main() -> None:
    """Serve until standard input ends."""
    cache = sys.argv[1]
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # Inductor's pools do not survive the fork
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent closes our input
    replies = os.dup(1)
    os.dup2(2, 1)  # what user code prints must not mix with replies
    server = _Server(replies)
    try:
        import torch
    except ImportError as error:
        server.send(Hello(missing=f"{error}"))
        return
    from vllm_lint.runtime_verifier.warmup import warm_up

    warm_up()
    server.send(Hello(torch=str(torch.__version__)))
    try:
        server.serve()
    finally:
        shutil.rmtree(cache, ignore_errors=True)


if __name__ == "__main__":
    main()
