"""What an operator returns: the shape and dtype of each tensor, in terms of its arguments."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from vllm_lint.analyzer.context import Frame
from vllm_lint.analyzer.interpreter import Interpreter
from vllm_lint.analyzer.sizes import Atom, Size
from vllm_lint.analyzer.values import (
    HOST,
    HOST_DATA,
    NONE,
    Tensor,
    Value,
    as_size,
    choice,
    options,
    tensor_among,
)
from vllm_lint.analyzer.values import Sequence as SequenceValue
from vllm_lint.rewriter.arguments import Parameter, Refused, Taken

#: Labels of what was only assumed, and so says nothing about two sizes being equal.
_ASSUMED = frozenset({"width", "?"})
_CUTS = frozenset({"narrow", "split", "chunk", "tensor_split", "split_with_sizes", "topk", "unfold", "unbind"})
_OPERATORS = {"floordiv": "({} // {})", "mod": "({} % {})", "min": "min({}, {})", "max": "max({}, {})"}


@dataclass
class _Known:
    """The arguments in one run of the block."""

    shapes: dict[str, Tensor] = field(default_factory=dict)
    sizes: dict[Size, str] = field(default_factory=dict)

    def add(self, name: str, tensor: Tensor) -> None:
        self.shapes[name] = tensor
        rank = len(tensor.shape or ())
        for i, size in enumerate(tensor.shape or ()):
            self.sizes.setdefault(size, f"{name}.shape[{_position(i, rank, tensor)}]")


@dataclass(frozen=True)
class Output:
    """One result: the text of its shape, None where that is not known, and whether it is on the CPU."""

    shape: str | None
    on_host: bool = False


def outputs_of(
    interpreter: Interpreter, frames: Sequence[Frame], body: list[ast.stmt], taken: Taken, names: Sequence[str] | None
) -> list[Output]:
    """What `body` leaves in `names`, or returns where that is None.

    Raises:
        Refused: it is something else than tensors, or not the same number of them on all paths.
    """
    is_cut = _cuts(body)
    rows: list[list[Output]] = []
    for frame in frames:
        known, inner = _seeded(interpreter, frame, taken.parameters)
        with interpreter.silently():
            falls = interpreter.execute(body, inner)
        if names is not None:
            found = [[interpreter.lookup(name, inner) for name in names]] if falls else []
        else:
            found = [_results(value) for value in inner.returns]
        rows += [
            [_output(value, known, (names or [])[i : i + 1], is_cut=is_cut) for i, value in enumerate(row)]
            for row in found
        ]
    if not rows:
        raise Refused("nothing is known of what it computes")
    if len({len(row) for row in rows}) != 1:
        raise Refused("it returns more tensors on one path than on another")
    return [_agreed(column) for column in zip(*rows, strict=True)]


def _results(value: Value) -> list[Value]:
    if isinstance(value, SequenceValue) and value.kind == "tuple" and value.items is not None:
        return value.items
    return [value]


def _cuts(body: list[ast.stmt]) -> bool:
    """Whether rows are taken by fixed numbers: of what there is too little for that, fewer are taken."""
    for node in (n for s in body for n in ast.walk(s)):
        if isinstance(node, ast.Subscript):
            first = node.slice.elts[0] if isinstance(node.slice, ast.Tuple) and node.slice.elts else node.slice
            if isinstance(first, ast.Slice) and (first.lower is not None or first.upper is not None):
                return True
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _CUTS:
            return True
    return False


def _output(value: Value, known: _Known, names: Sequence[str], *, is_cut: bool) -> Output:
    what = f"`{names[0]}`" if names else "what it returns"
    tensor = tensor_among(value)
    if tensor is None or any(not isinstance(option, Tensor) for option in options(value)):
        said = "may be None" if NONE in options(value) else "is no tensor"
        raise Refused(f"{what} {said} at the end of the block")
    shape = _shape(tensor, known)
    if is_cut and shape is not None and not shape.endswith(".shape"):
        shape = None
    return Output(shape, tensor.memory in (HOST, HOST_DATA))


def _agreed(column: Sequence[Output]) -> Output:
    shapes = {output.shape for output in column}
    return Output(shapes.pop() if len(shapes) == 1 else None, all(output.on_host for output in column))


def _seeded(interpreter: Interpreter, frame: Frame, parameters: Sequence[Parameter]) -> tuple[_Known, Frame]:
    """A frame in which every size of an argument has a name of its own, and these names."""
    inner, known = frame.fork(), _Known()
    inner.returns = []
    for parameter in parameters:
        is_local = parameter.given == parameter.name
        if is_local:
            value = interpreter.lookup(parameter.name, frame)
        else:
            with interpreter.silently():
                value = interpreter.evaluate(ast.parse(parameter.given, mode="eval").body, frame.fork())
        tensor = tensor_among(value)
        if tensor is not None and parameter.type.startswith("torch.Tensor"):
            if is_local:
                tensor = _named(tensor, parameter.name)
                others = [] if parameter.is_tensor else [o for o in options(value) if o == NONE]
                inner.variables[parameter.name] = choice([tensor, *others])
            if parameter.is_tensor:
                known.add(parameter.name, tensor)
        size = as_size(value) if parameter.type == "int" else None
        if size is not None and not size.statics() & _ASSUMED:
            known.sizes.setdefault(size, parameter.name)
    return known, inner


def _named(tensor: Tensor, name: str) -> Tensor:
    """The tensor with a name for each size that is not known; where the rank is a guess, anything goes by it."""
    shape = tensor.shape or (Size.static("?"), Size.static("?"))
    is_open = tensor.open or not tensor.exact or tensor.shape is None
    tensor = replace(tensor, open=is_open, exact=True)
    dims = [
        Size.static(f"{name}.shape[{_position(i, len(shape), tensor)}]") if d.statics() & _ASSUMED or d.is_vague else d
        for i, d in enumerate(shape)
    ]
    return replace(tensor, shape=tuple(dims))


def _position(index: int, rank: int, tensor: Tensor) -> int:
    """How the text names a dimension: the last one from behind where the rank is a guess."""
    return -1 if tensor.open and rank > 1 and index == rank - 1 else index


def _shape(tensor: Tensor, known: _Known) -> str | None:
    """The shape as an expression over the arguments; None if it is not known."""
    shape = tensor.shape
    if shape is None or not tensor.exact or tensor.unbacked:
        return None
    for name, given in known.shapes.items():
        if given.shape == shape and given.open == tensor.open:
            return f"{name}.shape"
    if not tensor.open:
        dims = [_text(d, known) for d in shape]
        return _tuple(dims)
    # Whatever the rank really is: the front of an argument's shape, or the end of it, with something else.
    for name, given in known.shapes.items():
        theirs = given.shape or ()
        if not given.open:
            continue
        for count in range(1, len(shape)):
            if len(theirs) == len(shape) and theirs[:-count] == shape[:-count]:
                return _tuple([f"*{name}.shape[:-{count}]", *(_text(d, known) for d in shape[-count:])])
            if len(theirs) == len(shape) and theirs[count:] == shape[count:]:
                return _tuple([*(_text(d, known) for d in shape[:count]), f"*{name}.shape[{count}:]"])
        for count in range(1, len(theirs)):
            if theirs[count:] == shape:
                return f"{name}.shape[{count}:]"
            if theirs[:-count] == shape:
                return f"{name}.shape[:-{count}]"
    return None


def _tuple(dims: Sequence[str | None]) -> str | None:
    if any(d is None for d in dims):
        return None
    return f"({', '.join(map(str, dims))}{',' * (len(dims) == 1)})"


def _text(size: Size, known: _Known) -> str | None:
    if size in known.sizes:
        return known.sizes[size]
    if size.constant is not None:
        return str(size.constant)
    terms: list[str] = []
    for monomial, coefficient in size.terms:
        atoms = [_atom(atom, known) for atom in monomial]
        if any(a is None for a in atoms):
            return None
        terms.append(" * ".join([*([str(coefficient)] if coefficient != 1 or not atoms else []), *map(str, atoms)]))
    return " + ".join(terms).replace("+ -", "- ")


def _atom(atom: Atom, known: _Known) -> str | None:
    alone = Size([((atom,), 1)])
    if alone in known.sizes:
        return known.sizes[alone]
    if len(atom) != 3 or atom[1] not in _OPERATORS or len(atom[2]) != 2:
        return None
    operands = [_text(operand, known) for operand in atom[2]]
    if any(o is None for o in operands):
        return None
    spaced = [f"({o})" if " " in str(o) and atom[1] in ("floordiv", "mod") else str(o) for o in operands]
    return _OPERATORS[atom[1]].format(*spaced)
