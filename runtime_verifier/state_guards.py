"""Finds the guards that speak of something which changes from step to step."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from vllm_lint.runtime_verifier.evidence import place_of
from vllm_lint.runtime_verifier.outcomes import StateGuard

#: Fields of vllm.forward_context.ForwardContext that each step sets anew. `dp_metadata`, `no_compile_layers` and
#: `all_moe_layers` are not among them: whether they are set follows from the configuration.
STEP_FIELDS = frozenset(
    {"attn_metadata", "slot_mapping", "virtual_engine", "cudagraph_runtime_mode", "batch_descriptor"}
    | {"ubatch_slices", "is_padding", "skip_compiled", "num_tokens"}
)
_CONTEXT_FIELD = re.compile(r"\._forward_context\.(\w+)(.*)$")
#: Whether an object has a type, or a dict a key, is structure and no value.
_VALUES = ("CONSTANT_MATCH", "EQUALS_MATCH", "NONE_MATCH", "BOOL_MATCH", "ID_MATCH", "DICT_NOT_CONTAINS")


class StateGuards:
    """A `guard_filter_fn` that drops every guard, as vLLM does, and remembers those that speak of values."""

    def __init__(self) -> None:
        self._seen: list[tuple[str, Any, Any]] = []

    def __call__(self, guards: Sequence[Any]) -> list[bool]:
        """Keep none of `guards`, torch's GuardFilterEntry objects."""
        self._seen += [
            (guard.name, guard.value, guard.orig_guard.user_stack) for guard in guards if guard.guard_type in _VALUES
        ]
        return [False] * len(guards)

    def of_steps(self) -> Iterator[StateGuard]:
        """Those about what vLLM sets anew for each step."""
        for name, value, stack in self._seen:
            if (found := _CONTEXT_FIELD.search(name)) and found[1] in STEP_FIELDS:
                source = f"forward_context.{found[1]}{found[2]}"
                yield StateGuard(source, _said(source, value), place_of(stack))

    def of_attributes(self, changed: Sequence[str]) -> Iterator[StateGuard]:
        """Those about attributes that a call of forward leaves with another value, by dotted name in the module."""
        for name, value, stack in self._seen:
            attribute = _attribute(name)
            if attribute in changed:
                yield StateGuard(attribute, _said(attribute, value), place_of(stack))


def _attribute(name: str) -> str:
    """`layers.0.calls` for Dynamo's `self._modules['layers']._modules['0'].calls`, however this release writes it."""
    name = re.sub(r"^(?:L\['self'\]|self)\.?", "", name)
    name = re.sub(r"\.?_modules\['(\w+)'\]|\['(\w+)'\]|\[(\d+)\]", lambda m: f".{m[1] or m[2] or m[3]}", name)
    return name.replace(".__dict__.", ".").strip(".")


def _said(source: str, value: Any) -> str:
    return f"{source} is None" if value is None else f"{source} == {value!r}"
