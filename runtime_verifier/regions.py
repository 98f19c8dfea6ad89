"""What is captured: one call of a module's forward, with inputs for any number of tokens."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
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
    NotReached where there are none; `context` is entered around every call. `unbacked` holds the dims that vLLM marks
    as unbacked in every mode (`mark_unbacked_dims`). `made` says what inputs were made up, in the form of a shape hint.
    """

    name: str
    module: torch.nn.Module
    dims: Dims
    inputs: Callable[[int], dict[str, Any]]
    context: Callable[[int], AbstractContextManager[object]] = nullcontext
    unbacked: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    made: str = ""

    @property
    def forward(self) -> Callable[..., Any]:
        """The bound method that is compiled."""
        forward: Callable[..., Any] = self.module.forward
        return forward

    @property
    def place(self) -> Place:
        """Where forward is defined."""
        code = inspect.unwrap(type(self.module).forward).__code__
        return Place(
            code.co_filename, code.co_firstlineno, code.co_qualname if hasattr(code, "co_qualname") else "forward"
        )
