"""What a user's module is built and called within: vLLM where its code imports it, and nothing otherwise."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch

from vllm_lint.runtime_verifier.targets import standins
from vllm_lint.runtime_verifier.targets.made_inputs import failed
from vllm_lint.runtime_verifier.targets.regions import Dims

Declared = tuple[Dims, Mapping[str, tuple[int, ...]]]
"""The dims that a decorator declares dynamic, none without one, and those that it declares unbacked."""


class Surroundings(Protocol):
    """Made after the user's code was imported and before anything is built."""

    def building(self) -> AbstractContextManager[object]:
        """What to build within."""

    def prepare(self, module: torch.nn.Module, *, has_weights: bool) -> None:
        """Do what comes after loading weights, and draw random ones unless it has its own."""

    def context(self, tokens: int) -> AbstractContextManager[object]:
        """What to call within."""

    def declared(self, module: torch.nn.Module) -> Declared:
        """What the decorator of the module's class says.

        Raises:
            TargetError: vLLM would not compile it.
        """


class WithoutVllm:
    """There is no vLLM, or its stand-ins are in its place."""

    def building(self) -> AbstractContextManager[object]:
        """Nothing."""
        return nullcontext()

    def prepare(self, module: torch.nn.Module, *, has_weights: bool) -> None:
        """Nothing: layers of torch draw weights when they are made."""

    def context(self, tokens: int) -> AbstractContextManager[object]:
        """Nothing."""
        return nullcontext(tokens)

    def declared(self, module: torch.nn.Module) -> Declared:
        """What the stand-in of the decorator remembered."""
        if getattr(type(module), standins.IGNORE_ATTRIBUTE, False):
            raise ignored(module)
        return getattr(type(module), standins.DIMS_ATTRIBUTE, {}), {}


def ignored(module: torch.nn.Module) -> Exception:
    """The error for a module that vLLM would not compile."""
    return failed(f"vLLM does not compile {type(module).__name__}, by ignore_torch_compile or enable_if")


def surroundings_of_imported() -> Surroundings:
    """Those of the code that has been imported."""
    if standins.installed() or "vllm.config" not in sys.modules:
        return WithoutVllm()
    from vllm_lint.runtime_verifier.targets.vllm_surroundings import WithVllm

    return WithVllm()
