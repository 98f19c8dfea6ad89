"""The compiled regions of a vLLM model: every decorated module that a step reaches, with the arguments it got."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from vllm.compilation.wrapper import TorchCompileWithNoGuardsWrapper

from vllm_lint.runtime_verifier.outcomes import EagerFailed, line_of
from vllm_lint.runtime_verifier.targets.regions import Dims, NotReached, Region, TargetError
from vllm_lint.runtime_verifier.targets.standins import declared_dims, normalised_dims
from vllm_lint.runtime_verifier.targets.vllm_models.build import build
from vllm_lint.runtime_verifier.targets.vllm_models.inputs import Call
from vllm_lint.runtime_verifier.targets.vllm_models.registry import NotBuilt
from vllm_lint.runtime_verifier.worker.snapshot import Snapshot

Arguments = dict[str, Any]


def regions(source: str, tokens: int) -> Iterator[Region]:
    """One region for each decorated class that the calls of the model reach with `tokens` tokens.

    Modules of one class are taken to be alike, so the first of them speaks for all.

    Raises:
        TargetError: the model cannot be built, does not run, or has no compiled region.
    """
    try:
        built = build(source, tokens)
    except NotBuilt as error:
        raise TargetError(EagerFailed("build", str(error))) from error
    decorated = [module for module in built.model.modules() if is_compiled(module)]
    for module in decorated:
        module.do_not_compile = True  # what runs beside a capture runs as it is written, down to the last module
    seen: set[type] = set()
    failure: Exception | None = None
    for call in built.calls:
        steps = _Steps(built.model, {type(module) for module in decorated}, call)
        try:
            reached = steps.at(tokens)
        except Exception as error:  # noqa: BLE001 - user code may raise anything
            failure = error
            reached = steps.recorded(tokens)
        for module in reached:
            if type(module) not in seen:
                seen.add(type(module))
                yield _region(module, call, steps)
    if not seen and failure is not None:
        raise TargetError(EagerFailed("forward", line_of(failure)))
    if not seen:
        raise TargetError(
            EagerFailed("build", f"{source} has no compiled region: no module that it calls is decorated")
        )


class _Steps:
    """Runs the whole model without compilation and remembers what each decorated module was called with."""

    def __init__(self, model: torch.nn.Module, decorated: set[type], call: Call) -> None:
        self._model, self._decorated, self._call = model, decorated, call
        self._calls: dict[int, dict[torch.nn.Module, Arguments]] = {}
        self._errors: dict[int, Exception] = {}

    def at(self, tokens: int) -> dict[torch.nn.Module, Arguments]:
        """The arguments of the first call of each decorated module, in the order of these calls.

        Raises:
            Exception: whatever the model raises; `recorded` has the calls before.
        """
        if tokens not in self._calls:
            found = self._calls[tokens] = {}
            start = Snapshot(self._model)
            try:
                with _recording(self._decorated, found):
                    self._call.run(tokens)
            except Exception as error:  # noqa: BLE001 - kept, and raised below
                self._errors[tokens] = error
            start.restore()
        if tokens in self._errors:
            raise self._errors[tokens]
        return self._calls[tokens]

    def recorded(self, tokens: int) -> dict[torch.nn.Module, Arguments]:
        """The same, without what the model raises."""
        try:
            return self.at(tokens)
        except Exception:  # noqa: BLE001 - the caller knows
            return self._calls[tokens]


@contextmanager
def _recording(classes: set[type], found: dict[torch.nn.Module, Arguments]) -> Iterator[None]:
    """Run every decorated module without compilation, and put a copy of its first arguments into `found`."""

    def call(self: torch.nn.Module, *args: Any, **kwargs: Any) -> Any:
        if self not in found:
            bound = inspect.signature(self.forward).bind(*args, **kwargs)
            found[self] = copy.deepcopy(_named(bound))
        return self.forward(*args, **kwargs)

    patches = [patch.object(cls, "__call__", call) for cls in classes]
    for each in patches:
        each.start()
    try:
        with torch.compiler.set_stance("force_eager"):
            yield
    finally:
        for each in reversed(patches):
            each.stop()


def _named(bound: inspect.BoundArguments) -> Arguments:
    arguments: Arguments = {}
    for name, value in bound.arguments.items():
        kind = bound.signature.parameters[name].kind
        arguments.update(value if kind is inspect.Parameter.VAR_KEYWORD else {name: value})
    return arguments


def is_compiled(module: torch.nn.Module) -> bool:
    """Whether vLLM compiles this module by itself."""
    return isinstance(module, TorchCompileWithNoGuardsWrapper) and not getattr(module, "do_not_compile", True)


def _region(module: torch.nn.Module, call: Call, steps: _Steps) -> Region:
    def inputs(tokens: int) -> Arguments:
        reached = steps.recorded(tokens)
        if module not in reached:
            raise NotReached(f"the model does not come to {type(module).__name__} with {tokens} tokens")
        return copy.deepcopy(reached[module])

    dims, unbacked = declared(module)
    return Region(type(module).__name__, module, dims, inputs, call.context, unbacked)


def declared(module: torch.nn.Module) -> tuple[Dims, Mapping[str, tuple[int, ...]]]:
    """The dims that vLLM marks for a decorated module, as dynamic and as unbacked."""
    cls = _decorated(module)
    options = inspect.getclosurevars(cls.__call__).nonlocals
    given: Mapping[str, Any] | None = options.get("dynamic_arg_dims") or getattr(module, "_dynamic_arg_dims", None)
    unbacked = {
        k: (v,) if isinstance(v, int) else tuple(v) for k, v in (options.get("mark_unbacked_dims") or {}).items()
    }
    return normalised_dims(given) if given else declared_dims(cls, None), unbacked


def _decorated(module: torch.nn.Module) -> type:
    """The class of the module's that the decorator gave its `__call__`."""
    return next(cls for cls in type(module).__mro__ if "__call__" in vars(cls))
