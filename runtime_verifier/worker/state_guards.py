"""Finds the guards that speak of something which changes from step to step."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch._dynamo import guards as dynamo_guards

from vllm_lint.runtime_verifier.outcomes import Place, StateGuard
from vllm_lint.runtime_verifier.worker.evidence import place_of

#: Fields of vllm.forward_context.ForwardContext that each step sets anew. `dp_metadata`, `no_compile_layers`,
#: `all_moe_layers` and `is_padding` are not among them: whether they are set follows from the configuration.
STEP_FIELDS = frozenset(
    {"attn_metadata", "slot_mapping", "virtual_engine", "cudagraph_runtime_mode", "batch_descriptor"}
    | {"ubatch_slices", "skip_compiled", "num_tokens"}
)
_CONTEXT_FIELD = re.compile(r"\._forward_context\.(\w+)(.*)$")
_ENVIRONMENT = re.compile(r"\.environ\b")
#: A variable of this or another module or of an enclosing function, or an item of what it holds.
_VARIABLE = re.compile(r"(^G\[[^]]*\]|^G\['__import_\w+'\]\.\w+|\.cell_contents)(\[[^]]*\])*$")
_SIMPLE = (bool, int, float, complex, str, bytes, type(None))


@dataclass(frozen=True)
class _Seen:
    """A guard and what it looked at. `source` is an expression of Dynamo's for that."""

    name: str
    source: str
    value: Any
    content: object
    place: Place | None


class StateGuards:
    """A `guard_filter_fn` that drops every guard, as vLLM does, and remembers what they looked at."""

    def __init__(self) -> None:
        self._seen: list[_Seen] = []

    def __call__(self, guards: Sequence[Any]) -> list[bool]:
        """Keep none of `guards`, torch's GuardFilterEntry objects."""
        for guard in guards:
            source = guard.orig_guard.name
            place = place_of(guard.orig_guard.user_stack)
            if guard.name and place is not None:
                self._seen.append(_Seen(guard.name, source, guard.value, _content(guard.value), place))
        return [False] * len(guards)

    def of_steps(self) -> Iterator[StateGuard]:
        """Those about what vLLM sets anew for each step, and about the environment."""
        for seen in self._seen:
            if (found := _CONTEXT_FIELD.search(seen.name)) and found[1] in STEP_FIELDS and seen.content is not None:
                source = f"forward_context.{found[1]}{found[2]}"
                yield StateGuard(source, _said(source, seen.value), seen.place, "context")
            elif _ENVIRONMENT.search(seen.name):
                yield StateGuard("os.environ", "os.environ was read", seen.place, "environment")

    def changed(self, forward: Callable[..., Any], arguments: Mapping[str, Any]) -> Iterator[StateGuard]:
        """Those about what one call of `forward` has left with another value, once for each, where it was read first.

        Attributes, globals, variables of closures, and the length and keys of containers are compared.
        """
        scope = dynamo_guards._get_closure_vars() | {
            "L": {"self": getattr(forward, "__self__", None), **arguments},
            "G": getattr(forward, "__globals__", {}),
        }
        told: set[str] = set()
        for seen in self._seen:
            if seen.content is None or seen.source in told:
                continue
            try:
                now = eval(seen.source, scope)  # noqa: S307 - an expression of Dynamo's
            except Exception:  # noqa: BLE001, S112 - not every source is an expression, or it is gone
                continue
            if _content(now) != seen.content:
                told.add(seen.source)
                source = _readable(seen.name)
                holder: Literal["attribute", "variable"] = "variable" if _VARIABLE.search(seen.name) else "attribute"
                yield StateGuard(source, _said(source, _before(seen)), seen.place, holder)


def _content(value: Any) -> object:
    """What can be compared later: the value itself, or how much a container holds; None if nothing can."""
    if isinstance(value, _SIMPLE):
        return type(value), value
    if isinstance(value, dict):
        return dict, tuple(map(repr, value))
    if isinstance(value, (list, tuple, set)):
        return type(value), len(value)
    return None


def _before(seen: _Seen) -> Any:
    return seen.value if isinstance(seen.value, _SIMPLE) else seen.content


def _readable(name: str) -> str:
    """`layers.0.calls` for Dynamo's `self._modules['layers']._modules['0'].calls`, however this release writes it."""
    name = re.sub(r"^(?:L\['self'\]|self)\.?", "", name)
    name = re.sub(r"G\['(\w+)'\]", lambda m: re.sub("^__import_", "", m[1]).replace("_dot_", "."), name)
    name = re.sub(r"dict\(type\((.+?)\)\.__dict__\)\['(\w+)'\]", r"\1.\2", name)
    name = re.sub(r"\.__closure__\[\d+\]\.cell_contents", ".<closure>", name)
    name = re.sub(r"\.?_modules\['(\w+)'\]|\['(\w+)'\]|\[(\d+)\]", lambda m: f".{m[1] or m[2] or m[3]}", name)
    return name.replace(".__dict__.", ".").strip(".")


def _said(source: str, value: Any) -> str:
    if value is None:
        return f"{source} is None"
    if isinstance(value, tuple) and value and value[0] in (list, tuple, set):
        return f"len({source}) == {value[1]}"
    if isinstance(value, tuple) and value and value[0] is dict:
        return f"{source} had {len(value[1])} keys"
    return f"{source} == {value!r}"
