"""Remembers the state of a module, so that eager and replay start from the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

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


def _held(part: torch.nn.Module) -> dict[str, Any]:
    """What a module holds that is state; a configuration or a group of processes is not."""
    own = {k: v for k, v in vars(part).items() if not k.startswith("_") and isinstance(v, _SIMPLE)}
    registered = {k: v for r in _REGISTERED for k, v in vars(part).get(r, {}).items() if v is not None}
    return own | registered


def _remember(value: Any) -> Callable[[], Any]:
    """A function that gives the same object back, with the content that it has now."""
    if isinstance(value, torch.Tensor):
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
