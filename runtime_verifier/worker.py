"""Does one job. Imports torch, so only a worker process imports this module."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator

import torch

from vllm_lint.runtime_verifier import standins
from vllm_lint.runtime_verifier.capture import capture
from vllm_lint.runtime_verifier.jobs import Job
from vllm_lint.runtime_verifier.outcomes import EagerFailed, Outcome, OutOfMemory, Result, ShapeGuard
from vllm_lint.runtime_verifier.replay import compare_eager, replay
from vllm_lint.runtime_verifier.targets import Target, TargetError, load


def run(job: Job) -> Result:
    """Capture and replay what `job` names. Whatever the target does short of ending the process is an outcome."""
    started = time.monotonic()
    standins.install()
    sizes = tuple(dict.fromkeys((job.trace_size, *job.sizes)))
    try:
        with torch.no_grad():
            outcomes = tuple(_outcomes(load(job.path, job.target), job, sizes))
    except TargetError as error:
        outcomes = (error.outcome,)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        outcomes = (OutOfMemory(job.memory),)
    return Result(job.target, outcomes, sizes, time.monotonic() - started, str(torch.__version__))


def _outcomes(target: Target, job: Job, sizes: tuple[int, ...]) -> Iterator[Outcome]:
    reference = target.build()
    try:
        reference.forward(**target.inputs(job.trace_size))
    except Exception as error:
        if _is_out_of_memory(error):
            raise
        yield EagerFailed("forward", f"{type(error).__name__}: {error}".splitlines()[0])
        return
    for mode in job.modes:
        for backend in job.backends if mode == "backed" else ("eager",):
            module = target.build()
            captured = capture(module, target.inputs(job.trace_size), target.dims, job.trace_size, mode, backend)
            if backend == job.backends[0] or captured.call is None:
                yield from captured.outcomes
            if captured.call is not None and mode == "backed":
                at = _sizes(sizes, captured.outcomes)
                yield from replay(module, captured.call, copy.deepcopy(reference), target.inputs, at, backend)
    if job.reference is not None:
        other = load(job.reference, job.target)
        yield from compare_eager(target.build(), other.build(), other.inputs, sizes)


def _sizes(sizes: tuple[int, ...], outcomes: list[Outcome]) -> tuple[int, ...]:
    """The given sizes, and one that breaks each guard that none of them breaks."""
    guards = (o for o in outcomes if isinstance(o, ShapeGuard))
    extra = {g.fails_at[0] for g in guards if g.fails_at and not set(sizes) & set(g.fails_at)}
    return tuple(sorted({*sizes, *extra}))


def _is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or "can't allocate memory" in str(error)
