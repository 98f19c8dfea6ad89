"""Does one job. Imports torch, so only a worker process imports this module."""

from __future__ import annotations

import ctypes
import re
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import torch

from vllm_lint.runtime_verifier.jobs import Job
from vllm_lint.runtime_verifier.outcomes import (
    Backend,
    DataDependent,
    EagerFailed,
    GraphBreak,
    Mode,
    NotCompared,
    Outcome,
    OutOfMemory,
    Part,
    ReplayFailed,
    Result,
    ShapeGuard,
    line_of,
)
from vllm_lint.runtime_verifier.targets.regions import NotReached, Region, TargetError
from vllm_lint.runtime_verifier.targets.regions_of import regions
from vllm_lint.runtime_verifier.verdicts.target_evidence import RESULT
from vllm_lint.runtime_verifier.worker import devices, overlay
from vllm_lint.runtime_verifier.worker.capture import Capture, capture
from vllm_lint.runtime_verifier.worker.cuda_graphs import COMPILER, CudaGraphs
from vllm_lint.runtime_verifier.worker.reference import Answers, answers, answers_of, differences
from vllm_lint.runtime_verifier.worker.replay import eager_outcome, replay
from vllm_lint.runtime_verifier.worker.snapshot import Snapshot, Writes, bindings, rebound
from vllm_lint.runtime_verifier.worker.trace_writer import write_trace

_M_PERTURB = -6  # of malloc.h


def run(job: Job) -> Result:
    """Capture and replay what `job` names. Whatever the target does short of ending the process is an outcome."""
    started = time.monotonic()
    parts: list[Part] = []
    whole: tuple[Outcome, ...] = ()
    if job.folder:
        Path(job.folder).mkdir(parents=True, exist_ok=True)
    try:
        _clear_new_memory()
        with torch.no_grad():
            expected = answers_of(job.reference, _sizes(job)) if job.reference is not None else None
            with overlay.installed(job.overlay):
                for region in regions(job):
                    parts.append(_Work(job, region, len(parts), expected).part())
    except TargetError as error:
        whole = (error.outcome,)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        whole = (OutOfMemory(job.memory),)
    vllm = sys.modules.get("vllm")
    result = Result(
        job.target,
        tuple(parts),
        whole,
        time.monotonic() - started,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        str(torch.__version__),
        str(getattr(vllm, "__version__", "")),
        devices.platform(job.provider),
        torch.cuda.max_memory_allocated() if torch.cuda.is_initialized() else 0,
    )
    if job.folder:
        Path(job.folder, RESULT).write_bytes(msgspec.json.encode(result))
    return result


class _Work:
    """The passes over one region."""

    def __init__(self, job: Job, region: Region, number: int, expected: list[Answers] | str | None) -> None:
        self._job, self._region, self._number = job, region, number
        self._expected = expected
        self._compared: tuple[int, ...] = ()
        self._start = Snapshot(region.module)
        self._logs: dict[Mode, str] = {}
        self._replayed: set[int] = set()
        self._graphed: set[int] = set()
        self._refused: set[int] = set()
        self._misshapen: set[int] = set()
        self._trace_size = job.trace_size
        self._units: dict[str, int] = {}

    def part(self) -> Part:
        outcomes = tuple(dict.fromkeys(self._outcomes()))
        dims = {n: self._dim_sizes(n) for n in sorted(self._replayed)}
        return Part(
            self._region.name,
            self._region.place,
            outcomes,
            tuple(sorted(self._replayed)),
            self._logs,
            self._units,
            dims,
            tuple(sorted(self._graphed)),
            self._compared,
            tuple(sorted(self._refused)),
            tuple(sorted(self._misshapen)),
        )

    def _outcomes(self) -> Iterator[Outcome]:
        job, region = self._job, self._region
        yield from self._comparison()
        self._trace_size, writes, failure = self._first_eager()
        if failure is not None:
            if _is_out_of_memory(failure):
                raise failure
            made = f"; it was called with {region.made}, which --shape can change" if region.made else ""
            yield EagerFailed("forward", f"{line_of(failure)}{made}")
            return
        self._units = region.units((self._trace_size, *job.sizes))
        found: list[Outcome] = []
        for mode in job.modes:
            for backend in job.backends if mode == "backed" else ("eager",):
                found += self._pass(mode, backend, writes)
                if devices.is_lost():
                    yield from found
                    return
        if job.blame:
            for mode in _modes_to_blame(found, job.modes):
                found += self._pass(mode, "eager", writes)
        yield from found

    def _comparison(self) -> Iterator[Outcome]:
        """With the eager results of another job."""
        if self._expected is None:
            return
        if isinstance(self._expected, str):
            yield NotCompared(self._expected)
            return
        expected = self._expected[self._number] if self._number < len(self._expected) else {}
        actual = answers(self._region, _sizes(self._job), expected)
        self._compared = tuple(n for n in actual if isinstance(expected.get(n), dict))
        yield from differences(expected, actual)
        self._start.restore()

    def _first_eager(self) -> tuple[int, Writes, Exception | None]:
        """Run without compilation at the size to capture, or else at the largest other size where that succeeds."""
        sizes = (self._job.trace_size, *sorted(self._job.sizes, reverse=True))
        failures: list[Exception] = []
        for size in dict.fromkeys(sizes):
            try:
                writes, failure = eager_outcome(self._region, size)
            except NotReached as error:
                writes, failure = {}, error
            if failure is None or _is_out_of_memory(failure) or devices.is_lost():
                return size, writes, failure
            failures.append(failure)
        return self._job.trace_size, {}, failures[0]

    def _pass(self, mode: Mode, backend: Backend, writes: Writes) -> Iterator[Outcome]:
        self._start.restore()
        bound = bindings(self._region.module)
        is_first = backend == self._job.backends[0]
        with write_trace(self._log(mode) if is_first else None):
            try:
                compiler = COMPILER if backend == "cudagraph" else backend
                captured = capture(self._region, self._trace_size, mode, compiler, self._units)
            except NotReached as error:
                captured = Capture(None, [EagerFailed("forward", str(error))])
        if is_first or captured.call is None:
            yield from captured.outcomes
        if captured.call is None or mode != "backed":
            return
        if is_first:
            yield from rebound(bound, self._region.module, writes)
        call = CudaGraphs(self._region.module, captured.call) if backend == "cudagraph" else captured.call
        sizes = self._sizes(captured.outcomes)
        found = replay(self._region, call, sizes, backend, captured.graph, self._doubtful(captured.outcomes))
        self._replayed |= {*found.compared}
        self._refused |= {*found.refused}
        self._misshapen |= {*found.misshapen}
        if backend == "cudagraph":
            failed = {n for o in found.outcomes if isinstance(o, ReplayFailed) for n in o.sizes}
            self._graphed = {*found.compared} - failed
        yield from found.outcomes

    def _log(self, mode: Mode) -> Path | None:
        if not self._job.folder:
            return None
        name = f"{self._number}-{re.sub(r'[^A-Za-z0-9_.-]+', '-', self._region.name)}.{mode}.log"
        self._logs[mode] = name
        return Path(self._job.folder, name)

    def _sizes(self, outcomes: list[Outcome]) -> tuple[int, ...]:
        """The given sizes, one that breaks each guard that none of them breaks, and the first beyond each bound."""
        sizes = tuple(dict.fromkeys((self._trace_size, *self._job.sizes)))
        guards = [o for o in outcomes if isinstance(o, ShapeGuard) and o.fails_at]
        extra = {g.fails_at[0] for g in guards if not set(sizes) & set(g.fails_at)}
        bounds = {bound for g in guards if g.by_operation and (bound := g.bound) is not None}
        return tuple(sorted({*sizes, *extra, *bounds}))

    def _doubtful(self, outcomes: list[Outcome]) -> tuple[int, ...]:
        """The sizes to replay at that break a guard of an operation's."""
        breaking = {n for o in outcomes if isinstance(o, ShapeGuard) and o.by_operation for n in o.fails_at}
        return tuple(n for n in self._sizes(outcomes) if breaking & {n, *self._dim_sizes(n)})

    def _dim_sizes(self, tokens: int) -> tuple[int, ...]:
        try:
            return tuple(sorted({*self._region.dim_sizes(tokens).values()}))
        except NotReached:
            return ()


def _sizes(job: Job) -> tuple[int, ...]:
    return tuple(sorted({job.trace_size, *job.sizes}))


def _modes_to_blame(outcomes: list[Outcome], done: tuple[Mode, ...]) -> Iterator[Mode]:
    """Passes that say more about a failure: all graph breaks, where the full graph shows the first."""
    if "breaks" not in done and any(isinstance(o, (GraphBreak, DataDependent)) for o in outcomes):
        yield "breaks"


def _clear_new_memory() -> None:
    """Have memory that nobody wrote hold zeros, where the C library can.

    Without metadata, the kernels of Mamba layers leave their output as `torch.empty` made it, and no two runs agree.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        set_option(_M_PERTURB, 0xFF)  # new memory is filled with the complement


def _is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or "can't allocate memory" in str(error)
