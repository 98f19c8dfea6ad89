"""The events of torch's structured trace that say something about guards, breaks and failures.

Only the fields that are read are declared, with a default where some torch release leaves one out. Sources:
torch/_logging/structured.py, torch/fx/experimental/symbolic_shapes.py, torch/_dynamo/utils.py (2.9 to 2.15).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar, Union

import msgspec


class Frame(msgspec.Struct, frozen=True):
    """A line of code on a stack; `filename` is the number of an interned string."""

    line: int
    name: str
    filename: int


class CreateSymbol(msgspec.Struct, frozen=True):
    """A size of an input becomes a symbol; `val` is its value in the captured batch, `vr` its range, `[2, int_oo]`."""

    symbol: str
    source: str
    val: Union[int, str] = ""
    vr: str = ""

    @property
    def hint(self) -> int | None:
        """`val` as a number."""
        text = str(self.val)
        return int(text) if text.lstrip("-").isdigit() else None

    @property
    def range(self) -> tuple[float, float]:
        """`vr` as numbers; what is not one there is infinite."""
        found = re.fullmatch(r"\[(-?\d+), (-?\d+)\]", self.vr)
        if found:
            return float(found[1]), float(found[2])
        low = re.match(r"\[(-?\d+),", self.vr)
        return (float(low[1]) if low else float("-inf")), float("inf")


class CreateUnbackedSymbol(msgspec.Struct, frozen=True):
    """A size without a value: of an input that was marked so, or one that comes out of tensor data."""

    symbol: str
    stack: list[Frame] | None = None


class GuardAdded(msgspec.Struct, frozen=True):
    """A condition that was true in the captured batch. `stack` is that of torch itself."""

    expr: str
    user_stack: list[Frame] | None = None
    stack: list[Frame] | None = None


class Specialization(msgspec.Struct, frozen=True):
    """A symbol became a constant."""

    symbol: str
    value: Union[int, str]
    sources: tuple[str, ...] = ()
    user_stack: list[Frame] | None = None


class DescribeTensor(msgspec.Struct, frozen=True):
    """An input; dims that `mark_dynamic` and `mark_unbacked` named are listed."""

    describer_id: int
    id: int
    dynamo_dynamic_indices: tuple[int, ...] = ()
    dynamo_unbacked_indices: tuple[int, ...] = ()
    dynamo_hint_overrides: dict[Any, Any] = {}

    @property
    def marked(self) -> frozenset[int]:
        """The dims."""
        hinted = (int(dim) for dim in self.dynamo_hint_overrides if str(dim).isdigit())
        return frozenset((*self.dynamo_dynamic_indices, *self.dynamo_unbacked_indices, *hinted))


class DescribeSource(msgspec.Struct, frozen=True):
    """Where the tensor of the same ids comes from, such as `L['input_ids']`."""

    describer_id: int
    id: int
    source: str


class DynamoStart(msgspec.Struct, frozen=True):
    """A capture begins; the last frame is the function that is captured."""

    stack: list[Frame] | None = None


class OutputGraph(msgspec.Struct, frozen=True):
    """A graph was captured; the payload is its code."""

    sizes: dict[str, Any] = {}


class Metrics(msgspec.Struct, frozen=True):
    """A capture ended."""

    co_name: str | None = None
    co_filename: str | None = None
    co_firstlineno: int | None = None
    fail_type: str | None = None
    fail_reason: str | None = None
    fail_user_frame_filename: str | None = None
    fail_user_frame_lineno: int | None = None


class Artifact(msgspec.Struct, frozen=True):
    """Anything else that torch thought worth keeping, told apart by `name`."""

    name: str


class CppGuards(msgspec.Struct, frozen=True):
    """The payload shows the guards that are kept."""


Event = Union[
    CreateSymbol,
    CreateUnbackedSymbol,
    GuardAdded,
    Specialization,
    DescribeTensor,
    DescribeSource,
    DynamoStart,
    OutputGraph,
    Metrics,
    Artifact,
    CppGuards,
]

_KINDS: dict[str, type[Event]] = {
    "create_symbol": CreateSymbol,
    "create_unbacked_symbol": CreateUnbackedSymbol,
    "guard_added_fast": GuardAdded,
    "symbolic_shape_specialization": Specialization,
    "describe_tensor": DescribeTensor,
    "describe_source": DescribeSource,
    "dynamo_start": DynamoStart,
    "dynamo_output_graph": OutputGraph,
    "compilation_metrics": Metrics,
    "artifact": Artifact,
    "dynamo_cpp_guards_str": CppGuards,
}

_Kind = TypeVar("_Kind")


class Context(msgspec.Struct, frozen=True):
    """Which capture an event belongs to. What comes after Dynamo may have no compile id."""

    rank: int | None = None
    frame_id: int | None = None
    frame_compile_id: int | None = None
    attempt: int = 0

    @property
    def compile_id(self) -> str:
        """Such as `0/0`; empty if there is none."""
        return "" if self.frame_id is None else f"{self.frame_id}/{self.frame_compile_id}"


def event_of(metadata: Mapping[str, Any]) -> Event | None:
    """The event in a record; None if it is of a kind that is not read.

    Raises:
        msgspec.ValidationError: it does not have the fields that it had in the releases named above.
    """
    kind = next((key for key in metadata if key in _KINDS), None)
    return None if kind is None else _convert(metadata[kind], _KINDS[kind])


def context_of(metadata: Mapping[str, Any]) -> Context:
    """The context of a record.

    Raises:
        msgspec.ValidationError: as above.
    """
    return _convert(metadata, Context)


def _convert(data: Any, kind: type[_Kind]) -> _Kind:
    return msgspec.convert(data or {}, kind)
