"""Remembers the state of a module, so that eager and replay start from the same."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch

from vllm_lint.runtime_verifier.outcomes import Place, Rebound
from vllm_lint.runtime_verifier.worker.evidence import place_of

Writes = Mapping[str, "Place | None"]
"""Dotted names of attributes to the line that bound them to a tensor."""

_SIMPLE = (bool, int, float, str, type(None), torch.Tensor, list, dict, tuple)
_REGISTERED = ("_parameters", "_buffers")


def plain(value: Any) -> Any:
    """Tensors copied, containers as dicts and lists, everything else as it is."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return plain(value.tensors) if hasattr(value, "tensors") else value


def state(module: torch.nn.Module) -> dict[str, Any]:
    """A copy of the simple attributes, parameters and buffers of a module and its parts, by dotted name."""
    return {
        f"{prefix}.{name}" if prefix else name: plain(value)
        for prefix, part in module.named_modules()
        for name, value in _held(part).items()
    }


class Snapshot:
    """The state of a module at one moment."""

    def __init__(self, module: torch.nn.Module) -> None:
        self._parts = [(part, {k: _remember(v) for k, v in _held(part).items()}) for part in module.modules()]

    def restore(self) -> None:
        """Bind every attribute to the object that it was bound to, with the content that this had."""
        for part, held in self._parts:
            for name in _held(part).keys() - held.keys():
                delattr(part, name)
            for name, recall in held.items():
                home = next((part.__dict__[r] for r in _REGISTERED if name in part.__dict__.get(r, ())), part.__dict__)
                home[name] = recall()


@contextmanager
def watched(module: torch.nn.Module) -> Iterator[dict[str, Place | None]]:
    """Note where attributes of a module and its parts are bound to another tensor than before."""
    writes: dict[str, Place | None] = {}
    names = {part: prefix for prefix, part in module.named_modules()}
    original = torch.nn.Module.__setattr__

    def bind(self: torch.nn.Module, name: str, value: Any) -> None:
        if isinstance(value, torch.Tensor) and self in names and getattr(self, name, None) is not value:
            writes[f"{names[self]}.{name}".strip(".")] = place_of(traceback.extract_stack()[:-1])
        original(self, name, value)

    with patch.object(torch.nn.Module, "__setattr__", bind):
        yield writes


def bindings(module: torch.nn.Module) -> dict[str, Any]:
    """What each attribute of a module and its parts is bound to, by dotted name."""
    return {
        f"{prefix}.{name}".strip("."): value
        for prefix, part in module.named_modules()
        for name, value in _held(part).items()
    }


def rebound(before: Mapping[str, Any], module: torch.nn.Module, writes: Writes) -> Iterator[Rebound]:
    """The attributes that are bound to another tensor than in `before`, where `writes` knows the line that does it."""
    for name, value in bindings(module).items():
        if isinstance(value, torch.Tensor) and before.get(name) is not value and name in writes:
            yield Rebound(name, writes[name])


def _held(part: torch.nn.Module) -> dict[str, Any]:
    """What a module holds that is state; a configuration or a group of processes is not."""
    own = {k: v for k, v in vars(part).items() if not k.startswith("_") and isinstance(v, _SIMPLE)}
    registered = {k: v for r in _REGISTERED for k, v in vars(part).get(r, {}).items() if v is not None}
    return own | registered


def _remember(value: Any) -> Callable[[], Any]:
    """A function that gives the same object back, with the content that it has now."""
    if isinstance(value, torch.Tensor) and not value.is_nested:  # which has no shape to compare
        content = value.detach().clone()

        def recall() -> Any:
            return value.copy_(content) if value.shape == content.shape else value.set_(content.clone())

    elif isinstance(value, list):
        items = [_remember(item) for item in value]

        def recall() -> Any:
            value[:] = [item() for item in items]
            return value

    elif isinstance(value, dict):
        entries = {key: _remember(item) for key, item in value.items()}

        def recall() -> Any:
            value.clear()
            value.update({key: item() for key, item in entries.items()})
            return value

    else:

        def recall() -> Any:
            return value

    return recall
