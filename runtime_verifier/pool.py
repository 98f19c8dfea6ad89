"""Runs jobs in separate processes. Imports no torch itself."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import deque
from concurrent.futures import Future
from types import TracebackType

import msgspec

from vllm_lint.runtime_verifier.jobs import Hello, Job, Reply, Request
from vllm_lint.runtime_verifier.outcomes import Result

_ENDED = "the worker process ended"
INSTALL_HINT = "pip install 'vllm-lint[verify]'"


class VerifierUnavailable(Exception):
    """The runtime half cannot work here; the message names the command that cures it."""


class WorkerError(Exception):
    """The tool itself failed on a job; the message is its traceback."""


class Pool:
    """Up to `jobs` jobs at a time, forked from one server process that has torch imported.

    Raises:
        VerifierUnavailable: `python` has no torch, or cannot be started.
    """

    def __init__(self, jobs: int = 0, python: str = sys.executable) -> None:
        self._free = jobs or os.cpu_count() or 1
        self._numbers = itertools.count()
        self._waiting: deque[Request] = deque()
        self._futures: dict[int, Future[Result]] = {}
        self._lock = threading.Lock()
        self._cache = tempfile.mkdtemp(prefix="vllm-lint-")
        self._server = _start(python, self._cache)
        hello = self._read_hello(python)
        self.torch = hello.torch
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def submit(self, job: Job) -> Future[Result]:
        """Queue a job. The future raises `WorkerError` if the tool itself fails."""
        future: Future[Result] = Future()
        with self._lock:
            request = Request(next(self._numbers), job)
            self._futures[request.number] = future
            self._waiting.append(request)
            try:
                self._send_waiting()
            except BrokenPipeError:
                future.set_exception(WorkerError(_ENDED))
                del self._futures[request.number]
        return future

    def run(self, job: Job) -> Result:
        """Submit and wait."""
        return self.submit(job).result()

    def close(self) -> None:
        """End the server and every job still running."""
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.close()
        try:
            self._server.wait(10)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        self._reader.join()
        self._server.stdout.close()
        shutil.rmtree(self._cache, ignore_errors=True)

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read_hello(self, python: str) -> Hello:
        assert self._server.stdin is not None and self._server.stdout is not None
        line = self._server.stdout.readline()
        hello = msgspec.json.decode(line, type=Hello) if line else Hello(missing="the worker ended at once")
        if hello.missing:
            self._server.stdin.close()
            self._server.stdout.close()
            self._server.wait()
            shutil.rmtree(self._cache, ignore_errors=True)
            raise VerifierUnavailable(f"cannot verify with {python}: {hello.missing}; run: {INSTALL_HINT}")
        return hello

    def _send_waiting(self) -> None:
        assert self._server.stdin is not None
        while self._waiting and self._free > 0:
            self._free -= 1
            self._server.stdin.write(msgspec.json.encode(self._waiting.popleft()) + b"\n")
            self._server.stdin.flush()

    def _read(self) -> None:
        reason = _ENDED
        try:
            self._read_replies()
        except msgspec.DecodeError as error:
            reason = f"the worker process said something else than a reply: {error}"
        with self._lock:
            left, self._futures = list(self._futures.values()), {}
        for future in left:
            future.set_exception(WorkerError(reason))

    def _read_replies(self) -> None:
        assert self._server.stdout is not None
        for line in self._server.stdout:
            reply = msgspec.json.decode(line, type=Reply)
            with self._lock:
                future = self._futures.pop(reply.number)
                self._free += 1
                self._send_waiting()
            if reply.result is not None:
                future.set_result(reply.result)
            else:
                future.set_exception(WorkerError(reply.failure))


def architectures(python: str = sys.executable) -> tuple[str, ...]:
    """The names in vLLM's registry, as `python` has it.

    Raises:
        VerifierUnavailable: it has no vLLM.
    """
    command = [python, "-m", "vllm_lint.runtime_verifier.vllm_models.registry"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise VerifierUnavailable(f"cannot list vLLM's architectures with {python}: {''.join(last)}")
    return msgspec.json.decode(done.stdout, type=tuple[str, ...])


def _start(python: str, cache: str) -> subprocess.Popen[bytes]:
    command = [python, "-m", "vllm_lint.runtime_verifier.server", cache]
    try:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    except OSError as error:
        shutil.rmtree(cache)
        raise VerifierUnavailable(f"cannot start {python}: {error.strerror}") from error
