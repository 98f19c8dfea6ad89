"""Runs a captured artifact, guards dropped, against eager at other sizes than the traced one."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch

from vllm_lint.runtime_verifier.outcomes import Backend, CheckLost, Outcome, ReplayFailed, WrongAnswer, line_of
from vllm_lint.runtime_verifier.targets.regions import NotReached, Region
from vllm_lint.runtime_verifier.worker.cuda_graphs import NotCaptured
from vllm_lint.runtime_verifier.worker.devices import is_lost, synchronize
from vllm_lint.runtime_verifier.worker.shapes import WatchedGraph, watching
from vllm_lint.runtime_verifier.worker.snapshot import Snapshot, Writes, plain, state, watched

#: Eager and compiled code may round differently; a wrong branch differs by far more.
RELATIVE, ABSOLUTE = 1e-3, 1e-4
#: The same for numbers of 16 bits and less.
COARSE = 2e-2
#: What fuses and reorders operators rounds differently, and a product in TF32 then turns that into as much of the
#: largest number in a tensor: more than the above for small numbers beside it.
ROUNDING: dict[Backend, float] = {"inductor": 1e-3, "cudagraph": 1e-3}


@dataclass
class Difference:
    """One place where two results differ."""

    detail: str
    amount: float | None = None
    scale: float | None = None


@dataclass
class _Tally:
    """What went wrong in one way, over the sizes."""

    sizes: list[int] = field(default_factory=list)
    detail: str = ""
    amount: float | None = None
    scale: float | None = None

    def add(self, n: int, detail: str, amount: float | None = None, scale: float | None = None) -> None:
        self.sizes.append(n)
        self.detail = self.detail or detail
        if amount is not None and amount >= (self.amount or 0.0):
            self.amount, self.scale = amount, scale


@dataclass
class Replayed:
    """Sizes that the model has inputs for, those of them that eager refuses, and what differs.

    At the sizes in `misshapen` an operation has another shape than the captured graph notes.
    """

    compared: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    misshapen: list[int] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)


def replay(
    region: Region,
    call: Callable[..., Any],
    sizes: Sequence[int],
    backend: Backend = "eager",
    graph: WatchedGraph | None = None,
    doubtful: Container[int] = (),
) -> Replayed:
    """Compare `call`, captured from `region`, with eager at every number of tokens in `sizes`.

    Outputs, inputs that were written to, and the attributes of the module are compared; both begin with the state that
    the step before left. At the `doubtful` sizes, the shapes in `graph` are compared as well.
    """
    wrong, lost, failed = _Tally(), _Tally(), _Tally()
    found = Replayed()
    for n in sizes:
        start = Snapshot(region.module)
        try:
            given, again = region.inputs(n), region.inputs(n)
        except NotReached:
            continue
        found.compared.append(n)
        start.restore()
        with region.around(n):
            with eagerly():
                expected = _run(region.forward, region.module, given)
            start.restore()
            with watching(graph if n in doubtful else None) as watched_graph:
                actual = _run(call, region.module, again)
        if watched_graph is not None and watched_graph.differs:
            found.misshapen.append(n)
        if isinstance(expected, Exception):
            found.refused.append(n)
            if not isinstance(actual, Exception):
                lost.add(n, line_of(expected))
        elif isinstance(actual, Exception):
            failed.add(n, line_of(actual))
        elif difference := compare(expected, actual, "", ROUNDING.get(backend, 0.0)):
            wrong.add(n, difference.detail, difference.amount, difference.scale)
        if isinstance(actual, NotCaptured) or is_lost():  # then no other size can be run
            break
    if wrong.sizes:
        found.outcomes.append(WrongAnswer(backend, tuple(wrong.sizes), wrong.amount, wrong.detail, wrong.scale))
    if lost.sizes:
        found.outcomes.append(CheckLost(backend, tuple(lost.sizes), lost.detail))
    if failed.sizes:
        found.outcomes.append(ReplayFailed(backend, tuple(failed.sizes), failed.detail))
    return found


def eager_outcome(region: Region, tokens: int) -> tuple[Writes, Exception | None]:
    """Run forward without compilation: where it binds attributes to tensors, and what it raises."""
    inputs = region.inputs(tokens)
    with region.around(tokens), eagerly(), watched(region.module) as writes:
        outcome = _run(region.forward, None, inputs)
    return writes, outcome if isinstance(outcome, Exception) else None


def eagerly() -> AbstractContextManager[object]:
    """Single operators that vLLM or the model compiles by themselves run as they are written."""
    stance: AbstractContextManager[object] = torch.compiler.set_stance("force_eager")
    return stance


def _run(call: Callable[..., Any], module: torch.nn.Module | None, inputs: Mapping[str, Any]) -> Any:
    torch.manual_seed(1)
    try:
        output = call(**inputs)
        synchronize()
    except Exception as error:  # noqa: BLE001 - raising is an answer, to be compared with the other side's
        return error
    return {"output": plain(output), "inputs": plain(dict(inputs)), "state": state(module) if module else {}}


def compare(expected: Any, actual: Any, where: str, rounding: float = 0.0) -> Difference | None:
    """The first difference between two results, whose name is `where`; None if there is none."""
    if isinstance(expected, torch.Tensor) and isinstance(actual, torch.Tensor):
        return _compare_tensors(expected, actual, where, rounding)
    if isinstance(expected, dict) and isinstance(actual, dict):
        if expected.keys() != actual.keys():
            return Difference(f"{where}: other keys")
        parts = ((f"{where}.{k}".lstrip("."), expected[k], actual[k]) for k in expected)
        return next((d for name, e, a in parts if (d := compare(e, a, name, rounding))), None)
    if isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            return Difference(f"{where}: {len(actual)} items instead of {len(expected)}")
        pairs = enumerate(zip(expected, actual, strict=True))
        return next((d for i, (e, a) in pairs if (d := compare(e, a, f"{where}[{i}]", rounding))), None)
    if isinstance(expected, (bool, int, float, str, type(None))) and expected != actual:
        return Difference(f"{where}: {actual!r} instead of {expected!r}")
    return None


def _compare_tensors(expected: torch.Tensor, actual: torch.Tensor, where: str, rounding: float) -> Difference | None:
    if (expected.shape, expected.dtype, expected.layout) != (actual.shape, actual.dtype, actual.layout):
        return Difference(f"{where}: {_kind(actual)} instead of {_kind(expected)}")
    if expected.layout is not torch.strided:
        expected, actual = expected.to_dense(), actual.to_dense()
    if expected.is_floating_point() or expected.is_complex():
        relative = RELATIVE if expected.dtype in (torch.float32, torch.float64) else COARSE
        absolute = max(ABSOLUTE, rounding * _largest(expected)) if rounding else ABSOLUTE
        if torch.allclose(expected, actual, relative, absolute, equal_nan=True):
            return None
        amount = float((expected - actual).abs().nan_to_num(float("inf")).max())
    elif torch.equal(expected, actual):
        return None
    else:
        amount = float((expected.double() - actual.double()).abs().max())
    return Difference(f"{where}: values differ", amount, _largest(expected))


def _largest(tensor: torch.Tensor) -> float:
    return float(tensor.double().abs().nan_to_num(0.0).max()) if tensor.numel() else 0.0


def _kind(tensor: torch.Tensor) -> str:
    layout = "" if tensor.layout is torch.strided else f"{str(tensor.layout).removeprefix('torch.')} "
    return f"{layout}{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"
