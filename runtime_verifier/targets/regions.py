"""What is captured: one call of a module's forward, with inputs for any number of tokens."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch

from vllm_lint.runtime_verifier.outcomes import EagerFailed, Place

Dims = Mapping[str, Mapping[int, "str | None"]]
"""Argument name to dynamic dim to the shape id it was declared with."""


class TargetError(Exception):
    """The target cannot be built."""

    def __init__(self, outcome: EagerFailed) -> None:
        super().__init__(outcome.message)
        self.outcome = outcome


class NotReached(Exception):
    """The model does not come to this region with so many tokens; the message says why."""


@dataclass(frozen=True)
class Region:
    """A forward that vLLM would compile.

    `inputs` gives the keyword arguments for a number of tokens, fresh tensors with equal values every time, and raises
    NotReached where there are none; `context` is entered around every call, or `step` where there is one, which changes
    what a step may change. `unbacked` holds the dims that vLLM marks
    as unbacked in every mode (`mark_unbacked_dims`). `made` says what inputs were made up, in the form of a shape hint.
    """

    name: str
    module: torch.nn.Module
    dims: Dims
    inputs: Callable[[int], dict[str, Any]]
    context: Callable[[int], AbstractContextManager[object]] = nullcontext
    unbacked: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    made: str = ""
    step: Callable[[int], AbstractContextManager[object]] | None = None

    def around(self, tokens: int) -> AbstractContextManager[object]:
        """What a call with so many tokens is made within."""
        return (self.step or self.context)(tokens)

    def dim_sizes(self, tokens: int) -> dict[str, int]:
        """The sizes of the dynamic dims with `tokens` tokens, by name; raises NotReached as `inputs` does."""
        inputs = self.inputs(tokens)
        tensors = ((name, inputs.get(name), dims) for name, dims in self.dims.items())
        return {
            f"{name}.size({dim % tensor.ndim})": tensor.size(dim)
            for name, tensor, dims in tensors
            if isinstance(tensor, torch.Tensor)
            for dim in dims
        }

    def units(self, sizes: Sequence[int]) -> dict[str, int]:
        """What divides a dynamic dim at all of `sizes`, by name: the patches of an image may come in fours only."""
        found: dict[str, int] = {}
        for n in sizes:
            try:
                called_with = self.dim_sizes(n)
            except NotReached:
                continue
            found |= {name: math.gcd(found.get(name, 0), size) for name, size in called_with.items()}
        return {name: unit for name, unit in found.items() if unit > 1}

    @property
    def forward(self) -> Callable[..., Any]:
        """The bound method that is compiled."""
        forward: Callable[..., Any] = self.module.forward
        return forward

    @property
    def place(self) -> Place:
        """Where forward is defined."""
        code = inspect.unwrap(type(self.module).forward).__code__
        return Place(code.co_filename, code.co_firstlineno, getattr(code, "co_qualname", "forward"))
