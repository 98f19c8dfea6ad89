"""What torch's operators do to shapes: dimensions, indexing, broadcasting, views and layers.

Each function mirrors the shape rule of the operator of the same name in torch's documentation. Where a dimension is not
known it becomes a static without a name; where a rank is not known the shape is None.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import replace
from functools import reduce

from vllm_lint.analyzer import decisions, host_calls, rows, vllm_layers
from vllm_lint.analyzer.context import Context, Frame
from vllm_lint.analyzer.events import HostCopy, LibraryCall, SizeDivision, SizeSpecialization
from vllm_lint.analyzer.sizes import Condition, Size
from vllm_lint.analyzer.source import Located
from vllm_lint.analyzer.state import FORWARD_CONTEXT, THREAD_LOCAL
from vllm_lint.analyzer.values import (
    HOST,
    HOST_DATA,
    NONE,
    UNKNOWN,
    Bool,
    Choice,
    Const,
    External,
    Float,
    Int,
    Layer,
    Method,
    Sequence,
    Shape,
    Static,
    Tensor,
    Trail,
    Unbacked,
    Unknown,
    Value,
    as_size,
    choice,
    inputs_of,
    integer,
    is_static,
    options,
    trail_of,
)

TENSOR_TYPES = {
    "torch.Tensor",
    "torch.FloatTensor",
    "torch.LongTensor",
    "torch.IntTensor",
    "torch.BoolTensor",
    "torch.HalfTensor",
    "torch.BFloat16Tensor",
    "torch.nn.Parameter",
    "torch.nn.parameter.Parameter",
}

#: Methods of torch.nn.Module that a module of the program inherits.
MODULE_METHODS = {
    "register_buffer",
    "register_parameter",
    "register_module",
    "add_module",
    "parameters",
    "named_parameters",
    "buffers",
    "named_buffers",
    "modules",
    "named_modules",
    "children",
    "named_children",
    "to",
    "cuda",
    "cpu",
    "half",
    "float",
    "bfloat16",
    "eval",
    "train",
    "apply",
    "state_dict",
    "load_state_dict",
    "requires_grad_",
    "zero_grad",
    "compile",
    "get_submodule",
    "get_parameter",
    "register_forward_hook",
    "register_forward_pre_hook",
    "register_load_state_dict_post_hook",
    "_register_load_state_dict_pre_hook",
}

ONE = Size.const(1)

#: What stands for the calling of a function that TorchDynamo is told not to trace.
#: The type of what `id` gives for an object that compiled code makes: no number of a real object.
NEW_ID = Static("id()", "new id")
DISABLED = External("vllm_lint.disabled")
#: The same for a function whose result is taken for a constant.
ASSUMED = External("vllm_lint.assumed")
#: The same for a function that is in the graph as it stands, without being looked into.
NONSTRICT = External("vllm_lint.nonstrict")
#: `tensor.data_ptr()`: a number that may be handed on, and not be computed with.
ADDRESS = Static("address", "int")
_SAME_SHAPE_LAYERS = (
    "Identity",
    "Dropout",
    "LayerNorm",
    "RMSNorm",
    "GroupNorm",
    "BatchNorm1d",
    "SiLU",
    "ReLU",
    "GELU",
    "Sigmoid",
    "Tanh",
    "Softmax",
    "Softplus",
    "LeakyReLU",
    "Mish",
    "ReLU6",
    "Hardswish",
)

#: Layers that slide a window over batches of channels: the rank of what they take and of what they return.
_WINDOWS = {"Conv1d": (3, 3), "Conv2d": (4, 4), "Conv3d": (5, 5), "Unfold": (4, 3)}


def derived(shape: Iterable[Size] | None, *sources: Value, dtype: str = "", exact: bool = True) -> Tensor:
    """A tensor computed from `sources`, which it takes its trail and inputs from."""
    tensors = [s for s in sources if isinstance(s, Tensor)]
    return Tensor(
        None if shape is None else tuple(shape),
        dtype or ("float" if any(t.dtype == "float" for t in tensors) else ""),
        exact=exact and all(t.exact for t in tensors),
        unbacked=any(t.unbacked for t in tensors),
        memory=memory_of(tensors),
        trail=next((t for t in map(trail_of, sources) if t), None),
        inputs=frozenset[str]().union(*(inputs_of(s) for s in sources)),
    )


def memory_of(tensors: list[Tensor]) -> str:
    """Where the result of an operation on `tensors` is: on the CPU if all of them are."""
    if not tensors or not all(t.memory for t in tensors):
        return ""
    return HOST_DATA if any(t.memory == HOST_DATA for t in tensors) else HOST


def strided(tensor: Tensor, *, active: bool = True) -> Tensor:
    """A view of `tensor` that skips elements or runs through them in another order."""
    return replace(tensor, strided=True) if active and tensor.shape is not None else tensor


def some() -> Size:
    """A dimension that is fixed at capture and of which nothing else is known."""
    return Size.static("?")


def is_same(a: Size, b: Size) -> bool:
    """Whether two dimensions are known to be equal; of what is not known, no two are."""
    return a == b and "?" not in a.statics()


def product(sizes: Iterable[Size]) -> Size:
    """The number of elements."""
    return reduce(lambda a, b: a * b, sizes, ONE)


# Dimensions


def dimension(context: Context, tensor: Tensor, index: int, node: ast.expr | None, frame: Frame | None) -> Value:
    """`tensor.shape[index]`."""
    if tensor.unbacked and index == 0:
        return Unbacked("int", tensor.trail)
    if tensor.shape is None:
        return Static("shape[-1]", "int") if index == -1 else Unknown("a dimension", tainted=True)
    if not -len(tensor.shape) <= index < len(tensor.shape):
        return Static(f"shape[{index}]", "int") if tensor.open else Unknown("a dimension")
    if tensor.open and index < -1:  # counted from the end of a rank that is only assumed
        return Static(f"shape[{index}]", "int")
    size = tensor.shape[index]
    trail = tensor.trail
    if size.depends and node is not None and frame is not None and trail is not None and not context.quiet:
        meaning = "is the number of tokens" if _is_symbol(size) else "follows from the number of tokens"
        trail = context.step(tensor, node, frame, f"`{context.text(node, frame)}` {meaning}")
    return integer(
        size, trail if size.depends else None, tensor.inputs if size.depends else frozenset(), exact=tensor.exact
    )


def dimensions(context: Context, tensor: Tensor, node: ast.expr, frame: Frame) -> list[Value]:
    """All dimensions of a tensor of known rank."""
    return [dimension(context, tensor, i, node, frame) for i in range(len(tensor.shape or ()))]


def unpack_shape(
    context: Context, tensor: Tensor, count: int, star: int | None, node: ast.expr, frame: Frame
) -> list[Value]:
    """The targets of `a, b = tensor.shape`; unpacking settles an assumed rank."""
    if tensor.shape is None:
        return [Unknown("a dimension", tainted=True)] * count
    found = dimensions(context, tensor, node, frame)
    if star is not None:
        rest = len(found) - (count - star - 1)
        return [*found[:star], Sequence("list", None if tensor.open else found[star:rest], some_int()), *found[rest:]]
    if tensor.open and len(found) != count:
        return [*found[: min(1, count)], *(Static(f"shape[{i}]", "int") for i in range(1, count))]
    return found if len(found) == count else [Unknown("a dimension", tainted=True)] * count


def some_int() -> Value:
    """An integer that is fixed at capture."""
    return Static("?", "int")


def numel(context: Context, tensor: Tensor, node: ast.expr, frame: Frame) -> Value:
    """`tensor.numel()`."""
    if tensor.unbacked:
        return Unbacked("int", tensor.trail)
    if tensor.shape is None:
        return Unknown("number of elements", tainted=True)
    trail = context.step(tensor, node, frame, f"`{context.text(node, frame)}` follows from the number of tokens")
    return integer(product(tensor.shape), trail, tensor.inputs, exact=tensor.exact)


def reordered(tensor: Tensor, order: list[int]) -> Tensor:
    """The dimensions in another order; one of length 1 may move without a change in memory."""
    shape = tensor.shape or ()
    moved = [i for i in order if shape[i] != ONE]
    result = derived([shape[i] for i in order], tensor, dtype=tensor.dtype)
    return strided(result, active=moved != sorted(moved) or tensor.strided)


def drop_dimension(tensor: Tensor) -> Tensor:
    """One row of a tensor."""
    shape = tensor.shape[1:] if tensor.shape else (() if tensor.shape == () else None)
    source = Tensor(exact=tensor.exact, memory=tensor.memory, trail=tensor.trail, inputs=tensor.inputs)
    return derived(shape, source, dtype=tensor.dtype)


def tensor_attribute(context: Context, tensor: Tensor, name: str, node: Located, frame: Frame) -> Value:
    """`tensor.name`."""
    if name == "shape":
        return Shape(tensor)
    if name == "ndim":
        return Const(len(tensor.shape)) if tensor.shape is not None and not tensor.open else Static("ndim", "int")
    if name in ("T", "mT", "H") and tensor.shape is not None and not tensor.open:
        axes = list(range(len(tensor.shape)))
        return reordered(tensor, axes[::-1] if name == "T" else [*axes[:-2], *axes[-2:][::-1]])
    if name in ("data", "real", "imag"):
        return tensor
    if name == "device" and tensor.memory:
        return host_calls.CPU
    if name in ("dtype", "device", "layout", "is_cuda", "is_cpu", "requires_grad", "itemsize", "is_sparse", "grad_fn"):
        return Static(f"tensor.{name}", "bool" if name.startswith(("is_", "requires")) else "")
    if name in ("T", "mT", "H"):
        return derived(None, tensor, dtype=tensor.dtype)
    if name == "flags":  # of an array, for tensors have none
        context.emit(LibraryCall, node, frame, name="numpy.ndarray.flags")
    return Method(tensor, name)


# Element-wise operations and matrix products


def elementwise(context: Context, values: list[Value], node: Located, frame: Frame, dtype: str = "") -> Value:
    """Broadcast the tensors among `values`; a token dimension that meets a constant is pinned to it."""
    for position, value in enumerate(values):
        if isinstance(value, Choice):
            rest = values[:position], values[position + 1 :]
            parts = [elementwise(context, [*rest[0], o, *rest[1]], node, frame, dtype) for o in value.options]
            tensors = [p for p in parts if isinstance(p, Tensor)]
            return choice(tensors or parts)
    tensors = [v for v in values if isinstance(v, Tensor)]
    known = [t for t in tensors if t.shape is not None]
    dtype = dtype or promoted(values)
    if not known or len(known) < len(tensors) or any(isinstance(v, Unknown) for v in values):
        largest = max((t.shape or () for t in known), key=len, default=())
        widened = [some() if size == ONE else size for size in largest]  # what is not known may be wider
        return derived(widened if len(largest) > 1 else None, *tensors, dtype=dtype, exact=False)
    rank = max(len(t.shape or ()) for t in known)
    result = list[Size]()
    for axis in range(-rank, 0):
        # Where the rank of a tensor is only assumed, so is which of its dimensions meets which of a longer shape.
        sizes = [
            (t, t.shape[axis]) for t in known if t.shape is not None and len(t.shape) >= (rank if t.open else -axis)
        ]
        result.append(_broadcast(context, sizes, node, frame))
    merged = derived(result, *known, dtype=dtype)
    opened = all(t.open for t in known if len(t.shape or ()) == rank)
    return Tensor(
        **{
            **vars(merged),
            "open": opened,
            "exact": merged.exact and not any(t.open and len(t.shape or ()) != rank for t in known),
        }
    )


_KINDS = ("bool", "int", "float")


def kind_of(value: Value) -> str:
    """What kind of number a tensor or a number of Python holds; "" where it is not known."""
    if isinstance(value, Const):
        return type(value.value).__name__
    if isinstance(value, (Int, Bool, Float)):
        return type(value).__name__.lower()
    return value.dtype if isinstance(value, Tensor) else getattr(value, "type", "")


def promoted(values: Iterable[Value]) -> str:
    """The kind of number that an operation on `values` gives: of all kinds among them the widest."""
    kinds = {kind_of(v) for v in values}
    return max(kinds, key=_KINDS.index) if kinds and kinds <= set(_KINDS) else ""


def _broadcast(context: Context, sizes: list[tuple[Tensor, Size]], node: Located, frame: Frame) -> Size:
    depends = [(t, s) for t, s in sizes if s.depends]
    if not depends:
        return next((s for _, s in sizes if s != ONE), ONE)
    tensor, size = depends[0]
    for other, fixed in sizes:
        if fixed.constant not in (None, 1) and tensor.exact and other.exact and not (tensor.open and other.open):
            context.emit(SizeSpecialization, node, frame, tensor, form="broadcast with a fixed size")
            break
    return size


def matmul(left: Value, right: Value) -> Value:
    """`left @ right`; a vector is a row on the left and a column on the right, and is gone from the result."""
    if not isinstance(left, Tensor) or not left.shape:
        return derived(None, left, right)
    if not isinstance(right, Tensor) or not right.shape:
        return derived((*left.shape[:-1], some()) if len(left.shape) > 1 else None, left)
    rows = left.shape[-2:-1]
    columns = right.shape[-1:] if len(right.shape) > 1 else ()
    batch = _batched(left.shape[:-2], right.shape[:-2])
    return derived((*batch, *rows, *columns), left, right)


def _batched(left: tuple[Size, ...], right: tuple[Size, ...]) -> tuple[Size, ...]:
    """The dimensions in front of matrices, broadcast."""
    longer, shorter = sorted((left, right), key=len, reverse=True)
    shorter = (ONE,) * (len(longer) - len(shorter)) + shorter
    return tuple(b if a == ONE or (b.depends and not a.depends) else a for a, b in zip(longer, shorter, strict=True))


# Indexing


def index_tensor(
    context: Context, tensor: Tensor, node: ast.Subscript, frame: Frame, stored: Value | None = None
) -> Value:
    """`tensor[...]`, or `tensor[...] = stored`."""
    elements = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    indices = [e if isinstance(e, ast.Slice) else _index(context.evaluate(e, frame)) for e in elements]
    mask = next((i for i in indices if isinstance(i, Tensor) and (i.dtype == "bool" or i.unbacked)), None)
    _check_indices(context, tensor, indices, stored, node, frame)
    if mask is not None:
        trail = context.step(
            mask if mask.trail else tensor, node, frame, f"`{context.text(node, frame)}` selects by data"
        )
        trail = trail or Trail(frame.module.source.span(node), f"`{context.text(node, frame)}` selects by data")
        shape = _masked(tensor, mask, elements)
        return Tensor(shape, tensor.dtype, unbacked=True, memory=tensor.memory, trail=trail)
    if tensor.shape is None:
        for index in indices:
            if isinstance(index, ast.Slice):
                _slice_bounds(context, index, frame)
        return derived(None, tensor)
    consumed = sum(1 for i in indices if isinstance(i, ast.Slice) or i not in (NONE, Const(...)))
    result: list[Size] = []
    inputs = tensor.inputs
    axis = 0
    used_tensor = cut = False
    exact = tensor.exact
    for index in indices:
        if index == Const(...):
            skip = max(len(tensor.shape) - consumed, 0)
            result += tensor.shape[axis : axis + skip]
            axis += skip
        elif index == NONE:
            result.append(ONE)
        elif isinstance(index, ast.Slice):
            size = tensor.shape[axis] if axis < len(tensor.shape) else some()
            bounds = _slice_bounds(context, index, frame)
            rows.check_slice(context, tensor, size, bounds, node, frame, stored=stored is not None)
            cut = cut or (not is_same(_sliced(size, bounds), size) and any(d != ONE for d in result))
            result.append(_sliced(size, bounds))
            if axis == 0 and isinstance(bounds[1], Int) and bounds[1].size.depends:
                inputs = inputs | bounds[1].inputs if size.depends else bounds[1].inputs
            axis += 1
        elif isinstance(index, Tensor):
            if not used_tensor:
                result += index.shape if index.shape is not None else ()
                exact = exact and index.shape is not None and index.exact
                inputs = inputs | index.inputs if tensor.depends else index.inputs
                used_tensor = True
            axis += 1
        else:
            rows.check_index(context, tensor, axis, index, node, frame)
            exact = exact and not isinstance(index, Unknown)
            cut = cut or (tensor.shape[axis : axis + 1] != (ONE,) and any(d != ONE for d in result))
            axis += 1
    if tensor.open and axis >= len(tensor.shape) and len(result) < len(tensor.shape) and not result:
        return derived(None, tensor, exact=False)  # nothing would be left: there are more dimensions than assumed
    result += tensor.shape[axis:]
    trail = next(
        (t for t in (tensor.trail, *(trail_of(i) for i in indices if not isinstance(i, ast.Slice))) if t), None
    )
    opened = tensor.open and (axis <= 1 or Const(...) in indices)
    item = Tensor(tuple(result), tensor.dtype, opened, exact, memory=tensor.memory, trail=trail, inputs=inputs)
    return strided(item, active=(cut or tensor.strided) and not used_tensor)


def _masked(tensor: Tensor, mask: Tensor, elements: list[ast.expr]) -> tuple[Size, ...] | None:
    """The shape of `tensor[mask]`, if nothing else is picked: the dimensions of a mask of truth values become one."""
    rank = len(mask.shape) if mask.dtype == "bool" and mask.shape is not None and not mask.open else 1
    if not tensor.shape or any(not isinstance(e, ast.Slice) or _is_cut(e) for e in elements[1:]):
        return None
    return (some(), *tensor.shape[rank:])


def _is_cut(index: ast.Slice) -> bool:
    return (index.lower, index.upper, index.step) != (None, None, None)


def _index(value: Value) -> Value:
    """An index as it acts: a list of numbers is a tensor, and what may be a tensor is one."""
    if isinstance(value, Choice):
        tensors = [o for o in value.options if isinstance(o, Tensor)]
        return replace(tensors[0], exact=False) if tensors else value
    if isinstance(value, Sequence) and value.kind == "list":
        return Tensor((some() if value.items is None else Size.const(len(value.items)),), "int", memory=HOST)
    return value


def _check_indices(
    context: Context,
    tensor: Tensor,
    indices: list[ast.Slice | Value],
    stored: Value | None,
    node: Located,
    frame: Frame,
) -> None:
    """Report `tensor[mask]`, of which the host has to know how many are true, and indices that have to be copied.

    Measured on a GPU: to write one number to all places of a mask needs no count, to write rows does.
    """
    for index in indices:
        if not isinstance(index, Tensor):
            continue
        if index.memory == HOST_DATA and not tensor.memory:
            context.emit(HostCopy, node, frame, index)
        elif index.dtype != "bool":
            continue
        elif stored is None:
            host_calls.sync(context, tensor, node, frame, "mask", exact=index.exact)
        elif isinstance(stored, Tensor) and stored.shape and product(stored.shape) != ONE:
            host_calls.sync(context, tensor, node, frame, "mask write", exact=stored.exact and not stored.open)


def _slice_bounds(context: Context, node: ast.Slice, frame: Frame) -> list[Value | None]:
    return [None if b is None else context.evaluate(b, frame) for b in (node.lower, node.upper, node.step)]


def _sliced(size: Size, slice_: list[Value | None]) -> Size:
    lower, upper, step = slice_
    if lower is None and upper is None and step is None:
        return size
    bounds = [None if b is None or b == NONE else as_size(b) for b in (lower, upper)]
    if step not in (None, NONE) or any(
        b is None and v not in (None, NONE) for b, v in zip(bounds, (lower, upper), strict=True)
    ):
        return Size.operation("min", size, Size.static("slice")) if size.depends else some()
    start = bounds[0] or Size.const(0)
    end = size if bounds[1] is None else bounds[1]
    if start.constant is not None and start.constant < 0:
        start = size + start
    if end.constant is not None and end.constant < 0:
        end = size + end
    return end - start


# Views


def reshape(context: Context, tensor: Tensor, sizes: list[Value], node: Located, frame: Frame, form: str) -> Value:
    """`tensor.view(*sizes)`; reports where the token count would have to be divisible or constant."""
    if len(sizes) == 1 and isinstance(sizes[0], (Sequence, Shape)):
        if isinstance(sizes[0], Shape):
            return derived(sizes[0].tensor.shape, tensor, sizes[0].tensor, dtype=tensor.dtype)
        if sizes[0].items is None:
            return derived(None, tensor, dtype=tensor.dtype)
        sizes = list(sizes[0].items)
    wanted = [None if s == Const(-1) else as_size(likely_size(s)) or (some() if is_static(s) else None) for s in sizes]
    hole = next((i for i, s in enumerate(sizes) if s == Const(-1)), None)
    if any(w is None and s != Const(-1) for w, s in zip(wanted, sizes, strict=True)):
        found = [some() if w is None else w for w in wanted] if hole is None else None
        return derived(found, tensor, *sizes, dtype=tensor.dtype, exact=False)
    known = product(w for w in wanted if w is not None)
    if tensor.shape is None:
        found = None if hole is not None else [w or some() for w in wanted]
        return derived(found, tensor, *sizes, dtype=tensor.dtype, exact=False)
    total = product(tensor.shape)
    if hole is not None and tensor.strided:
        _combine_views(context, tensor, sizes, node, frame)
    exact = tensor.exact and all(getattr(s, "exact", True) for s in sizes)
    if hole is None:
        if total.depends and not known.depends:
            if exact and known.constant is not None:
                context.emit(SizeSpecialization, node, frame, tensor, form=f"{form} to a fixed size")
        elif total != known and (total.depends or (known.depends and exact)):
            _divides(context, total, known, tensor, node, frame, form)
    else:
        wanted[hole] = _quotient(context, total, known, tensor, node, frame, form)
    return derived([w or some() for w in wanted], tensor, *sizes, dtype=tensor.dtype, exact=exact)


def likely_size(value: Value) -> Value:
    """The size among the possible values: one that depends on a token count, or else one that is not zero."""
    sizes = [o for o in options(value) if as_size(o) is not None]
    sizes.sort(key=lambda o: (not isinstance(o, Int), o == Const(0)))
    return sizes[0] if sizes else value


def _combine_views(context: Context, tensor: Tensor, sizes: list[Value], node: Located, frame: Frame) -> None:
    """A view that is not contiguous and leaves a dimension to be computed.

    Measured without a common shape id: views that are contiguous or name all sizes, and element-wise operations, are
    captured with a check in the graph.
    """
    for size in sizes:
        if isinstance(size, Int) and size.size.depends and tensor.depends:
            decisions.combine(context, tensor, size, node, frame)


def _quotient(
    context: Context, total: Size, known: Size, tensor: Tensor, node: Located, frame: Frame, form: str
) -> Size:
    """The dimension that -1 stands for."""
    exact = total.divide(known)
    if exact is not None:
        return exact
    top, bottom = total.cancel(known)
    if top.depends and bottom.constant is not None and bottom.constant > 1 and not top.statics():
        _report_division(context, top, bottom, tensor, node, frame, form)
    elif total.depends and known.depends:
        _divides(context, total, known, tensor, node, frame, form)
        return Size.about(total) if _grows(total, known) else some()
    if top.depends and (top.statics() or bottom.statics()):
        return Size.about(top)
    if bottom.depends and not top.depends and top.statics():
        return some()  # no fixed number is a multiple of every token count, so the count hides in an unknown dimension
    return Size.operation("floordiv", top, bottom)


def _grows(total: Size, known: Size) -> bool:
    """Whether the quotient of two sizes is another for other numbers of tokens, as far as can be told."""
    return (
        total.known and known.known and total.evaluate(8) * known.evaluate(24) != total.evaluate(24) * known.evaluate(8)
    )


def _divides(
    context: Context, total: Size, known: Size, tensor: Tensor, node: Located, frame: Frame, form: str
) -> None:
    """Report a view of `total` elements as `known` (times a free dimension) that does not hold for all token counts."""
    if total.symbols() != known.symbols() and total.depends and known.depends:
        return  # counts of different things: that they fit is for the caller to know
    if (
        total.is_vague
        or known.is_vague
        or _is_mixed(total)
        or known.is_unsettled
        or (total.statics() - known.statics() and known.statics() - total.statics())
    ):
        return
    remainder = Condition("==", (Size.operation("mod", total, known), Size.const(0)))
    if remainder.changes_at() is not None and remainder.decide() is not True:
        context.emit(
            SizeDivision, node, frame, tensor, form=form, divisor="", exact=not (total.statics() ^ known.statics())
        )


def _report_division(
    context: Context, top: Size, bottom: Size, tensor: Tensor, node: Located, frame: Frame, form: str
) -> None:
    if top.is_vague:
        return
    holds = Condition("==", (Size.operation("mod", top, bottom), Size.const(0)))
    if holds.decide() is not True and holds.changes_at() is not None:
        context.emit(SizeDivision, node, frame, tensor, form=form, divisor=repr(bottom), exact=not tensor.open)


def _is_mixed(size: Size) -> bool:
    """Whether the size follows from tokens and unknown numbers by more than a product."""
    atoms = [atom for monomial, _ in size.terms for atom in monomial if len(atom) == 3]
    return any(any(o.depends for o in atom[2]) and any(o.statics() for o in atom[2]) for atom in atoms)


def _is_symbol(size: Size) -> bool:
    return len(size.terms) == 1 and size.terms[0][1] == 1 and [a[0] for a in size.terms[0][0]] == ["n"]


def divide_dimension(
    context: Context, tensor: Tensor, axis: int, count: Value, node: Located, frame: Frame, form: str
) -> Size:
    """The length of each of `count` equal pieces along `axis`."""
    assert tensor.shape is not None
    size, pieces = tensor.shape[axis], as_size(likely_size(count))
    if pieces is None:
        return some()
    exact = size.divide(pieces)
    if exact is not None:
        return exact
    if size.depends:
        _report_division(context, size, pieces, tensor, node, frame, form)
    return Size.operation("floordiv", size, pieces)


# Layers


def call_layer(
    context: Context, layer: Layer, args: list[Value], kwargs: dict[str, Value], node: Located, frame: Frame
) -> Value:
    """Call an instance of a torch.nn class, as far as its shape rule is known."""
    if layer.name.startswith(vllm_layers.PACKAGE):
        return vllm_layers.call_vllm_layer(layer.name, args, kwargs)
    name = layer.name.rpartition(".")[2]
    if name == "Sequential":
        result: Value = args[0] if args else UNKNOWN
        for part in layer.arguments:
            result = context.call(part, [result], {}, node, frame)
        return result
    source = args[0] if args else next(iter(kwargs.values()), UNKNOWN)
    if isinstance(source, Choice):
        return choice(call_layer(context, layer, [o, *args[1:]], kwargs, node, frame) for o in source.options)
    if not isinstance(source, Tensor):
        return Tensor(exact=False)
    if name in _SAME_SHAPE_LAYERS:
        return source if len(args) + len(kwargs) == 1 else UNKNOWN  # they take one tensor: this is not what runs here
    if name in ("Linear", "LazyLinear", "Bilinear"):
        out = layer.argument(1, "out_features")
        return derived(None if not source.shape else (*source.shape[:-1], _size_or_some(out)), source)
    if name == "MaxPool1d":
        return max_pool(context, source, node, frame)
    if name in _WINDOWS:
        return windowed(name, source, layer.argument(1, "out_channels") if name.startswith("Conv") else None)
    if name == "Embedding":
        width = layer.argument(1, "embedding_dim")
        return derived(None if source.shape is None else (*source.shape, _size_or_some(width)), source)
    return derived(None, source, exact=False)


def windowed(name: str, source: Tensor, channels: Value | None) -> Tensor:
    """The result of sliding a window of the kind `name` over `source`."""
    takes, rank = _WINDOWS[name]
    if not source.shape or not (source.open or len(source.shape) == takes):
        return derived(None, source, exact=False)
    rest = [Size.about(d) if d.depends else some() for d in source.shape[2:]]
    rest = [*rest, *[some()] * rank][: rank - 2]
    return derived((source.shape[0], _size_or_some(channels), *rest), source, exact=False)


def max_pool(context: Context, source: Tensor, node: Located, frame: Frame) -> Tensor:
    """`max_pool1d`, which alone of the pooling operations is written for plain integers."""
    if not source.shape:
        return derived(None, source, exact=False)
    last = source.shape[-1]
    if last.depends and not source.open:
        context.emit(SizeSpecialization, node, frame, source, form="max_pool1d")
    return derived((*source.shape[:-1], Size.about(last) if last.depends else some()), source, exact=False)


def layer_attribute(layer: Layer, name: str) -> Value:
    """`layer.name` for an instance of a torch.nn class."""
    if layer.name == THREAD_LOCAL:
        return Static(f"threading.local.{name}")
    if layer.name == FORWARD_CONTEXT:
        # Set anew for each step. vLLM captures in its profiling run, which has no metadata of the attention.
        return NONE if name == "attn_metadata" else Unknown("the forward context")
    kind = layer.name.rpartition(".")[2]
    if name == "weight":
        sides = [layer.argument(i, "") for i in (1, 0)] if kind == "Linear" else [layer.argument(i, "") for i in (0, 1)]
        known = kind in ("Linear", "Embedding") and all(sides)
        return Tensor(tuple(_size_or_some(s) for s in sides) if known else None, parameter=True)
    if name in ("in_features", "num_embeddings"):
        return layer.argument(0, name) or some_int()
    if name in ("out_features", "embedding_dim"):
        return layer.argument(1, name) or some_int()
    if name == "bias":
        return Choice((Tensor(parameter=True), NONE))
    return Method(layer, name)


def _size_or_some(value: Value | None) -> Size:
    size = None if value is None else as_size(value)
    return some() if size is None else size
