"""Draws arguments of operators: tensors whose dims are numbers, `n` and `h`, and texts of calls that use them."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from vllm_lint.analyzer.sizes import TOKENS, Size

#: The value of `h`, which the interpreter knows only as a number that is fixed at capture.
H = 8
_N, _H = Size.symbol(TOKENS), Size.static("h")
_TWO, _ONE = Size.const(2), Size.const(1)
#: What a dim may be, as Python writes it, and as the interpreter does.
SYMBOLIC = {
    "n": _N,
    "2 * n": _TWO * _N,
    "n + 1": _N + _ONE,
    "n * h": _N * _H,
    "h": _H,
    "2 * h": _TWO * _H,
}
_SMALL = ("1", "2", "3", "4", "6")
#: Keyword, and text. A keyword in front of which `*` stands must be used; without one the argument has only a place.
Argument = tuple[str, str]


def real(dim: str, n: int) -> int:
    """The number that a dim is where there are `n` tokens."""
    return int(eval(dim, {"n": n, "h": H}))  # noqa: S307  texts of this file


def symbolic(dim: str) -> Size:
    """The same as the interpreter writes it."""
    return SYMBOLIC[dim] if dim in SYMBOLIC else Size.const(int(dim))


@dataclass
class Draw:
    """One draw: the tensors that it declared, and how to choose."""

    random: random.Random
    tensors: dict[str, tuple[tuple[str, ...], str]] = field(default_factory=dict)
    """Name to dims and dtype."""
    dtype: str = ""

    def size(self) -> str:
        """A dim."""
        return self.random.choice(("n", "n", "n", "2 * n", "n + 1", "h", *_SMALL))

    def shape(self, rank: int | None = None, lowest: int = 1) -> tuple[str, ...]:
        """Some dims, one of which most often is the number of tokens."""
        rank = self.random.choice((1, 2, 2, 3, 3, 4)) if rank is None else rank
        dims = [self.size() for _ in range(max(rank, lowest))]
        if dims and self.random.random() < 0.7:
            dims[self.random.randrange(len(dims))] = "n"
        return tuple(dims)

    def tensor(self, shape: tuple[str, ...] | None = None, dtype: str = "", rank: int | None = None) -> str:
        """Declare a tensor, of the dtype that this draw prefers; returns its name."""
        if not dtype:
            self.dtype = dtype = self.dtype or self.any_dtype()
        name = "xyzw"[len(self.tensors)] if len(self.tensors) < 4 else f"t{len(self.tensors)}"
        self.tensors[name] = (self.shape(rank) if shape is None else shape, dtype)
        return name

    def any_dtype(self) -> str:
        return self.random.choice(("float32", "float32", "float32", "bfloat16", "int64", "bool"))

    def dims(self, name: str) -> tuple[str, ...]:
        """The dims of a tensor."""
        return self.tensors[name][0]

    def axis(self, name: str, extra: int = 0) -> str:
        """The number of one of its dims, from either end."""
        rank = len(self.dims(name)) + extra
        return str(self.random.randrange(-rank, rank)) if rank else "0"

    def axes(self, name: str) -> str:
        """Some of its dims, as a tuple."""
        rank = len(self.dims(name))
        chosen = self.random.sample(range(rank), self.random.randint(1, rank))
        return f"({', '.join(str(a - rank * self.random.randrange(2)) for a in chosen)},)"

    def at(self, name: str, axis: str) -> str:
        """The dim at `axis`."""
        return self.dims(name)[int(axis)]

    def broadcast(self, name: str, *, wider: bool = True) -> tuple[str, ...]:
        """Dims that broadcast with those of `name`, to more of them only if `wider`."""
        dims = [d if self.random.random() < 0.7 else "1" for d in self.dims(name)]
        if wider and self.random.random() < 0.3:
            return (*self.shape(1), *dims)
        return tuple(dims[self.random.randrange(len(dims) + 1) :] if self.random.random() < 0.3 else dims)

    def flag(self) -> str:
        return self.random.choice(("True", "False"))

    def maybe(self, *arguments: Argument) -> list[Argument]:
        """The first few of them."""
        return list(arguments[: self.random.randint(0, len(arguments))])

    def maybe_text(self, *texts: str) -> list[str]:
        """One of them, or none."""
        return [self.random.choice(texts)] if self.random.random() < 0.7 else []

    def pick(self, *texts: str) -> str:
        return self.random.choice(texts)

    def with_axis(self, name: str, keyword: str = "dim") -> list[Argument]:
        return [(keyword, self.axis(name))]

    def spelled(self, arguments: list[Argument]) -> str:
        """The arguments as they stand in a call, the first of them by place and the others by keyword."""
        by_place = self.random.randint(0, len(arguments))
        texts = []
        for position, (keyword, text) in enumerate(arguments):
            bare = keyword.removeprefix("*")
            if bare == "dim" and self.random.random() < 0.2:
                bare = "axis"
            is_named = keyword.startswith("*") or (position >= by_place and bare)
            texts.append(f"{bare}={text}" if is_named else text)
        return ", ".join(texts)
