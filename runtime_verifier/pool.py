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
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, as_completed
from pathlib import Path
from types import TracebackType

import msgspec

from vllm_lint.runtime_verifier import versions
from vllm_lint.runtime_verifier.interpreter import NotStarted, cure, last_words, start
from vllm_lint.runtime_verifier.jobs import Device, Hello, Job, Reply, Request
from vllm_lint.runtime_verifier.outcomes import Result

#: How long a server may take to end by itself.
_PATIENCE = 10.0


class VerifierUnavailable(Exception):
    """The runtime half cannot work here; the message names the command that cures it."""


class WorkerError(Exception):
    """The tool itself failed on a job; the message is its traceback."""


class Pool:
    """Up to `jobs` jobs at a time, forked from one server process that has torch imported.

    `notes` holds what is worth saying once about the versions found, `scratch` is a folder that goes with the pool.
    Nothing outlives `close`: no process, and no file but those in the folders of the jobs.

    Raises:
        VerifierUnavailable: `python` cannot be started, or lacks torch, vLLM where `needs_vllm` says so, or a GPU where
            `device` does.
    """

    def __init__(
        self, jobs: int = 0, python: str = sys.executable, *, device: Device = "auto", needs_vllm: bool = False
    ) -> None:
        self._free = jobs or os.cpu_count() or 1
        self._numbers = itertools.count()
        self._waiting: deque[Request] = deque()
        self._futures: dict[int, Future[Result]] = {}
        self._lock = threading.Lock()
        self._failure = ""
        self._folder = Path(tempfile.mkdtemp(prefix="vllm-lint-"))
        self.scratch = self._folder / "scratch"
        self._server: subprocess.Popen[bytes] | None = None
        try:
            hidden = {"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {}
            self._server = start(python, self._folder, "worker.server", (str(self._folder),), **hidden)
            hello = _read_hello(self._server, self._folder, python)
            _require(hello, python, device, needs_vllm=needs_vllm)
        except NotStarted as error:
            self._abandon()
            raise VerifierUnavailable(str(error)) from error
        except BaseException:  # Ctrl-C as well
            self._abandon()
            raise
        self.torch, self.notes = hello.torch, versions.notes(hello.torch, hello.vllm)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def submit(self, job: Job) -> Future[Result]:
        """Queue a job. The future raises `WorkerError` if the tool itself fails."""
        future: Future[Result] = Future()
        with self._lock:
            request = Request(next(self._numbers), job)
            self._futures[request.number] = future
            self._waiting.append(request)
            if self._failure:
                self._give_up()
            else:
                self._send_waiting()
        return future

    def run(self, job: Job) -> Result:
        """Submit and wait."""
        return self.submit(job).result()

    def completed(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Result | WorkerError]]:
        """Run all jobs, and give each with what came of it as soon as it is there."""
        futures = {self.submit(job): job for job in jobs}
        for future in as_completed(futures):
            error = future.exception()
            if error is not None and not isinstance(error, WorkerError):
                raise error
            yield futures[future], error or future.result()

    def close(self) -> None:
        """End the server and every job still running."""
        server = self._running
        assert server.stdin is not None and server.stdout is not None
        try:
            server.stdin.close()
            server.wait(_PATIENCE)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            server.kill()
        finally:
            server.wait()
            self._reader.join()
            server.stdout.close()
            shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._server is not None, "the constructor raises where there is none"
        return self._server

    def _abandon(self) -> None:
        """Undo what the constructor did."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            for stream in (self._server.stdin, self._server.stdout):
                if stream is not None:
                    stream.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _send_waiting(self) -> None:
        stream = self._running.stdin
        assert stream is not None
        while self._waiting and self._free > 0:
            request = self._waiting.popleft()
            if not self._futures[request.number].set_running_or_notify_cancel():
                del self._futures[request.number]
                continue
            self._free -= 1
            try:
                stream.write(msgspec.json.encode(request) + b"\n")
                stream.flush()
            except (BrokenPipeError, ValueError):  # the server ended, or the pool was closed
                self._futures.pop(request.number).set_exception(WorkerError(self._ended()))

    def _read(self) -> None:
        reason = ""
        try:
            self._read_replies()
        except msgspec.DecodeError as error:
            reason = f"the worker process said something else than a reply: {error}"
        with self._lock:
            self._failure = reason or self._ended()
            self._give_up()

    def _give_up(self) -> None:
        """There is no server any more."""
        left, self._futures = list(self._futures.values()), {}
        self._waiting.clear()
        for future in left:
            if future.running() or future.set_running_or_notify_cancel():
                future.set_exception(WorkerError(self._failure))

    def _read_replies(self) -> None:
        stdout = self._running.stdout
        assert stdout is not None
        for line in stdout:
            reply = msgspec.json.decode(line, type=Reply)
            with self._lock:
                future = self._futures.pop(reply.number)
                self._free += 1
                self._send_waiting()
            if reply.result is not None:
                future.set_result(reply.result)
            else:
                future.set_exception(WorkerError(reply.failure))

    def _ended(self) -> str:
        said = last_words(self._folder)
        return f"the worker process ended{': ' if said else ''}{said}"


class Registry(msgspec.Struct, frozen=True):
    """vLLM's registry of models: the folder that they are in, and module and class of each architecture."""

    folder: str
    models: dict[str, tuple[str, str]]

    def of_file(self, name: str) -> tuple[str, ...]:
        """An architecture for each class that the registry has from the module of that name."""
        by_class: dict[str, str] = {}
        for architecture, (module, cls) in self.models.items():
            if module.rpartition(".")[2] == name and (cls not in by_class or architecture == cls):
                by_class[cls] = architecture
        return tuple(by_class.values())


def architectures(python: str = sys.executable) -> tuple[str, ...]:
    """The names in vLLM's registry, sorted; raises as `registry` does."""
    return tuple(registry(python).models)


def registry(python: str = sys.executable) -> Registry:
    """The registry of the vLLM that `python` has.

    Raises:
        VerifierUnavailable: it has none.
    """
    with tempfile.TemporaryDirectory(prefix="vllm-lint-") as name:
        folder = Path(name)
        try:
            process = start(python, folder, "targets.vllm_models.registry")
        except NotStarted as error:
            raise VerifierUnavailable(str(error)) from error
        try:
            output, _ = process.communicate()
        except BaseException:
            process.kill()
            process.wait()
            raise
        try:
            # Importing vLLM may write lines of its own before.
            return msgspec.json.decode(output.strip().rpartition(b"\n")[2], type=Registry)
        except msgspec.DecodeError as error:
            reason = _said(output, folder, process.returncode)
            command = cure(versions.INSTALL_VLLM, python)
            raise VerifierUnavailable(
                f"cannot list vLLM's architectures with {python}: {reason}; run: {command}"
            ) from error


def _read_hello(server: subprocess.Popen[bytes], folder: Path, python: str) -> Hello:
    assert server.stdout is not None
    line = server.stdout.readline()
    try:
        return msgspec.json.decode(line, type=Hello)
    except msgspec.DecodeError as error:
        if not line:
            server.wait()
        reason = _said(line, folder, server.returncode)
        raise VerifierUnavailable(f"cannot verify with {python}: it does not run Python programs: {reason}") from error


def _said(output: bytes, folder: Path, status: int | None) -> str:
    words = last_words(folder) or output.decode(errors="replace").strip()[:100]
    return words or f"it ended at once with status {status}"


def _require(hello: Hello, python: str, device: Device, *, needs_vllm: bool) -> None:
    missing, command = hello.missing, hello.cure
    if not missing and needs_vllm and not hello.vllm:
        missing, command = "it has no vLLM", versions.INSTALL_VLLM
    if not missing and device == "cuda" and not hello.gpu:
        if "+cpu" in hello.torch:
            missing, command = f"its torch {hello.torch} is built without CUDA", versions.REPLACE_TORCH
        else:
            missing, command = f"its torch {hello.torch} finds no GPU", versions.LOOK_FOR_GPU
    if missing:
        hint = f"; run: {cure(command, python)}" if command else ""
        raise VerifierUnavailable(f"cannot verify with {python}: {missing}{hint}")
