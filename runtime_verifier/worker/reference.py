"""Compares what two jobs compute without compilation: a repair keeps what the code did."""

from __future__ import annotations

import copy
import os
import pickle
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from vllm_lint.runtime_verifier.jobs import Job
from vllm_lint.runtime_verifier.outcomes import Changed, NotCompared, Outcome, line_of
from vllm_lint.runtime_verifier.targets.regions import NotReached, Region, TargetError
from vllm_lint.runtime_verifier.targets.regions_of import regions
from vllm_lint.runtime_verifier.worker import overlay
from vllm_lint.runtime_verifier.worker.devices import synchronize
from vllm_lint.runtime_verifier.worker.replay import compare, eagerly
from vllm_lint.runtime_verifier.worker.snapshot import bindings, plain

Answers = Mapping[int, "dict[str, Any] | str"]
"""What a forward does by number of tokens: `given` arguments, `output`, `layout`, `inputs` (what became of these) and
`state`, or the exception in one line."""


def answers(region: Region, sizes: Sequence[int], expected: Answers = MappingProxyType({})) -> Answers:
    """Call the forward at one size after the other, without compilation, with the arguments of `expected` if there.

    What the steps of the target change stays as it is: of that a repair may take note once.
    """
    found: dict[int, dict[str, Any] | str] = {}
    for n in sizes:
        before = expected.get(n)
        try:
            given = copy.deepcopy(before["given"]) if isinstance(before, dict) else region.inputs(n)
        except NotReached:
            continue
        started = copy.deepcopy(given)
        torch.manual_seed(1)
        with region.context(n), eagerly():
            try:
                output = region.forward(**given)
                synchronize()
            except Exception as error:  # noqa: BLE001 - raising is an answer too
                found[n] = line_of(error)
                continue
        held = {k: v for k, v in bindings(region.module).items() if not isinstance(v, torch.nn.Parameter)}
        parts = {"output": output, "inputs": given, "state": held}
        told = {name: _on_host(plain(part)) for name, part in parts.items()}
        found[n] = {**told, "given": started, "layout": _strides(output)}
    return found


def answers_of(job: Job, sizes: Sequence[int]) -> list[Answers] | str:
    """The answers of each region of a job, made in a process of their own, or why there are none."""
    with tempfile.TemporaryDirectory(prefix="vllm-lint-") as folder:
        file = Path(folder, "answers")
        pid = os.fork()
        if pid == 0:
            try:
                file.write_bytes(_answers_here(job, sizes))
            finally:
                os._exit(0)
        _, status = os.waitpid(pid, 0)
        if not file.exists():
            return f"its process ended with status {os.waitstatus_to_exitcode(status)}"
        found: list[Answers] | str = pickle.loads(file.read_bytes())  # noqa: S301  written above
        return found


def _answers_here(job: Job, sizes: Sequence[int]) -> bytes:
    try:
        with overlay.installed(job.overlay):
            return pickle.dumps([answers(region, sizes) for region in regions(job)])
    except TargetError as error:
        return pickle.dumps(error.outcome.message)
    except Exception as error:  # noqa: BLE001 - there is nothing to compare with then, for whatever reason
        return pickle.dumps(line_of(error))


def differences(expected: Answers, actual: Answers) -> Iterator[Outcome]:
    """In what `actual` differs, where `expected` has an answer that is no exception."""
    if not expected:
        yield NotCompared("it has no such forward")
    wrong: dict[str, dict[int, str]] = defaultdict(dict)
    for n, answer in expected.items():
        if isinstance(answer, str):
            continue
        mine = actual.get(n, "it is not reached")
        if isinstance(mine, str):
            wrong["output"][n] = mine
            continue
        common = answer["state"].keys() & mine["state"].keys()
        for aspect in ("output", "layout", "inputs", "state"):
            pair = answer[aspect], mine[aspect]
            if aspect == "state":
                pair = ({k: pair[0][k] for k in common}, {k: pair[1][k] for k in common})
            if difference := compare(*pair, aspect):
                wrong[aspect][n] = difference.detail
    for aspect, details in wrong.items():
        yield Changed(aspect, tuple(details), next(iter(details.values())))  # type: ignore[arg-type]


def _on_host(value: Any) -> Any:
    """With tensors on the CPU, and as its name what is no plain data, since it goes from process to process."""
    if isinstance(value, torch.Tensor):
        return value.cpu()
    if isinstance(value, dict):
        return {k: _on_host(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_on_host(v) for v in value]
    return value if isinstance(value, (bool, int, float, str, type(None))) else type(value).__qualname__


def _strides(value: Any) -> Any:
    """Of each tensor the strides of the dims that have more than one place; others say nothing."""
    if isinstance(value, torch.Tensor):
        pairs = zip(value.size(), value.stride(), strict=True) if value.layout is torch.strided else ()
        return [stride for size, stride in pairs if size > 1] if value.numel() > 1 else []
    if isinstance(value, Mapping):
        return {k: _strides(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strides(v) for v in value]
    return _strides(value.tensors) if hasattr(value, "tensors") else None
