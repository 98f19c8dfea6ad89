"""Runs a captured artifact, guards dropped, against eager at other sizes than the traced one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from vllm_lint.runtime_verifier.outcomes import Backend, CheckLost, Outcome, ReplayFailed, WrongAnswer

#: Eager and compiled code may round differently; a wrong branch differs by far more.
RELATIVE, ABSOLUTE = 1e-3, 1e-4


@dataclass
class _Difference:
    detail: str
    amount: float | None = None


@dataclass
class _Tally:
    """What went wrong in one way, over the sizes."""

    sizes: list[int] = field(default_factory=list)
    detail: str = ""
    amount: float | None = None

    def add(self, n: int, detail: str, amount: float | None = None) -> None:
        self.sizes.append(n)
        self.detail = self.detail or detail
        if amount is not None:
            self.amount = max(amount, self.amount or 0.0)


def replay(
    module: torch.nn.Module,
    call: Callable[..., Any],
    reference: torch.nn.Module,
    inputs: Callable[[int], Mapping[str, Any]],
    sizes: Sequence[int],
    backend: Backend = "eager",
) -> Iterator[Outcome]:
    """Compare `call`, captured from `module`, with eager `reference` at every number of tokens in `sizes`.

    Both modules must have lived through the same calls before. Outputs, inputs that were written to, and the
    attributes of the module are compared.
    """
    wrong, lost, failed = _Tally(), _Tally(), _Tally()
    for n in sizes:
        expected = _run(reference.forward, reference, inputs(n))
        actual = _run(call, module, inputs(n))
        if isinstance(expected, Exception):
            if not isinstance(actual, Exception):
                lost.add(n, _message(expected))
        elif isinstance(actual, Exception):
            failed.add(n, _message(actual))
        elif difference := _compare(expected, actual, ""):
            wrong.add(n, difference.detail, difference.amount)
    if wrong.sizes:
        yield WrongAnswer(backend, tuple(wrong.sizes), wrong.amount, wrong.detail)
    if lost.sizes:
        yield CheckLost(backend, tuple(lost.sizes), lost.detail)
    if failed.sizes:
        yield ReplayFailed(backend, tuple(failed.sizes), failed.detail)


def compare_eager(
    module: torch.nn.Module, other: torch.nn.Module, inputs: Callable[[int], Mapping[str, Any]], sizes: Sequence[int]
) -> Iterator[Outcome]:
    """Compare two modules in eager, where `other` returns; a repair keeps what the code did."""
    wrong = _Tally()
    for n in sizes:
        expected = _run(other.forward, None, inputs(n))
        actual = _run(module.forward, None, inputs(n))
        if not isinstance(expected, Exception):
            difference = (
                _Difference(_message(actual))
                if isinstance(actual, Exception)
                else _compare(expected["output"], actual["output"], "output")
            )
            if difference:
                wrong.add(n, f"repair: {difference.detail}", difference.amount)
    if wrong.sizes:
        yield WrongAnswer("eager", tuple(wrong.sizes), wrong.amount, wrong.detail)


def _run(call: Callable[..., Any], module: torch.nn.Module | None, inputs: Mapping[str, Any]) -> Any:
    torch.manual_seed(1)
    try:
        output = call(**inputs)
    except Exception as error:  # noqa: BLE001 - raising is an answer, to be compared with the other side's
        return error
    return {"output": _plain(output), "inputs": _plain(dict(inputs)), "state": _state(module) if module else {}}


def _message(error: Exception) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


def _plain(value: Any) -> Any:
    """Tensors copied, containers as dicts and lists, everything else as it is."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return _plain(value.tensors) if hasattr(value, "tensors") else value


def _state(module: torch.nn.Module) -> dict[str, Any]:
    simple = (bool, int, float, str, type(None), torch.Tensor, list, dict, tuple)
    attributes = {
        f"{prefix}.{name}": _plain(value)
        for prefix, part in module.named_modules()
        for name, value in vars(part).items()
        if not name.startswith("_") and isinstance(value, simple)
    }
    return attributes | {name: _plain(value) for name, value in module.state_dict().items()}


def _compare(expected: Any, actual: Any, where: str) -> _Difference | None:
    if isinstance(expected, torch.Tensor) and isinstance(actual, torch.Tensor):
        return _compare_tensors(expected, actual, where)
    if isinstance(expected, dict) and isinstance(actual, dict):
        if expected.keys() != actual.keys():
            return _Difference(f"{where}: other keys")
        return next((d for k in expected if (d := _compare(expected[k], actual[k], f"{where}.{k}".lstrip(".")))), None)
    if isinstance(expected, list) and isinstance(actual, list):
        if len(expected) != len(actual):
            return _Difference(f"{where}: {len(actual)} items instead of {len(expected)}")
        pairs = enumerate(zip(expected, actual, strict=True))
        return next((d for i, (e, a) in pairs if (d := _compare(e, a, f"{where}[{i}]"))), None)
    if isinstance(expected, (bool, int, float, str, type(None))) and expected != actual:
        return _Difference(f"{where}: {actual!r} instead of {expected!r}")
    return None


def _compare_tensors(expected: torch.Tensor, actual: torch.Tensor, where: str) -> _Difference | None:
    if expected.shape != actual.shape or expected.dtype != actual.dtype:
        return _Difference(f"{where}: {_kind(actual)} instead of {_kind(expected)}")
    if expected.is_floating_point() or expected.is_complex():
        if torch.allclose(expected, actual, RELATIVE, ABSOLUTE, equal_nan=True):
            return None
        amount = float((expected - actual).abs().nan_to_num(float("inf")).max())
    elif torch.equal(expected, actual):
        return None
    else:
        amount = float((expected.double() - actual.double()).abs().max())
    return _Difference(f"{where}: values differ", amount)


def _kind(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"
