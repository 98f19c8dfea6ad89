"""Whose memory a value is made of: which operations give a view, and which write into what they are given."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from functools import lru_cache

from vllm_lint.analyzer.index import CACHED_NODES, walk_function

NOBODY: frozenset[str] = frozenset()

#: Methods and functions whose result shares memory with the tensor.
VIEWS = frozenset(
    """
    view view_as t transpose permute unsqueeze squeeze expand expand_as narrow select chunk split tensor_split unbind
    unflatten detach diagonal movedim moveaxis swapaxes swapdims as_strided alias view_as_real view_as_complex hsplit
    vsplit dsplit split_with_sizes requires_grad_ adjoint unfold
    """.split()  # noqa: SIM905 - a list of so many words is easier to read like this
)
VIEW_ATTRIBUTES = frozenset({"data", "T", "mT", "H", "mH", "real", "imag"})
#: The same, or a copy: it depends on layout, type and device.
MAYBE_VIEWS = frozenset(
    "reshape flatten contiguous to type float half bfloat16 double int long cuda cpu ravel".split()  # noqa: SIM905
)
#: Methods with a trailing underscore that write nothing into the tensor.
_HARMLESS = frozenset({"requires_grad_", "share_memory_", "rename_"})


def writes_in_place(name: str) -> bool:
    """Whether a method of that name of a tensor writes into it."""
    return name.endswith("_") and not name.endswith("__") and name not in _HARMLESS


@dataclass(frozen=True)
class Memory:
    """A tensor, or several, by the parameters of the operator whose memory it is made of.

    `certain` are those that it shares memory with in any case, `possible` those that it may. `own` names the
    allocation that it is a view of, None where it is not known to be one; `parts` are the items of a tuple.
    """

    certain: frozenset[str] = NOBODY
    possible: frozenset[str] = NOBODY
    own: object = None
    whole: bool = True
    """Whether it is all of that memory as it was made, not a view."""
    parts: tuple[Memory, ...] | None = None

    def view(self) -> Memory:
        """A view of it."""
        return Memory(self.certain, self.possible, self.own, whole=False)

    def maybe(self) -> Memory:
        """A view or a copy of it."""
        return Memory(NOBODY, self.certain | self.possible)

    def item(self, index: int) -> Memory:
        """One of several; of a tensor, a view."""
        if self.parts is None:
            return self.view()
        return self.parts[index] if index < len(self.parts) else NOTHING


NOTHING = Memory()
COPY = Memory(own="a copy")
"""What somebody asked for a copy of."""


def joined(a: Memory, b: Memory) -> Memory:
    """What is `a` on one path and `b` on another."""
    if a == b:
        return a
    if a.parts is not None and b.parts is not None and len(a.parts) == len(b.parts):
        return Memory(parts=tuple(map(joined, a.parts, b.parts)))
    certain = a.certain & b.certain
    possible = a.certain | b.certain | a.possible | b.possible
    if COPY in (a, b) and not (a.certain or b.certain):
        return NOTHING  # what may be a view is copied on one path: the author knows, and tells the two apart
    return Memory(certain, possible - certain, a.own if a.own == b.own else None, a.whole and b.whole)


@dataclass
class Paths:
    """The variables on the paths that come together somewhere."""

    ways: list[dict[str, Memory]] = field(default_factory=list)

    def merged(self) -> dict[str, Memory] | None:
        """What is known behind that place; None if no path leads there."""
        if not self.ways:
            return None
        merged = dict(self.ways[0])
        for way in self.ways[1:]:
            merged = {k: joined(merged.get(k, NOTHING), way.get(k, NOTHING)) for k in merged.keys() | way.keys()}
        return merged


# Triton


@lru_cache(maxsize=CACHED_NODES)
def stored_parameters(node: ast.FunctionDef) -> frozenset[str]:
    """The parameters of a Triton kernel that occur in an address that it stores to."""
    bound: dict[str, list[tuple[int, set[str]]]] = {}
    uses: list[tuple[str, int]] = []
    for inner in walk_function(node):
        if isinstance(inner, (ast.Assign, ast.AugAssign, ast.AnnAssign)) and inner.value is not None:
            targets = inner.targets if isinstance(inner, ast.Assign) else [inner.target]
            for target in (n for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)):
                more = {target.id} if isinstance(inner, ast.AugAssign) else set()
                bound.setdefault(target.id, []).append((inner.lineno, _address_names(inner.value) | more))
        if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute):
            uses += [(name, inner.lineno) for name in _stored_to(inner, inner.func)]
    parameters = {a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)}
    found: set[str] = set()
    seen = set(uses)
    while uses:
        name, line = uses.pop()
        before = sorted((at, names) for at, names in bound.get(name, ()) if at < line)
        if not before and name in parameters:
            found.add(name)
        for at, names in before[-1:]:
            fresh = {(n, at) for n in names} - seen
            seen |= fresh
            uses += fresh
    return frozenset(found)


def _stored_to(call: ast.Call, function: ast.Attribute) -> set[str]:
    """Names in the address that a call stores to; none if it stores nothing."""
    if _is_triton(function.value) and (function.attr == "store" or function.attr.startswith("atomic_")):
        address = call.args[0] if call.args else next((k.value for k in call.keywords), None)
        return set() if address is None else _address_names(address)
    return _address_names(function.value) if function.attr == "store" else set()  # of a descriptor


#: Functions of Triton that make an address of another one.
_ADDRESSES = ("multiple_of", "max_contiguous", "make_block_ptr", "make_tensor_descriptor", "advance", "broadcast_to")


def _address_names(node: ast.expr) -> set[str]:
    """Names in an address, those left out that only tell where in the memory it is because they were loaded."""
    found: set[str] = set()
    stack: list[ast.AST] = [node]
    while stack:
        current = stack.pop()
        if isinstance(current, ast.Name):
            found.add(current.id)
        elif isinstance(current, ast.Call):
            function = current.func
            if isinstance(function, ast.Attribute) and function.attr in _ADDRESSES:
                stack += [*current.args, *(k.value for k in current.keywords)]
            elif isinstance(function, ast.Attribute) and not _is_triton(function.value):
                stack.append(function.value)  # a method, such as `.to(tl.pointer_type(tl.float32))`
        else:
            stack.extend(ast.iter_child_nodes(current))
    return found


def _is_triton(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("tl", "language", "triton")
