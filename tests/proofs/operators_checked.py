"""Runs `torch.library.opcheck` on the operators that classes of a fixture call: `operators_checked.py FILE CLASS...`.

Prints a line for each operator: its name, and the error if there is one.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from vllm_lint.runtime_verifier.targets import standins

SIZES = (5, 128)
#: All of them but the one about autograd: models that only infer have none.
CHECKS = ("test_schema", "test_faketensor", "test_aot_dispatch_dynamic")


class Recorder(TorchDispatchMode):  # type: ignore[misc]  # torch is not read
    """Keeps the arguments of the last call of each custom operator."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[str, tuple[Any, tuple[Any, ...], dict[str, Any]]] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        copies = tuple(a.clone() if isinstance(a, torch.Tensor) else a for a in args)
        result = func(*args, **(kwargs or {}))
        if func.namespace == "vllm":
            self.calls[str(func)] = (func, copies, kwargs or {})
        return result


def main() -> None:
    path, *names = sys.argv[1:]
    standins.install()
    sys.path.insert(0, str(Path(path).parent))
    spec = importlib.util.spec_from_file_location("wrapped", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    failed: dict[str, str] = {}
    for tokens in SIZES:
        step = module.step(tokens) if hasattr(module, "step") else nullcontext()
        with torch.no_grad(), step:
            for name, error in checked(calls_of(module, names, tokens)):
                failed[name] = failed.get(name) or error
    for name, error in sorted(failed.items()):
        print(f"{name} {error}".strip())


def calls_of(module: Any, names: list[str], tokens: int) -> dict[str, tuple[Any, tuple[Any, ...], dict[str, Any]]]:
    """The last call of each operator that returns, while the classes run for so many tokens."""
    make: Callable[[int], dict[str, object]] | None = getattr(module, "inputs", None)
    recorder = Recorder()
    for name in names:
        model = getattr(module, name)()
        parameters = list(getattr(type(model), standins.DIMS_ATTRIBUTE))
        given = make(tokens) if make is not None else {}
        arguments = {p: given.get(p, torch.randn(tokens, 8)) for p in {*parameters, *given}}
        try:
            with recorder:
                model(**{k: v for k, v in arguments.items() if k in _accepted(model)})
        except (AssertionError, RuntimeError, ValueError, LookupError):
            continue  # what the class takes are other numbers of tokens
    return recorder.calls


def checked(calls: dict[str, tuple[Any, tuple[Any, ...], dict[str, Any]]]) -> Iterator[tuple[str, str]]:
    """Each operator with what opcheck says against it."""
    for name, (operator, args, kwargs) in calls.items():
        try:
            torch.library.opcheck(operator, args, kwargs, test_utils=CHECKS)
        except Exception as error:  # noqa: BLE001  whatever it raises is the answer
            yield name, f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"
        else:
            yield name, ""


def _accepted(model: torch.nn.Module) -> set[str]:
    code = type(model).forward.__code__
    return set(code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount])


if __name__ == "__main__":
    main()
