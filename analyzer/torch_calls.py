"""Calls of torch functions and tensor methods: their results' shapes, and what they ask of the token count.

A function of the `torch` namespace whose first argument is a tensor is looked up as the method of the same name.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from vllm_lint.analyzer import decisions, host_calls, operators, rows, untraceable
from vllm_lint.analyzer.calls import Call
from vllm_lint.analyzer.context import Context, Frame
from vllm_lint.analyzer.events import SizeDivision
from vllm_lint.analyzer.index import names_in
from vllm_lint.analyzer.operators import ONE, derived, product, some, some_int
from vllm_lint.analyzer.sizes import Condition, Size
from vllm_lint.analyzer.source import Located
from vllm_lint.analyzer.values import (
    FALSE,
    NONE,
    TRUE,
    UNKNOWN,
    Bool,
    Choice,
    Const,
    External,
    Float,
    Function,
    Instance,
    Int,
    Layer,
    Mapping,
    Partial,
    Sequence,
    Shape,
    Static,
    Tensor,
    Unbacked,
    Unknown,
    Value,
    as_size,
    choice,
    element_of,
    inputs_of,
    options,
    tainted,
    trail_of,
)

#: More pieces of a tensor are known by what they have in common.
_MAX_PIECES = 16


class TorchCall(Call):
    """One call of a torch function or method; a method's tensor is the first argument."""

    __slots__ = ()

    @property
    def tensor(self) -> Tensor:
        """The tensor that the operation is about."""
        first = self.args[0] if self.args else UNKNOWN
        return first if isinstance(first, Tensor) else Tensor(exact=False)

    def argument(self, index: int, name: str, default: Value = NONE) -> Value:
        """The argument at `index` (the tensor itself is 0) or called `name`."""
        for key in (name, name.replace("dim", "axis")):  # torch takes NumPy's word as well
            if key in self.kwargs:
                return self.kwargs[key]
        return self.args[index] if index < len(self.args) else default

    def integer(self, index: int, name: str, default: int | None = None) -> int | None:
        """A constant integer argument; None if it is not known."""
        value = self.argument(index, name, Const(default))
        return value.value if isinstance(value, Const) and isinstance(value.value, int) else None

    def axis(self, index: int, default: int | None = 0, name: str = "dim") -> int | None:
        """An argument that names a dimension, as a position from 0; None if it or the rank is not known."""
        shape = self.tensor.shape
        dim = self.integer(index, name, default)
        if dim is None or shape is None or not -len(shape) <= dim < len(shape):
            return None
        return dim % len(shape) if shape else None

    def sizes(self, start: int, name: str = "size") -> list[Value]:
        """Sizes given one by one, or as one sequence."""
        if name in self.kwargs:
            given: list[Value] = [self.kwargs[name]]
        else:
            given = self.args[start:]
        if len(given) == 1 and isinstance(given[0], Sequence) and given[0].items is not None:
            return given[0].items
        return given

    def dtype(self, default: str = "") -> str:
        """The dtype that `dtype=` asks for: "bool", or "" for a number; `default` where it asks for none."""
        asked = self.kwargs.get("dtype", NONE)
        return default if asked == NONE else host_calls.dtype_named(asked)

    def result(self, shape: object, *sources: Value, dtype: str = "", exact: bool = True) -> Tensor:
        """A tensor computed from the operation's tensor and `sources`."""
        assert shape is None or isinstance(shape, tuple)
        return derived(shape, self.tensor, *sources, dtype=dtype, exact=exact)

    def kept(self, shape: object, *sources: Value, exact: bool = True) -> Tensor:
        """The same elements, or some of them, in another shape."""
        return self.result(shape, *sources, dtype=self.tensor.dtype, exact=exact)


Handler: TypeAlias = Callable[[TorchCall], Value]


def call_torch(
    context: Context, name: str, args: list[Value], kwargs: dict[str, Value], node: Located, frame: Frame
) -> Value:
    """TorchCall `torch.<name>`; `name` may have dots."""
    short = name.rpartition(".")[2]
    if "..." in kwargs:
        return Tensor(exact=False) if short in _FUNCTIONS or short in _METHODS else UNKNOWN
    if name in _CONSTANTS:
        return _CONSTANTS[name]
    if args and isinstance(args[0], Choice) and any(isinstance(o, Tensor) for o in args[0].options):
        tensors = [o for o in args[0].options if isinstance(o, Tensor)]
        return choice(call_torch(context, name, [o, *args[1:]], kwargs, node, frame) for o in tensors)
    call = TorchCall(context, name, args, kwargs, node, frame)
    if "input" in kwargs and not args:
        call.args, call.kwargs = [kwargs["input"]], {k: v for k, v in kwargs.items() if k != "input"}
    if not context.quiet:
        _report_options(call)
    if name in _FUNCTIONS:
        result = _FUNCTIONS[name](call)
        return host_calls.made(call, result) if name in _MAKERS else result
    if name.startswith("nn.") and short[:1].isupper():
        if untraceable.holds_parameters(short, kwargs):
            call.report("torch.nn.Parameter" if short == "Parameter" else "torch.nn.Module.__init__")
        return _layer(short, args, kwargs)
    if short in _FUNCTIONS and name.startswith(("nn.functional.", "_C._nn.", "special.", "fft.", "linalg.")):
        return _FUNCTIONS[short](call)
    if call.args and isinstance(call.args[0], Tensor) and short in _METHODS:
        return _METHODS[short](call)
    tensors = [v for v in (*args, *kwargs.values()) if isinstance(v, Tensor)]
    return derived(None, *tensors, exact=False) if tensors else Static(f"torch.{name}")


def _report_options(call: TorchCall) -> None:
    """Report arguments that break the graph, whatever function they are given to."""
    if call.kwargs.get("requires_grad") == TRUE:
        call.report("requires_grad=True")
    out = call.kwargs.get("out")
    if any(isinstance(o, Tensor) and o.strided for o in ((out.items or ()) if isinstance(out, Sequence) else (out,))):
        call.report("torch.Tensor.out")
    if isinstance(out, Sequence) and any(map(_is_empty, out.items or ())):
        call.report("torch.Tensor.out.several")
    if isinstance(out, Tensor) and call.name in _ELEMENTWISE_NAMES and _cannot_hold(out, call.args):
        call.report("torch.Tensor.out")
    generator = call.kwargs.get("generator")
    if isinstance(generator, Layer) and generator.name == "torch.Generator":
        call.report("torch.Generator.draw")


def _cannot_hold(out: Tensor, operands: list[Value]) -> bool:
    """Whether `out` has a size of its own where an element-wise operation gives one that depends on the tokens."""
    fixed = out.exact and out.shape is not None and not out.open and not out.depends
    return fixed and any(isinstance(o, Tensor) and o.depends and o.exact for o in operands)


def call_tensor_method(
    context: Context,
    tensor: Tensor,
    name: str,
    args: list[Value],
    kwargs: dict[str, Value],
    node: Located,
    frame: Frame,
) -> Value:
    """TorchCall `tensor.<name>(...)`."""
    call = TorchCall(context, name, [tensor, *args], kwargs, node, frame)
    if not context.quiet:
        _report_method(call)
    handler = _METHODS.get(name)
    if handler is None or "..." in kwargs:
        return derived(None, tensor, exact=False)
    return handler(call)


def _is_empty(value: Value) -> bool:
    """Whether a tensor has no elements, so that an operation which writes to it has to resize it first."""
    return isinstance(value, Tensor) and not value.open and any(s.constant == 0 for s in value.shape or ())


def _report_method(call: TorchCall) -> None:
    """Report a method that breaks the graph."""
    for name in (f"torch.Tensor.{call.name}", f"numpy.ndarray.{call.name}"):  # `numpy()` leaves it a tensor here
        if untraceable.kind_of(name) is not None and name not in _REPORTED_BY_HANDLER:
            break
    else:
        return
    condition = _METHOD_BREAKS_IF.get(call.name)
    if condition is None or condition(call):
        call.report(name)


def _on_argument(call: TorchCall) -> bool:
    """Whether a method is called on an argument of the compiled function itself, as the caller passed it."""
    function = call.node.func if isinstance(call.node, ast.Call) else None
    return isinstance(function, ast.Attribute) and call.frame.is_root_argument(function.value)


def _on_floats(call: TorchCall) -> bool:
    """Whether the tensor is cast to floats in the same expression."""
    function = call.node.func if isinstance(call.node, ast.Call) else None
    cast = function.value if isinstance(function, ast.Attribute) else None
    name = cast.func.attr if isinstance(cast, ast.Call) and isinstance(cast.func, ast.Attribute) else ""
    return name in ("float", "double", "half", "bfloat16")


#: Where a method breaks the graph only under a condition.
_METHOD_BREAKS_IF: dict[str, Callable[[TorchCall], bool]] = {
    **dict.fromkeys(("unsqueeze_", "squeeze_", "t_", "transpose_", "requires_grad_"), _on_argument),
    "astype": lambda call: call.argument(1, "dtype") == External("builtins.object"),
    "tolist": _on_floats,
    "as_subclass": lambda call: isinstance(cls := call.argument(1, "cls"), External) and cls.name.startswith("torch."),
    "uniform_": lambda call: "from" in call.kwargs,
    "set_": lambda call: len(call.args) > 1 and not isinstance(call.args[1], Tensor),
}
#: Methods of which something else than their call breaks the graph.
_REPORTED_BY_HANDLER = {
    "torch.Tensor.data",
    "torch.Tensor.data.dtype",
    "torch.Tensor.real",
    "torch.Tensor.imag",
    "torch.Tensor.data_ptr",
    "torch.Tensor.requires_grad",
    "torch.Tensor.out",
}


def _repeat_interleave(call: TorchCall) -> Value:
    repeats, shape = call.argument(1, "repeats"), call.tensor.shape
    is_flat = call.argument(2, "dim") == NONE
    axis = 0 if is_flat else call.axis(2, None)
    if isinstance(repeats, Tensor) and call.argument(3, "output_size") == NONE:
        if axis != 0:
            return call.kept(None, exact=False)
        found = host_calls.data_sized(call, () if is_flat or shape is None else shape[1:])
        return replace(found, dtype=call.tensor.dtype)
    count = as_size(repeats)
    if shape is None or axis is None or count is None:
        return call.kept(None, exact=False)
    shape = (product(shape),) if is_flat else shape
    return call.kept((*shape[:axis], shape[axis] * count, *shape[axis + 1 :]), repeats)


def _where(call: TorchCall) -> Value:
    if len(call.args) + len(call.kwargs) == 1:
        return host_calls.positions(call)
    values = [*call.args, *call.kwargs.values()]
    return operators.elementwise(call.context, values, call.node, call.frame)


# Methods that keep or change the shape


def _same(call: TorchCall) -> Value:
    """A result of the same shape and dtype."""
    return _shaped_alike(call, call.dtype(call.tensor.dtype))


def _number(call: TorchCall) -> Value:
    """The same shape, and numbers even where the tensor holds truth values."""
    return _shaped_alike(call, "int" if call.tensor.dtype == "bool" else call.tensor.dtype)


def _float(call: TorchCall) -> Value:
    return _shaped_alike(call, "float")


def _truth(call: TorchCall) -> Value:
    return _shaped_alike(call, "bool")


def _indices(call: TorchCall) -> Value:
    return _shaped_alike(call, "int")


def _shaped_alike(call: TorchCall, dtype: str) -> Tensor:
    if call.tensor.open:
        return replace(call.tensor, dtype=dtype)
    return call.result(call.tensor.shape, dtype=dtype)


def _elementwise(call: TorchCall) -> Value:
    return operators.elementwise(call.context, [*call.args, *call.kwargs.values()], call.node, call.frame)


def _quotient(call: TorchCall) -> Value:
    """`div` and its like, which give floats unless they are told to round."""
    values = [v for k, v in call.kwargs.items() if k != "rounding_mode"]
    is_rounded = call.kwargs.get("rounding_mode", NONE) != NONE
    dtype = "" if is_rounded else "float"
    return operators.elementwise(call.context, [*call.args, *values], call.node, call.frame, dtype)


def _filled(call: TorchCall) -> Value:
    """`masked_fill(mask, value)`: broadcast with the mask."""
    values = [call.tensor, call.argument(1, "mask")]
    return operators.elementwise(call.context, values, call.node, call.frame, call.tensor.dtype)


def _clamp(call: TorchCall) -> Value:
    bounds = [v for v in (*call.args[1:], *call.kwargs.values()) if v != NONE]
    if call.tensor.open or any(isinstance(v, Unknown) for v in bounds):
        return _same(call)
    return operators.elementwise(call.context, [call.tensor, *bounds], call.node, call.frame)


def _boolean(call: TorchCall) -> Value:
    values = [*call.args, *call.kwargs.values()]
    return operators.elementwise(call.context, values, call.node, call.frame, dtype="bool")


def _attention(call: TorchCall) -> Value:
    """`scaled_dot_product_attention(query, key, value)`: as many rows as queries, as wide as values."""
    shape, value = call.tensor.shape, call.argument(2, "value")
    width = value.shape[-1] if isinstance(value, Tensor) and value.shape else some()
    return call.result(None if not shape else (*shape[:-1], width))


def _view(call: TorchCall) -> Value:
    sizes = call.args[1:] or list(call.kwargs.values())
    is_one = len(sizes) == 1 and isinstance(sizes[0], (Static, Const, External))
    if is_one and sizes[0] != Const(-1) and as_size(sizes[0]) is None:
        return _view_as_dtype(call)
    form = "view" if call.name.endswith("view") else "reshape"
    return operators.reshape(call.context, call.tensor, sizes, call.node, call.frame, form)


def _view_as_dtype(call: TorchCall) -> Value:
    """`x.view(dtype)`: the last dimension is another where the elements are of another width."""
    shape, asked = call.tensor.shape, call.kwargs.get("dtype", call.argument(1, ""))
    last = () if not shape else (Size.about(shape[-1]) if shape[-1].depends else some(),)
    return replace(call.result(None if shape is None else (*shape[:-1], *last)), dtype=host_calls.dtype_named(asked))


def _like_second(call: TorchCall) -> Value:
    other = call.argument(1, "other")
    return call.kept(other.shape if isinstance(other, Tensor) else None)


def _flatten(call: TorchCall) -> Value:
    shape = call.tensor.shape
    start, end = call.integer(1, "start_dim", 0), call.integer(2, "end_dim", -1)
    if shape is None or start is None or end is None:
        return call.kept(None, exact=False)
    if not shape:
        return call.kept((ONE,))
    start, end = start % len(shape), end % len(shape)
    flat = (*shape[:start], product(shape[start : end + 1]), *shape[end + 1 :])
    return call.kept(flat, exact=not call.tensor.open)


def _unflatten(call: TorchCall) -> Value:
    shape, axis = call.tensor.shape, call.axis(1)
    sizes = call.argument(2, "sizes")
    if shape is None or axis is None or not isinstance(sizes, Sequence) or sizes.items is None:
        return call.kept(None, exact=False)
    part = Tensor((shape[axis],), exact=call.tensor.exact, trail=call.tensor.trail, inputs=call.tensor.inputs)
    split = operators.reshape(call.context, part, list(sizes.items), call.node, call.frame, "unflatten")
    if not isinstance(split, Tensor) or split.shape is None:
        return call.kept(None, exact=False)
    return call.kept((*shape[:axis], *split.shape, *shape[axis + 1 :]))


def _unsqueeze(call: TorchCall) -> Value:
    shape, dim = call.tensor.shape, call.integer(1, "dim")
    if shape is None or dim is None:
        return call.kept(None, exact=False)
    at = dim if dim >= 0 else dim + len(shape) + 1
    return replace(call.kept((*shape[:at], ONE, *shape[at:])), open=call.tensor.open)


def _squeeze(call: TorchCall) -> Value:
    shape, axis = call.tensor.shape, call.axis(1, None)
    dims = call.argument(1, "dim")
    takes_all = dims == NONE
    for size in (shape or ()) if takes_all else () if shape is None or axis is None else (shape[axis],):
        rows.need(call.context, call.tensor, size, 2, call.node, call.frame, "squeeze")
    if shape is None or call.tensor.open:
        return call.kept(None, exact=False)
    if takes_all:
        return call.kept(tuple(s for s in shape if s != ONE), exact=False)
    numbers = dims.items if isinstance(dims, Sequence) else [dims]
    axes = {d.value for d in numbers or () if isinstance(d, Const) and isinstance(d.value, int)}
    if numbers is None or len(axes) != len(numbers) or not all(-len(shape) <= axis < len(shape) for axis in axes):
        return call.kept(None, exact=False)
    gone = {axis % len(shape) for axis in axes}
    return call.kept(tuple(s for i, s in enumerate(shape) if s != ONE or i not in gone))


def _transpose(call: TorchCall) -> Value:
    shape = call.tensor.shape
    a, b = call.axis(1, None, "dim0"), call.axis(2, None, "dim1")
    if shape is None or a is None or b is None:
        return call.result(None, exact=False)
    order = list(range(len(shape)))
    order[a], order[b] = b, a
    return operators.reordered(call.tensor, order)


def _permute(call: TorchCall) -> Value:
    shape, order = call.tensor.shape, call.sizes(1, "dims")
    if shape is None or len(order) != len(shape) or not all(isinstance(o, Const) for o in order):
        return call.result(None, exact=False)
    axes = [o.value % len(shape) for o in order if isinstance(o, Const) and isinstance(o.value, int)]
    return operators.reordered(call.tensor, axes)


def _t(call: TorchCall) -> Value:
    shape = call.tensor.shape
    if shape is None:
        return call.result(None, exact=False)
    return operators.reordered(call.tensor, list(range(len(shape)))[::-1])


def _expand(call: TorchCall) -> Value:
    sizes, shape = call.sizes(1), call.tensor.shape
    result: list[Size] = []
    for position, size in enumerate(sizes):
        behind = len(sizes) - position
        own = shape[-behind] if shape is not None and behind <= len(shape) else None
        wanted = as_size(size)
        if size == Const(-1):
            result.append(own or some())
        elif wanted is None:
            return call.kept(None, *sizes, exact=False)
        else:
            if own is not None and own.depends and wanted.constant not in (None, 1) and call.tensor.exact:
                call.specialize("expand to a fixed size", call.tensor)
            result.append(wanted if wanted.depends or own is None or not own.depends else own)
    return call.kept(tuple(result), *sizes)


def _repeat(call: TorchCall) -> Value:
    given, shape = call.sizes(1, "dims" if call.name.endswith("tile") else "repeats"), call.tensor.shape
    counts = [as_size(s) for s in given]
    if call.name.endswith("tile") and shape is not None:  # it may name the last few only
        counts = [*[ONE] * (len(shape) - len(counts)), *counts]
    if shape is None or len(counts) < len(shape) or any(c is None for c in counts):
        return call.kept(None, *given, exact=False)
    padded = (ONE,) * (len(counts) - len(shape)) + shape
    return call.kept(tuple(s * c for s, c in zip(padded, counts, strict=True) if c is not None), *given)


def _chunk(call: TorchCall) -> Value:
    shape, axis = call.tensor.shape, call.axis(2)
    form = call.name.rpartition(".")[2]
    count = call.argument(1, "chunks" if form == "chunk" else "indices_or_sections", call.kwargs.get("sections", NONE))
    if shape is None or axis is None:
        return Sequence("tuple", None, call.result(None, exact=False))
    rows.check_bounds(call.context, call.tensor, axis, call.node, call.frame, form)
    if form == "tensor_split" and isinstance(count, (Sequence, Tensor)):
        return Sequence("tuple", None, _piece(call, axis, Size.about(shape[axis]) if shape[axis].depends else some()))
    size, number = shape[axis].constant, count.value if isinstance(count, Const) else None
    if size and isinstance(number, int) and number > 0:
        return _pieces(call, axis, _lengths(size, number, even=form == "tensor_split"))
    length = operators.divide_dimension(call.context, call.tensor, axis, count, call.node, call.frame, form)
    piece = _piece(call, axis, length)
    if isinstance(number, int) and 0 < number <= _MAX_PIECES:
        return Sequence("tuple", [piece for _ in range(number)], piece)
    return Sequence("tuple", None, piece)


def _lengths(size: int, number: int, *, even: bool) -> list[int]:
    """How long the pieces of `size` are: alike as far as they can be, or all but the last of one length."""
    if even:
        return [size // number + (i < size % number) for i in range(number)]
    length = -(-size // number)
    return [min(length, size - start) for start in range(0, size, length)]


def _piece(call: TorchCall, axis: int, length: Size) -> Tensor:
    """A piece of the tensor along `axis`, which lies in one stretch of memory if nothing but ones is in front of it."""
    shape = call.tensor.shape or ()
    piece = call.result((*shape[:axis], length, *shape[axis + 1 :]), dtype=call.tensor.dtype)
    is_whole = operators.is_same(shape[axis], length) and not call.tensor.strided
    return operators.strided(piece, active=not is_whole and any(d != ONE for d in shape[:axis]))


def _pieces(call: TorchCall, axis: int, lengths: list[int]) -> Value:
    if len(lengths) > _MAX_PIECES:
        return Sequence("tuple", None, _piece(call, axis, Size.const(lengths[0])))
    return Sequence("tuple", [_piece(call, axis, Size.const(length)) for length in lengths], UNKNOWN)


def _split(call: TorchCall) -> Value:
    shape, axis = call.tensor.shape, call.axis(2)
    keys = ("split_size_or_sections", "split_size", "split_sizes")
    sizes = call.argument(1, next((key for key in keys if key in call.kwargs), keys[0]))
    if isinstance(sizes, Sequence):
        if sizes.items is None:
            return Sequence("tuple", None, call.result(None, exact=False))
        lengths = [as_size(s) or some() for s in sizes.items]
        fixed = sum(n for n in (s.constant for s in lengths) if n is not None)
        if shape is not None and axis is not None and any(n.depends for n in lengths):
            rows.need(call.context, call.tensor, shape[axis], fixed, call.node, call.frame, "split")
        if shape is not None and axis is not None and shape[axis].depends and not any(n.depends for n in lengths):
            call.specialize("split to a fixed size", call.tensor)
        if shape is None or axis is None:
            return Sequence("tuple", [call.result(None, exact=False) for _ in lengths], UNKNOWN)
        return Sequence("tuple", [_piece(call, axis, n) for n in lengths], UNKNOWN)
    length = as_size(sizes)
    rows.check_bounds(call.context, call.tensor, axis, call.node, call.frame, "split")
    if shape is None or axis is None or length is None:
        return Sequence("tuple", None, call.result(None, exact=False))
    if shape[axis].depends and not length.depends:
        call.context.emit(
            SizeDivision,
            call.node,
            call.frame,
            call.tensor,
            form="split",
            divisor=repr(length),
            exact=not call.tensor.open,
        )
    size, most = shape[axis].constant, length.constant
    if size and most:
        return _pieces(call, axis, [min(most, size - start) for start in range(0, size, most)])
    count = shape[axis].divide(length)
    if count is not None and count.constant is not None and count.constant <= _MAX_PIECES:
        return Sequence("tuple", [_piece(call, axis, length) for _ in range(count.constant)], UNKNOWN)
    if count is None and length.depends:  # the last piece may be shorter
        length = Size.about(length)
    return Sequence("tuple", None, _piece(call, axis, length))


def _unbind(call: TorchCall) -> Value:
    shape, axis = call.tensor.shape, call.axis(1)
    if shape is None or axis is None:
        return Sequence("tuple", None, call.result(None, exact=False))
    rows.check_bounds(call.context, call.tensor, axis, call.node, call.frame, "unbind")
    if shape[axis].depends:
        call.specialize("unbind", call.tensor)
    piece = _row(call, axis)
    count = shape[axis].constant
    return Sequence("tuple", [piece] * count if count is not None and count <= _MAX_PIECES else None, piece)


def _row(call: TorchCall, axis: int) -> Tensor:
    """What is left of the tensor at one place along `axis`."""
    shape = call.tensor.shape or ()
    row = call.result((*shape[:axis], *shape[axis + 1 :]), dtype=call.tensor.dtype)
    is_whole = shape[axis] == ONE and not call.tensor.strided
    return operators.strided(row, active=not is_whole and any(d != ONE for d in shape[:axis]))


def _narrow(call: TorchCall) -> Value:
    shape, axis, length = call.tensor.shape, call.axis(1), as_size(call.argument(3, "length"))
    if shape is None or axis is None:
        return call.result(None, exact=False)
    start = as_size(call.argument(2, "start"))
    if start is not None and length is not None and (start + length).constant is not None:
        end = (start + length).constant or 0
        rows.need(call.context, call.tensor, shape[axis], end, call.node, call.frame, "narrow")
    return replace(_piece(call, axis, length or some()), exact=call.tensor.exact and length is not None)


def _roll(call: TorchCall) -> Value:
    rows.check_bounds(call.context, call.tensor, call.integer(2, "dims"), call.node, call.frame, "roll")
    return _same(call)


def _select(call: TorchCall) -> Value:
    shape, axis, index = call.tensor.shape, call.axis(1, None), call.integer(2, "index")
    if shape is None or axis is None:
        return call.result(None, exact=False)
    rows.check_index(call.context, call.tensor, axis, Const(index), call.node, call.frame)
    return _row(call, axis)


def _index_select(call: TorchCall) -> Value:
    shape, axis, index = call.tensor.shape, call.axis(1), call.argument(2, "index")
    if shape is None or axis is None or not isinstance(index, Tensor) or index.shape is None:
        source = index if isinstance(index, Tensor) and index.shape else None
        if (
            source is not None
            and source.shape is not None
            and call.axis(1) in (0, None)
            and call.integer(1, "dim") == 0
        ):
            return derived((*source.shape, some()), index, dtype=call.tensor.dtype)
        return call.result(None, index, exact=False)
    length = product(index.shape)
    source = index if axis == 0 else call.tensor
    return derived((*shape[:axis], length, *shape[axis + 1 :]), source, dtype=call.tensor.dtype)


def _gather(call: TorchCall) -> Value:
    index = call.argument(2, "index")
    return call.result(index.shape if isinstance(index, Tensor) else None, dtype=call.tensor.dtype)


def _take_along(call: TorchCall) -> Value:
    index = call.argument(1, "indices")
    return call.result(index.shape if isinstance(index, Tensor) else None, dtype=call.tensor.dtype)


#: Where reductions take the dimensions, and whether to keep these: most do as the first and second argument.
_DIM_PLACES = {"norm": (2, 3), "std": (1, 3), "var": (1, 3)}


def _reduce(call: TorchCall) -> Value:
    shape, short = call.tensor.shape, call.name.rpartition(".")[2]
    place, keep_place = _DIM_PLACES.get(short, (1, 2))
    dims = call.argument(place, "dim")
    if short in ("std", "var") and isinstance(dims, Const) and isinstance(dims.value, bool):  # it says how to count
        dims = NONE
    dtype = "bool" if short in ("any", "all") else host_calls.result_dtype(short, call.tensor.dtype)
    if isinstance(dims, Tensor):  # torch.maximum-like use of max and min
        return operators.elementwise(call.context, [call.tensor, dims], call.node, call.frame)
    keep = call.argument(keep_place, "keepdim") == TRUE
    if dims == NONE:
        rank = None if shape is None else len(shape)
        kept = (() if not keep else None) if rank is None or not keep else (ONE,) * rank
        return derived(kept, Tensor(trail=call.tensor.trail, memory=call.tensor.memory), dtype=dtype)
    wanted = [dims] if not isinstance(dims, Sequence) else list(dims.items or [UNKNOWN])
    if shape is None or not all(isinstance(d, Const) and isinstance(d.value, int) for d in wanted):
        return _paired(call, call.result(None, dtype=dtype, exact=False))
    axes = {d.value % len(shape) for d in wanted if isinstance(d, Const) and isinstance(d.value, int) and shape}
    result = tuple(ONE if i in axes else s for i, s in enumerate(shape) if keep or i not in axes)
    return _paired(call, call.result(result, dtype=dtype))


def _paired(call: TorchCall, values: Tensor) -> Value:
    """max, min and median along a dimension give values and indices."""
    if call.name.rpartition(".")[2] in ("max", "min", "median"):
        return Sequence("tuple", [values, replace(values, dtype="int")], UNKNOWN)
    return values


def _sort(call: TorchCall) -> Value:
    return Sequence("tuple", [_same(call), _indices(call)], UNKNOWN)


def _topk(call: TorchCall) -> Value:
    shape, count, axis = call.tensor.shape, as_size(call.argument(1, "k")), call.axis(2, -1)
    if shape is None or axis is None:
        part = call.result(None, exact=False)
    else:
        if count is not None and count.constant is not None:
            rows.need(call.context, call.tensor, shape[axis], count.constant, call.node, call.frame, "topk")
        part = call.kept((*shape[:axis], count or some(), *shape[axis + 1 :]))
    return Sequence("tuple", [part, replace(part, dtype="int")], UNKNOWN)


def _matmul(call: TorchCall) -> Value:
    return operators.matmul(call.tensor, call.kwargs.get("mat2", call.argument(1, "other")))


def _addmm(call: TorchCall) -> Value:
    first, second = ("batch1", "batch2") if call.name.endswith("baddbmm") else ("mat1", "mat2")
    return operators.matmul(call.argument(1, first), call.argument(2, second))


def _size(call: TorchCall) -> Value:
    dim = call.argument(1, "dim")
    if dim == NONE:
        return Shape(call.tensor)
    if isinstance(dim, Const) and isinstance(dim.value, int):
        return operators.dimension(call.context, call.tensor, dim.value, _as_expression(call), call.frame)
    return Unknown("a dimension", tainted=True)


def _as_expression(call: TorchCall) -> ast.expr | None:
    return call.node if isinstance(call.node, ast.expr) else None


def _numel(call: TorchCall) -> Value:
    return operators.numel(call.context, call.tensor, call.node, call.frame)  # type: ignore[arg-type]


def _rank(call: TorchCall) -> Value:
    return operators.tensor_attribute(call.context, call.tensor, "ndim", call.node, call.frame)


def _length(call: TorchCall) -> Value:
    return operators.dimension(call.context, call.tensor, 0, call.node, call.frame)  # type: ignore[arg-type]


def _stride(call: TorchCall) -> Value:
    """The stride of a contiguous tensor; a transposed one is not followed."""
    shape, dim = call.tensor.shape, call.integer(1, "dim")
    if shape is None or dim is None or not shape:
        return Static("stride", "int")
    size = product(shape[dim % len(shape) + 1 :])
    if not size.depends:
        return Static("stride", "int")
    return Int(
        size, call.context.step(call.tensor, call.node, call.frame, "a stride follows from the number of tokens")
    )


def _contiguous(call: TorchCall) -> Value:
    """A transposed view with tokens behind another dimension is contiguous for one token only."""
    shape = call.tensor.shape
    if call.tensor.strided and shape and not shape[0].depends:
        tokens = next((d for d in shape if d.depends), ONE)
        return Bool(Condition("contiguous", (tokens, ONE)), call.tensor.trail, call.tensor.inputs, call.tensor.exact)
    return Static("contiguous", "bool")


# Functions


def _given_size(value: Value) -> Size | None:
    """A size that is given; of several that it may be, the one that depends on a token count."""
    size = as_size(operators.likely_size(value))
    return size if size is not None and (size.depends or not isinstance(value, Choice)) else None


def _creation(start: int) -> Handler:
    def handler(call: TorchCall) -> Value:
        sizes = call.sizes(start)
        if len(sizes) == 1 and isinstance(sizes[0], Shape):
            source = sizes[0].tensor
            return derived(source.shape, source)
        known = [_given_size(s) for s in sizes]
        if any(isinstance(s, Sequence) for s in sizes) or not sizes:
            return Tensor(exact=False)
        exact = all(k is not None for k in known) and not any(isinstance(s, Choice) for s in sizes)
        unbacked = isinstance(sizes[0], Unbacked)
        dtype = call.dtype(call.tensor.dtype if start else "")
        result = derived([k or some() for k in known], *sizes, dtype=dtype, exact=exact)
        return Tensor(**{**vars(result), "unbacked": unbacked})

    return handler


def _full(start: int) -> Handler:
    def handler(call: TorchCall) -> Value:
        sizes = call.argument(start, "size")
        inner: list[Value] = [sizes] if not isinstance(sizes, Sequence) else list(sizes.items or [UNKNOWN])
        result = _creation(0)(TorchCall(call.context, call.name, inner, {}, call.node, call.frame))
        fill = call.argument(start + 1, "fill_value")
        default = call.tensor.dtype if start else _kind(fill)
        return replace(result, dtype=call.dtype(default)) if isinstance(result, Tensor) else result

    return handler


def _arange(call: TorchCall) -> Value:
    bounds = [as_size(a) for a in call.args]
    if "end" in call.kwargs:
        bounds.append(as_size(call.kwargs["end"]))
    if not bounds or any(b is None for b in bounds):
        return derived((some(),), *call.args, exact=False)
    if len(bounds) == 1:
        length = bounds[0]
    else:
        span = (bounds[1] or ONE) - (bounds[0] or ONE)
        step = bounds[2] if len(bounds) > 2 else ONE
        length = -((-span) // step) if step is not None else some()
    return derived((length or some(),), *call.args)


def _linspace(call: TorchCall) -> Value:
    steps = call.argument(2, "steps")
    if isinstance(steps, Int) and steps.size.depends:
        call.specialize("linspace", steps)
    return derived((as_size(steps) or some(),), steps)


def _triangle(call: TorchCall) -> Value:
    """`tril_indices` and `triu_indices` count their results in Python."""
    sides = [v for v in call.args[:2] if isinstance(v, Int) and v.size.depends]
    if sides:
        call.specialize(call.name, *sides)
    return Tensor((Size.const(2), some()))


def _as_tensor(call: TorchCall) -> Value:
    value = call.argument(0, "data")
    if isinstance(value, Int) and value.size.depends and call.name.endswith("as_tensor"):
        call.specialize("as_tensor", value)
    return _tensor(call)


def _tensor(call: TorchCall) -> Value:
    return _made_of(call, call.argument(0, "data"))


def _new_tensor(call: TorchCall) -> Value:
    made = _made_of(call, call.argument(1, "data"))
    return replace(made, dtype=call.dtype(call.tensor.dtype))


def _made_of(call: TorchCall, data: Value) -> Tensor:
    """The tensor that holds numbers, or a nested list of them."""
    if isinstance(data, Tensor):
        return derived(data.shape, data, dtype=call.dtype(data.dtype))
    shape: list[Size] = []
    while isinstance(data, Sequence):
        shape.append(some() if data.items is None else Size.const(len(data.items)))
        data = element_of(data)
    if isinstance(data, Shape) and data.tensor.shape is not None:
        shape.append(Size.const(len(data.tensor.shape)))
    elif not all(isinstance(o, (Const, Int, Float, Bool, Static, Unbacked)) for o in options(data)):
        return Tensor(tuple(shape) if shape else None, exact=False)
    return Tensor(tuple(shape), call.dtype(_kind(data)), exact=not isinstance(data, Static))


def _kind(value: Value) -> str:
    """The dtype of a tensor that is made of a number; "" where it is not known."""
    kinds = {operators.kind_of(o) for o in options(value)}
    kind = kinds.pop() if len(kinds) == 1 else ""
    return kind if kind in ("bool", "int", "float") else ""


def _cat(call: TorchCall) -> Value:
    sequence = call.args[0] if call.args else call.kwargs.get("tensors", UNKNOWN)
    parts = [choice(p for p in options(i) if isinstance(p, Tensor)) for i in _tensors_of(sequence)]
    known = [p for p in parts if isinstance(p, Tensor) and p.shape]
    dim = call.integer(1, "dim", 0)
    if not known or dim is None:
        return derived(None, *parts, exact=False)
    first = known[0]
    assert first.shape is not None
    exact = len(known) == len(parts) and isinstance(sequence, Sequence) and sequence.items is not None
    if not -len(first.shape) <= dim < len(first.shape) or any(len(k.shape or ()) != len(first.shape) for k in known):
        return derived(None, *parts, exact=False)
    axis = dim % len(first.shape)
    total = sum((k.shape[axis] for k in known if k.shape), Size.const(0))
    if not exact:
        total = Size.about(total) if total.depends else some()
    shape = [next((k.shape[i] for k in known if k.shape and k.shape[i].depends), s) for i, s in enumerate(first.shape)]
    shape[axis] = total
    dtypes = {k.dtype for k in known}
    return derived(shape, *known, dtype=dtypes.pop() if len(dtypes) == 1 else "", exact=exact)


def _stack(call: TorchCall) -> Value:
    sequence = call.args[0] if call.args else call.kwargs.get("tensors", UNKNOWN)
    first = next((p for p in _tensors_of(sequence) if isinstance(p, Tensor)), None)
    dim = call.integer(1, "dim", 0)
    if first is None or first.shape is None or dim is None:
        return derived(None, *_tensors_of(sequence), exact=False)
    count = len(sequence.items) if isinstance(sequence, Sequence) and sequence.items is not None else None
    at = dim if dim >= 0 else dim + len(first.shape) + 1
    size = some() if count is None else Size.const(count)
    return derived((*first.shape[:at], size, *first.shape[at:]), first, dtype=first.dtype)


def _tensors_of(value: Value) -> list[Value]:
    if isinstance(value, Sequence):
        return value.items if value.items is not None else [element_of(value)]
    return []


def _linear(call: TorchCall) -> Value:
    shape, weight = call.tensor.shape, call.argument(1, "weight")
    out = weight.shape[0] if isinstance(weight, Tensor) and weight.shape else some()
    return call.result(None if not shape else (*shape[:-1], out))


def _convolution(call: TorchCall) -> Value:
    weight = call.argument(1, "weight")
    channels = Int(weight.shape[0]) if isinstance(weight, Tensor) and weight.shape else None
    return operators.windowed(call.name.rpartition(".")[2].capitalize(), call.tensor, channels)


def _max_pool(call: TorchCall) -> Value:
    return operators.max_pool(call.context, call.tensor, call.node, call.frame)


def _scan(call: TorchCall) -> Value:
    """`associative_scan(combine, xs, dim)`: but for Triton's, it is a recursion in Python that halves the length."""
    given = call.argument(1, "xs")
    tensors = [v for v in call.context.as_sequence(given).items or [] if isinstance(v, Tensor)]
    tensors = [given] if isinstance(given, Tensor) else tensors
    dim, modes = call.integer(2, "dim"), options(call.argument(4, "combine_mode"))
    if dim is None or Const("generic") not in modes:
        return given
    known = [(t, t.shape) for t in tensors if t.shape and (0 if t.open else -len(t.shape)) <= dim < len(t.shape)]
    causes = [tensor for tensor, shape in known if shape[dim].depends]
    if causes:
        call.specialize("associative_scan", causes[0])
    return given


def _embedding(call: TorchCall) -> Value:
    shape, weight = call.tensor.shape, call.argument(1, "weight")
    width = weight.shape[-1] if isinstance(weight, Tensor) and weight.shape else some()
    dtype = weight.dtype if isinstance(weight, Tensor) else ""
    return derived(None if shape is None else (*shape, width), call.tensor, dtype=dtype)


def _pad(call: TorchCall) -> Value:
    shape, pads = call.tensor.shape, call.argument(1, "pad")
    if shape is None or not isinstance(pads, Sequence) or pads.items is None:
        return call.kept(None, exact=False)
    sizes = [as_size(p) for p in pads.items]
    padded = list(shape)
    if any(s is None for s in sizes) or len(sizes) > 2 * len(padded):
        return call.kept(None, *pads.items, exact=False)
    for i in range(0, len(sizes) - 1, 2):
        before, after = sizes[i], sizes[i + 1]
        assert before is not None and after is not None
        padded[-1 - i // 2] = padded[-1 - i // 2] + before + after
    return call.kept(tuple(padded), *pads.items)


def _one_hot(call: TorchCall) -> Value:
    classes = call.argument(1, "num_classes")
    shape = call.tensor.shape
    if classes in (NONE, Const(-1)):
        call.report("torch.nn.functional.one_hot")
    return call.result(None if shape is None else (*shape, as_size(classes) or some()))


def _einsum(call: TorchCall) -> Value:
    equation = call.args[0] if call.args else UNKNOWN
    operands = [a for a in call.args[1:] if isinstance(a, Tensor)]
    if not isinstance(equation, Const) or not isinstance(equation.value, str):
        return derived(None, *operands, exact=False)
    left, arrow, right = equation.value.replace(" ", "").partition("->")
    if not arrow:  # what occurs once, in the order of the alphabet
        right = "".join(sorted(k for k in set(left) - {","} if left.count(k) == 1))
    known: dict[str, Size] = {}
    for labels, operand in zip(left.split(","), operands, strict=False):
        if operand.shape is not None and len(labels) == len(operand.shape) and "." not in labels:
            known.update({k: v for k, v in zip(labels, operand.shape, strict=True) if k not in known or v.depends})
    dtype = operators.promoted(operands)
    if "." in right:
        return derived(None, *operands, dtype=dtype, exact=False)
    return derived([known.get(k, some()) for k in right], *operands, dtype=dtype, exact=all(k in known for k in right))


def _equal(call: TorchCall) -> Value:
    """`torch.equal` and the like return a bool of Python, so the call itself needs the values."""
    decisions.emit_data(call.context, call.node, call.frame, call.tensor, f"{call.name.rpartition('.')[2]}()")
    return Static("equal", "bool")


def _device(call: TorchCall) -> Value:
    return host_calls.CPU if host_calls.is_cpu(call.argument(0, "type")) else Static("torch.device()", "device")


def _compile(call: TorchCall) -> Value:
    """`torch.compile(f)`: another region; what is called through it is followed as part of this one."""
    target = call.args[0] if call.args else call.kwargs.get("model")
    return target or Partial(External("torch.compile"), (), tuple(call.kwargs.items()))


def _layer(name: str, args: list[Value], kwargs: dict[str, Value]) -> Value:
    if name in ("ModuleList", "ParameterList"):
        return args[0] if args and isinstance(args[0], Sequence) else Sequence("list", None if args else [], UNKNOWN)
    if name in ("ModuleDict", "ParameterDict"):
        return args[0] if args and isinstance(args[0], Mapping) else Mapping(None if args else {}, UNKNOWN)
    if name in ("Parameter", "Buffer", "UninitializedParameter"):
        source = args[0] if args and isinstance(args[0], Tensor) else Tensor()
        return Tensor(source.shape, source.dtype, exact=source.exact, parameter=True)
    return Layer(f"torch.nn.{name}", tuple(args), tuple(kwargs.items()))


def _disable(call: TorchCall) -> Value:
    """`torch.compiler.disable(f)`; with options alone, or none, it gives a decorator."""
    if call.args and not isinstance(call.args[0], Const):
        call.report("torch.compiler.disable")
        return Partial(operators.DISABLED, (call.args[0],), ())
    return Partial(External("torch.compiler.disable"), (), ())


def _nested(call: TorchCall) -> Value:
    """Nested tensors in the older, strided layout are not traced, nor those that are made of one tensor."""
    layout = call.kwargs.get("layout")
    if isinstance(call.first, Tensor) or not isinstance(layout, External) or layout.name != "torch.jagged":
        call.report(f"torch.{call.name}")
    return Tensor(exact=False)


def _check(call: TorchCall) -> Value:
    """`torch._check(condition, message)`: the message must not need what is known only when the graph runs."""
    message = call.argument(1, "message")
    if isinstance(message, Const) and isinstance(message.value, str):
        call.report("torch._check")
    elif isinstance(message, Function) and message.scope is not None:
        names = names_in(message.info.node.body) if isinstance(message.info.node, ast.Lambda) else frozenset()
        held = [message.scope.variables[n] for n in sorted(names) if n in message.scope.variables]
        if any(tainted(v) or isinstance(v, Tensor) for v in held):
            call.report("torch._check")
    return NONE


def _sym_min(call: TorchCall) -> Value:
    a, b = (as_size(v) for v in call.args[:2])
    if a is None or b is None:
        return UNKNOWN
    name = "min" if call.name.endswith("min") else "max"
    return Int(Size.operation(name, a, b), trail_of(call.args[0]), inputs_of(call.args[0]))


def _cond(call: TorchCall) -> Value:
    branches = [call.argument(1, "true_fn"), call.argument(2, "false_fn")]
    given = call.argument(3, "operands")
    operands = list(call.context.as_sequence(given).items or []) if given != NONE else []
    with call.context.inside_operator(call.node, call.frame):
        results = [call.context.call(b, operands, {}, call.node, call.frame) for b in branches]
    if any(_is_no_result(o) for r in results for o in options(r)) or _differ(*results):
        call.report("torch.cond.result")
    return choice(results)


def _is_no_result(value: Value) -> bool:
    """Whether a branch of `torch.cond` must not return this: anything but tensors and integers."""
    if isinstance(value, Const):
        return not isinstance(value.value, int)
    return isinstance(value, Instance)


def _differ(left: Value, right: Value) -> bool:
    """Whether two branches are known to return different structures or ranks."""
    if isinstance(left, Sequence) and isinstance(right, Sequence):
        return left.items is not None and right.items is not None and len(left.items) != len(right.items)
    if isinstance(left, Tensor) and isinstance(right, Tensor) and left.exact and right.exact:
        if left.shape is None or right.shape is None or len(left.shape) == len(right.shape):
            return False
        return (not left.open and not right.open) or () in (left.shape, right.shape)
    return False


def _checkpoint(call: TorchCall) -> Value:
    """`torch.utils.checkpoint.checkpoint(function, *arguments)`."""
    with call.context.inside_operator(call.node, call.frame):
        return call.context.call(call.first, call.args[1:], {}, call.node, call.frame)


def _sym_float(call: TorchCall) -> Value:
    value = call.args[0] if call.args else UNKNOWN
    size = as_size(value)
    return Float(size, trail_of(value)) if size is not None and size.depends else Static("float", "float")


_CONSTANTS: dict[str, Value] = {
    "compiler.is_compiling": TRUE,
    "compiler.is_dynamo_compiling": TRUE,
    "_dynamo.is_compiling": TRUE,
    "compiler.is_exporting": FALSE,
    "jit.is_scripting": FALSE,
    "jit.is_tracing": FALSE,
    "is_grad_enabled": Static("grad", "bool"),
    "cuda.is_available": Static("cuda", "bool"),
}

_SAME_NAMES = [
    "contiguous",
    "clone",
    "detach",
    "requires_grad_",
    "abs",
    "neg",
    "relu",
    "relu_",
    "silu",
    "gelu",
    "floor",
    "ceil",
    "round",
    "trunc",
    "clamp_",
    "clip_",
    "flip",
    "bitwise_not",
    "sign",
    "zero_",
    "fill_",
    "copy_",
    "normal_",
    "uniform_",
    "masked_fill_",
    "scatter",
    "scatter_",
    "scatter_add",
    "scatter_add_",
    "index_add",
    "index_add_",
    "index_copy",
    "index_copy_",
    "index_fill_",
    "index_put",
    "index_put_",
    "zeros_like",
    "ones_like",
    "empty_like",
    "full_like",
    "rand_like",
    "randn_like",
    "dropout",
    "layer_norm",
    "rms_norm",
    "group_norm",
    "normalize",
    "softplus",
    "leaky_relu",
    "elu",
    "mish",
    "hardswish",
    "hardsigmoid",
    "logsigmoid",
    "sigmoid_",
    "tanh_",
    "exp_",
    "nan_to_num",
    "record_stream",
    "triu",
    "tril",
    "add_",
    "sub_",
    "mul_",
    "div_",
    "batch_norm",
    "instance_norm",
]
_FLOATING_NAMES = [
    "exp",
    "log",
    "log2",
    "log10",
    "log1p",
    "sqrt",
    "rsqrt",
    "sin",
    "cos",
    "tan",
    "tanh",
    "sigmoid",
    "expm1",
    "erf",
    "erfinv",
    "deg2rad",
    "reciprocal",
    "sinh",
    "cosh",
    "asin",
    "acos",
    "atan",
    "softmax",
    "log_softmax",
]
_ELEMENTWISE_NAMES = [
    "add",
    "sub",
    "mul",
    "floor_divide",
    "remainder",
    "fmod",
    "pow",
    "maximum",
    "minimum",
    "lerp",
    "addcmul",
    "addcdiv",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "__and__",
    "__or__",
    "rsub",
    "multiply",
    "subtract",
]
_DIVISION_NAMES = ["div", "true_divide", "divide", "atan2"]
_COMPARISON_NAMES = [
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "greater",
    "less",
    "greater_equal",
    "less_equal",
    "logical_and",
    "logical_or",
    "isclose",
]
_REDUCTIONS = [
    "sum",
    "mean",
    "prod",
    "max",
    "min",
    "amax",
    "amin",
    "any",
    "all",
    "argmax",
    "argmin",
    "norm",
    "std",
    "var",
    "logsumexp",
    "median",
    "count_nonzero",
    "nansum",
    "nanmean",
]

_METHODS: dict[str, Handler] = {
    **dict.fromkeys(_SAME_NAMES, _same),
    **dict.fromkeys(_FLOATING_NAMES, _float),
    "argsort": _indices,
    **dict.fromkeys(("square", "cumsum", "cumprod"), _number),
    **dict.fromkeys(("isnan", "isinf", "isfinite", "logical_not", "isin"), _truth),
    **dict.fromkeys(("to", "type", "type_as"), host_calls.to),
    **dict.fromkeys(("clamp", "clip", "clamp_min", "clamp_max"), _clamp),
    "masked_fill": _filled,
    "scaled_dot_product_attention": _attention,
    **dict.fromkeys(_ELEMENTWISE_NAMES, _elementwise),
    **dict.fromkeys(_DIVISION_NAMES, _quotient),
    **dict.fromkeys(_COMPARISON_NAMES, _boolean),
    **dict.fromkeys(_REDUCTIONS, _reduce),
    **dict.fromkeys(("nonzero", "argwhere"), host_calls.positions),
    **dict.fromkeys(("unique", "unique_consecutive"), host_calls.unique),
    **dict.fromkeys(("masked_select", "bincount"), host_calls.data_sized),
    **dict.fromkeys(("view", "reshape"), _view),
    **dict.fromkeys(("view_as", "reshape_as", "expand_as"), _like_second),
    **dict.fromkeys(("transpose", "swapaxes", "swapdims", "transpose_"), _transpose),
    **dict.fromkeys(("chunk", "tensor_split"), _chunk),
    **dict.fromkeys(("matmul", "mm", "bmm", "__matmul__"), _matmul),
    **dict.fromkeys(("addmm", "baddbmm"), _addmm),
    **dict.fromkeys(("new_zeros", "new_ones", "new_empty"), _creation(1)),
    "gather": _gather,
    "take_along_dim": _take_along,
    **dict.fromkeys(("dim", "ndimension"), _rank),
    **dict.fromkeys(("equal", "is_nonzero", "allclose"), _equal),
    "new_full": _full(1),
    "new_tensor": _new_tensor,
    "repeat_interleave": _repeat_interleave,
    "where": _where,
    "flatten": _flatten,
    "ravel": lambda call: operators.reshape(call.context, call.tensor, [Const(-1)], call.node, call.frame, "ravel"),
    "unflatten": _unflatten,
    "unsqueeze": _unsqueeze,
    "squeeze": _squeeze,
    "permute": _permute,
    "t": _t,
    "expand": _expand,
    "repeat": _repeat,
    "tile": _repeat,
    "split": _split,
    "split_with_sizes": _split,
    "unbind": _unbind,
    "narrow": _narrow,
    "index_select": _index_select,
    "select": _select,
    "roll": _roll,
    "sort": _sort,
    "topk": _topk,
    "size": _size,
    "numel": _numel,
    "nelement": _numel,
    "stride": _stride,
    "is_contiguous": _contiguous,
    "is_pinned": lambda call: Static("pinned", "bool"),
    "is_floating_point": lambda call: Static("floating", "bool"),
    "is_inference": lambda call: Static("inference", "bool"),
    "is_shared": lambda call: Static("shared", "bool"),
    "untyped_storage": lambda call: Static("storage"),
    "is_complex": lambda call: Static("complex", "bool"),
    "element_size": lambda call: some_int(),
    "get_device": lambda call: some_int(),
    "data_ptr": lambda call: operators.ADDRESS,
    "storage_offset": lambda call: some_int(),
    "__len__": _length,
    **dict.fromkeys(("item", "__int__", "__float__", "__bool__"), host_calls.read_number),
    "tolist": host_calls.read_list,
    "numpy": host_calls.to_array,
    "cpu": host_calls.to_cpu,
    "cuda": host_calls.to_device,
    "pin_memory": host_calls.pin,
    **dict.fromkeys(host_calls.CONVERSIONS, host_calls.convert),
    "linear": _linear,
    "pad": _pad,
    "one_hot": _one_hot,
}

#: Functions that make a tensor out of none, where `device` says.
_MAKERS = {"zeros", "ones", "empty", "rand", "randn", "full", "arange", "linspace", "tensor", "as_tensor"}

_FUNCTIONS: dict[str, Handler] = {
    **dict.fromkeys(("zeros", "ones", "empty", "rand", "randn"), _creation(0)),
    **dict.fromkeys(("full",), _full(0)),
    **dict.fromkeys(("cat", "concat", "concatenate"), _cat),
    **dict.fromkeys(("sym_min", "sym_max"), _sym_min),
    "stack": _stack,
    "arange": _arange,
    "linspace": _linspace,
    **dict.fromkeys(("tril_indices", "triu_indices"), _triangle),
    "as_tensor": _as_tensor,
    "tensor": _tensor,
    "einsum": _einsum,
    "linear": _linear,
    "nn.functional.linear": _linear,
    **{f"{package}conv{rank}d": _convolution for package in ("", "nn.functional.") for rank in (1, 2, 3)},
    **dict.fromkeys(("max_pool1d", "nn.functional.max_pool1d"), _max_pool),
    **dict.fromkeys((f"_higher_order_ops.{n}associative_scan" for n in ("", "associative_scan.")), _scan),
    "nn.functional.embedding": _embedding,
    "nn.functional.pad": _pad,
    "pad": _pad,
    "nn.functional.one_hot": _one_hot,
    "compile": _compile,
    "device": _device,
    "from_numpy": host_calls.from_array,
    **dict.fromkeys(("compiler.disable", "_dynamo.disable"), _disable),
    "nested.nested_tensor": _nested,
    "nested.as_nested_tensor": _nested,
    "_check": _check,
    "_check_is_size": _check,
    "cond": _cond,
    "utils.checkpoint.checkpoint": _checkpoint,
    "sym_float": _sym_float,
    "softmax": _float,
    "scaled_dot_product_attention": _attention,
}
