"""Shape hints: what a user says about the tensors that a forward takes, as in `x=n,64 positions=n:int64`."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: Names of torch that a hint may give after the colon.
DTYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
_HINT = re.compile(r"(?P<name>[A-Za-z_]\w*)=(?P<dims>[^:]+)(?::(?P<dtype>\w+))?")


class ShapeError(ValueError):
    """A hint is not understood; the message says which and why."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a tensor; None is the number of tokens. An empty dtype leaves the choice to the argument's name."""

    dims: tuple[int | None, ...]
    dtype: str = ""

    def at(self, tokens: int) -> tuple[int, ...]:
        """The sizes for a number of tokens."""
        return tuple(tokens if size is None else size for size in self.dims)

    def __str__(self) -> str:
        sizes = ",".join("n" if size is None else str(size) for size in self.dims)
        return f"{sizes}:{self.dtype}" if self.dtype else sizes


def parse_shapes(text: str) -> dict[str, Shape]:
    """Hints by argument, in the order in which they are written, separated by white space.

    Raises:
        ShapeError: a hint has another form, names a type that there is not, or comes twice for one argument.
    """
    shapes: dict[str, Shape] = {}
    for word in text.split():
        found = _HINT.fullmatch(word)
        if found is None:
            raise ShapeError(f"{word!r} is no shape: expected NAME=SIZE,SIZE or NAME=SIZE,SIZE:DTYPE, as in x=n,64")
        name, dtype = found["name"], found["dtype"] or ""
        if dtype and dtype not in DTYPES:
            raise ShapeError(f"{word!r}: {dtype!r} is no type; there are {', '.join(DTYPES)}")
        if name in shapes:
            raise ShapeError(f"{word!r}: there is a shape of {name} already")
        shapes[name] = Shape(tuple(_size(size, word) for size in found["dims"].split(",")), dtype)
    return shapes


def _size(text: str, word: str) -> int | None:
    if text == "n":
        return None
    if not text.isdecimal() or int(text) == 0:
        raise ShapeError(f"{word!r}: {text!r} is no size: expected n, the number of tokens, or a positive number")
    return int(text)
