"""How to call each operator that the interpreter knows: what it takes, drawn at random.

A drawer returns the tensor that the operator is a method of, or None for a function, and the other arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tests.knowledge.drawing import Argument, Draw

Drawn = tuple[str | None, list[Argument]]
Drawer = Callable[[Draw], Drawn]


def unary(d: Draw) -> Drawn:
    return d.tensor(), []


def any_unary(d: Draw) -> Drawn:
    return d.tensor(dtype=d.any_dtype()), []


def having(*arguments: Argument) -> Drawer:
    """A tensor and always the same arguments."""
    return lambda d: (d.tensor(), list(arguments))


def _to(d: Draw) -> Drawn:
    return d.tensor(dtype=d.any_dtype()), [("dtype", d.pick("torch.float16", "torch.int64", "torch.bool"))]


def _clamp(d: Draw) -> Drawn:
    x = d.tensor()
    if d.random.random() < 0.3:
        return x, [("min", d.tensor(d.broadcast(x)))]
    return x, [("min", "0"), *d.maybe(("max", "4.0"))]


def _axis(d: Draw) -> Drawn:
    x = d.tensor()
    return x, d.with_axis(x)


def _flip(d: Draw) -> Drawn:
    x = d.tensor()
    return x, [("dims", d.axes(x))]


def _roll(d: Draw) -> Drawn:
    x = d.tensor()
    return x, [("shifts", "1"), *d.maybe(("dims", d.axis(x)))]


def _masked_fill(d: Draw) -> Drawn:
    x = d.tensor()
    return x, [("mask", d.tensor(d.broadcast(x), "bool")), ("value", "0")]


def _masked_fill_(d: Draw) -> Drawn:
    x = d.tensor()
    return x, [("mask", d.tensor(d.broadcast(x, wider=False), "bool")), ("value", "0")]


def _scatter(d: Draw) -> Drawn:
    x = d.tensor()
    return x, [*d.with_axis(x), ("index", d.tensor(d.dims(x), "int64")), ("src", d.tensor(d.dims(x)))]


def _index_add(d: Draw) -> Drawn:
    x = d.tensor()
    axis = d.axis(x)
    return x, [("dim", axis), ("index", d.tensor((d.at(x, axis),), "int64")), ("source", d.tensor(d.dims(x)))]


def _index_fill(d: Draw) -> Drawn:
    x = d.tensor()
    return x, [*d.with_axis(x), ("index", d.tensor(("3",), "int64")), ("value", "0")]


def _index_put(d: Draw) -> Drawn:
    x = d.tensor(rank=d.random.choice((1, 2)))
    index = d.tensor(("3",), "int64")
    return x, [("indices", f"({index},)"), ("values", d.tensor((d.pick("1", "3"), *d.dims(x)[1:])))]


def _full_like(d: Draw) -> Drawn:
    return d.tensor(), [("fill_value", "1.0"), *d.maybe(("*dtype", "torch.int64"))]


def _like(d: Draw) -> Drawn:
    return d.tensor(), d.maybe(("*dtype", d.pick("torch.float16", "torch.bool", "torch.int64")))


def _random_like(d: Draw) -> Drawn:
    return d.tensor(), []


def _norm_layer(d: Draw) -> Drawn:
    x = d.tensor((*d.shape(2), "6"))
    return x, [("normalized_shape", "(6,)")]


def _group_norm(d: Draw) -> Drawn:
    return d.tensor(("n", "6", *d.shape(1))), [("num_groups", "3")]


def _batch_norm(d: Draw) -> Drawn:
    x = d.tensor(("n", "6", *d.shape(1)))
    return x, [("running_mean", d.tensor(("6",))), ("running_var", d.tensor(("6",)))]


def _channels(d: Draw) -> Drawn:
    return d.tensor(("n", "6", "4", "h")), []


def _tensor_of(dtype: str) -> Drawer:
    return lambda d: (d.tensor(dtype=dtype), [])


def _sorted(d: Draw) -> Drawn:
    x = d.tensor()
    return x, d.maybe(("dim", d.axis(x)), ("descending", d.flag()))


def _matrix(d: Draw) -> Drawn:
    return d.tensor(rank=d.random.choice((2, 3))), d.maybe(("diagonal", "1"))


def _other_inside(d: Draw) -> Drawn:
    x = d.tensor()
    return x, [("other", d.pick(d.tensor(d.broadcast(x, wider=False)), "2"))]


def _copy(d: Draw) -> Drawn:
    x = d.tensor()
    return x, [("src", d.tensor(d.broadcast(x, wider=False)))]


def _attention(d: Draw) -> Drawn:
    batch = d.pick("n", "2")
    heads, rows, columns = d.pick("4", "h"), d.size(), d.size()
    query = d.tensor((batch, heads, rows, "6"))
    key = d.tensor((batch, heads, columns, "6"))
    value = d.tensor((batch, heads, columns, d.pick("6", "4")))
    return query, [("key", key), ("value", value)]


def _quotient(d: Draw) -> Drawn:
    x = d.tensor(dtype=d.pick("float32", "int64"))
    other = d.pick(d.tensor(d.broadcast(x)), "2")
    return x, [("other", other)]


def _bitwise(d: Draw) -> Drawn:
    dtype = d.pick("int64", "bool")
    x = d.tensor(dtype=dtype)
    return x, [("other", d.tensor(d.broadcast(x), dtype))]


def _tensors(d: Draw) -> Drawn:
    x = d.tensor()
    return x, [("other", d.tensor(d.broadcast(x)))]


def _lerp(d: Draw) -> Drawn:
    x = d.tensor()
    return x, [("end", d.tensor(d.broadcast(x))), ("weight", d.pick("0.5", d.tensor(d.dims(x))))]


def _three(d: Draw) -> Drawn:
    x = d.tensor()
    pair = d.tensor(d.broadcast(x)), d.tensor(d.dims(x))
    return x, [("tensor1", pair[0]), ("tensor2", pair[1]), *d.maybe(("*value", "2"))]


def _isin(d: Draw) -> Drawn:
    return d.tensor(dtype="int64"), [("test_elements", d.tensor(("3",), "int64"))]


def _reduce(*, keeps: bool = True, several: bool = True, dtype: str = "float32") -> Drawer:
    def drawer(d: Draw) -> Drawn:
        x = d.tensor(dtype=dtype)
        if d.random.random() < 0.25:
            return x, []
        dims = d.axes(x) if several and d.random.random() < 0.4 else d.axis(x)
        return x, [("dim", dims), *(d.maybe(("keepdim", d.flag())) if keeps else [])]

    return drawer


def _must_reduce(d: Draw) -> Drawn:
    x = d.tensor()
    return x, [*d.with_axis(x), *d.maybe(("keepdim", d.flag()))]


def _largest(d: Draw) -> Drawn:
    x = d.tensor()
    form = d.random.random()
    if form < 0.2:
        return x, []
    if form < 0.5:
        return x, [("", d.tensor(d.broadcast(x)))]
    return x, [*d.with_axis(x), *d.maybe(("keepdim", d.flag()))]


def _norm(d: Draw) -> Drawn:
    x = d.tensor()
    dims = d.pick(d.axes(x), d.axis(x))
    return x, d.maybe(("p", d.pick("2", "1")), ("dim", dims), ("keepdim", d.flag()))


def _spread(d: Draw) -> Drawn:
    x = d.tensor()
    dims = d.pick(d.axes(x), d.axis(x))
    return x, d.maybe(("dim", dims), ("unbiased", d.flag()), ("keepdim", d.flag()))


def _unique(d: Draw) -> Drawn:
    return d.tensor(dtype="int64"), d.maybe(("*return_inverse", "True"))


def _nonzero(d: Draw) -> Drawn:
    return d.tensor(), d.maybe(("*as_tuple", d.flag()))


def _masked_select(d: Draw) -> Drawn:
    x = d.tensor()
    return x, [("mask", d.tensor(d.dims(x), "bool"))]


def _counts(d: Draw) -> Drawn:
    return d.tensor((d.size(),), "int64"), []


def _split_size(d: Draw, size: str) -> list[str]:
    """Sizes whose product is that of a dim."""
    return {
        "n": ["n"],
        "2 * n": d.random.choice((["2", "n"], ["n", "2"], ["2 * n"])),
        "n * h": d.random.choice((["n", "h"], ["h", "n"])),
        "h": d.random.choice((["h"], ["h // 2", "2"])),
        "2 * h": ["2", "h"],
        "4": d.random.choice((["2", "2"], ["4"])),
        "6": d.random.choice((["2", "3"], ["3", "2"], ["6"])),
    }.get(size, [size])


def _view(d: Draw) -> Drawn:
    x = d.tensor(d.random.choice((("n", "6", "4"), ("2 * n", "h"), ("n * h", "3"), ("n", "2 * h"), d.shape())))
    if d.random.random() < 0.1:
        return x, [("dtype", "torch.int32")]
    sizes = [part for dim in d.dims(x) for part in _split_size(d, dim)]
    if len(sizes) > 1 and d.random.random() < 0.4:
        at = d.random.randrange(len(sizes) - 1)
        sizes[at : at + 2] = [f"({sizes[at]}) * ({sizes[at + 1]})"]
    if d.random.random() < 0.5:
        sizes[d.random.randrange(len(sizes))] = "-1"
    if d.random.random() < 0.3:
        sizes = ["-1", sizes[-1]] if sizes[-1] != "-1" else ["-1"]
    sizes = [x + ".shape[0]" if s == d.dims(x)[0] and d.random.random() < 0.3 else s for s in sizes]
    if d.random.random() < 0.5:
        return x, [("", f"({', '.join(sizes)},)")]
    return x, [("", size) for size in sizes]


def _view_as(d: Draw) -> Drawn:
    x = d.tensor(("n", "6"))
    return x, [("other", d.tensor(d.random.choice((("n", "2", "3"), ("n", "6"), ("3", "n", "2")))))]


def _expand_as(d: Draw) -> Drawn:
    x = d.tensor()
    shape = tuple(s if s != "1" else d.pick("n", "4") for s in d.dims(x))
    return x, [("other", d.tensor((*d.shape(1), *shape)))]


def _type_as(d: Draw) -> Drawn:
    return d.tensor(), [("other", d.tensor(dtype=d.any_dtype()))]


def _two_axes(first: str, second: str) -> Drawer:
    def drawer(d: Draw) -> Drawn:
        x = d.tensor()
        return x, [(first, d.axis(x)), (second, d.axis(x))]

    return drawer


def _chunk(d: Draw) -> Drawn:
    x = d.tensor(tuple(s if s != "1" else "6" for s in d.shape()))
    return x, [("chunks", d.pick(*_divisors(d, x))), *d.maybe(("dim", d.axis(x)))]


def _divisors(d: Draw, x: str) -> tuple[str, ...]:
    """What is fixed by configuration is taken to be divisible by whatever the code divides it by."""
    return ("2", "4") if "h" in d.dims(x) else ("2", "3")


def _tensor_split(d: Draw) -> Drawn:
    x = d.tensor(tuple(s if s != "1" else "6" for s in d.shape()))
    return x, [("", d.pick(*_divisors(d, x), "(1, 2)")), *d.maybe(("dim", d.axis(x)))]


def _matmul(d: Draw) -> Drawn:
    inner = d.pick("h", "n", "6")
    left = d.tensor(d.random.choice(((inner,), (d.size(), inner), ("3", d.size(), inner), ("n", "4", inner))))
    shapes = ((inner,), (inner, d.size()), ("3", inner, d.size()), ("1", inner, "4"))
    return left, [("other", d.tensor(d.random.choice(shapes)))]


def _mm(d: Draw) -> Drawn:
    return d.tensor((d.size(), "h")), [("mat2", d.tensor(("h", d.size())))]


def _bmm(d: Draw) -> Drawn:
    batch = d.pick("n", "3")
    return d.tensor((batch, d.size(), "h")), [("mat2", d.tensor((batch, "h", d.size())))]


def _addmm(d: Draw) -> Drawn:
    rows, columns = d.size(), d.size()
    bias = d.random.choice(((rows, columns), ("1", columns), (columns,)))
    return d.tensor(bias), [("mat1", d.tensor((rows, "h"))), ("mat2", d.tensor(("h", columns)))]


def _baddbmm(d: Draw) -> Drawn:
    batch, rows, columns = d.pick("n", "3"), d.size(), d.size()
    bias = d.random.choice(((batch, rows, columns), ("1", rows, columns)))
    return d.tensor(bias), [("batch1", d.tensor((batch, rows, "h"))), ("batch2", d.tensor((batch, "h", columns)))]


def _sizes(d: Draw) -> list[Argument]:
    sizes = d.shape()
    return [("size", f"({', '.join(sizes)},)")] if d.random.random() < 0.5 else [("", size) for size in sizes]


def _new(d: Draw) -> Drawn:
    return d.tensor(), [*_sizes(d), *d.maybe(("*dtype", d.pick("torch.int64", "torch.bool")))]


def _new_full(d: Draw) -> Drawn:
    return d.tensor(), [("size", f"({', '.join(d.shape())},)"), ("fill_value", "1")]


def _new_tensor(d: Draw) -> Drawn:
    return d.tensor(), [("data", d.pick("[1, 2, 3]", "[[1], [2]]", "4"))]


def _gather(d: Draw) -> Drawn:
    x = d.tensor()
    return x, [*d.with_axis(x), ("index", d.tensor(d.dims(x), "int64"))]


def _take_along(d: Draw) -> Drawn:
    x = d.tensor()
    return x, [("indices", d.tensor(d.dims(x), "int64")), *d.with_axis(x)]


def _repeat_interleave(d: Draw) -> Drawn:
    x = d.tensor()
    if d.random.random() < 0.3:
        axis = d.axis(x)
        return x, [("repeats", d.tensor((d.at(x, axis),), "int64")), ("dim", axis)]
    return x, [("repeats", "3"), *d.maybe(("dim", d.axis(x)))]


def _where(d: Draw) -> Drawn:
    x = d.tensor()
    if d.random.random() < 0.2:
        return x, []
    condition = d.tensor(d.broadcast(x), "bool")
    return x, [("condition", condition), ("other", d.pick(d.tensor(d.broadcast(x)), "0.0"))]


def _flatten(d: Draw) -> Drawn:
    x = d.tensor()
    start = d.random.randrange(len(d.dims(x)))
    end = d.random.randrange(start, len(d.dims(x)))
    return x, d.maybe(("start_dim", str(start)), ("end_dim", d.pick(str(end), str(end - len(d.dims(x))))))


def _unflatten(d: Draw) -> Drawn:
    x = d.tensor(d.random.choice((("n", "6"), ("2 * n", "4"), ("3", "2 * h"), ("n * h", "2"))))
    axis = d.axis(x)
    sizes = _split_size(d, d.at(x, axis))
    if d.random.random() < 0.5:
        sizes[d.random.randrange(len(sizes))] = "-1"
    return x, [("dim", axis), ("sizes", f"({', '.join(sizes)},)")]


def _unsqueeze(d: Draw) -> Drawn:
    x = d.tensor()
    return x, [("dim", d.axis(x, 1))]


def _squeeze(d: Draw) -> Drawn:
    x = d.tensor(tuple(d.random.choice(("1", s)) for s in d.shape()))
    return x, d.maybe(("dim", d.pick(d.axis(x), d.axes(x))))


def _permute(d: Draw) -> Drawn:
    x = d.tensor()
    rank = len(d.dims(x))
    order = [str(a - rank * d.random.randrange(2)) for a in d.random.sample(range(rank), rank)]
    return x, [("dims", f"({', '.join(order)},)")] if d.random.random() < 0.5 else [("", a) for a in order]


def _t(d: Draw) -> Drawn:
    return d.tensor(rank=d.random.choice((1, 2))), []


def _expand(d: Draw) -> Drawn:
    x = d.tensor(tuple(d.random.choice(("1", s)) for s in d.shape()))
    sizes = [d.pick("n", "4", "-1") if s == "1" else d.pick("-1", s) for s in d.dims(x)]
    if d.random.random() < 0.3:
        sizes.insert(0, d.size())
    return x, [("", f"({', '.join(sizes)},)")] if d.random.random() < 0.5 else [("", s) for s in sizes]


def _repeat(d: Draw) -> Drawn:
    x = d.tensor()
    counts = [d.pick("1", "2", "n") for _ in d.dims(x)]
    if d.random.random() < 0.3:
        counts.insert(0, d.pick("2", "n"))
    return x, [("", f"({', '.join(counts)},)")] if d.random.random() < 0.5 else [("", c) for c in counts]


def _tile(d: Draw) -> Drawn:
    x = d.tensor()
    counts = [d.pick("1", "2", "n") for _ in range(d.random.randint(1, len(d.dims(x)) + 1))]
    return x, [("dims", f"({', '.join(counts)},)")]


def _split(d: Draw) -> Drawn:
    x = d.tensor(d.random.choice((("n", "6"), ("2 * n", "4"), ("6", "n", "h"), ("n + 1", "4"))))
    axis = d.axis(x)
    size = {
        "n": ["2", "1", "n // 2", "[n // 2, n - n // 2]", "n"],
        "2 * n": ["n", "[n, n]", "2"],
        "n + 1": ["[n, 1]", "[1, n]"],
        "6": ["2", "[2, 4]", "4", "[1, 2, 3]"],
        "4": ["2", "[1, 3]", "3"],
        "h": ["[2, h - 2]", "h", "[h // 2, h // 2]"],
    }[d.at(x, axis)]
    return x, [("", d.pick(*size)), ("dim", axis)]


def _split_sizes(d: Draw) -> Drawn:
    x = d.tensor(d.random.choice((("n", "6"), ("6", "n"))))
    axis = d.axis(x)
    sizes = "[n // 2, n - n // 2]" if d.at(x, axis) == "n" else "[2, 4]"
    return x, [("split_sizes", sizes), ("dim", axis)]


def _narrow(d: Draw) -> Drawn:
    x = d.tensor(d.random.choice((("n", "6"), ("6", "n"), ("4", "h", "n"))))
    axis = d.axis(x)
    length = {"n": "n // 2", "6": "3", "4": "2", "h": "h - 1"}[d.at(x, axis)]
    return x, [("dim", axis), ("start", d.pick("0", "1")), ("length", length)]


def _index_select(d: Draw) -> Drawn:
    x = d.tensor()
    return x, [*d.with_axis(x), ("index", d.tensor((d.size(),), "int64"))]


def _select(d: Draw) -> Drawn:
    x = d.tensor()
    return x, [*d.with_axis(x), ("index", d.pick("0", "-1"))]


def _topk(d: Draw) -> Drawn:
    x = d.tensor(("n", "6"))
    return x, [("k", d.pick("1", "2")), *d.maybe(("dim", d.axis(x)))]


def _size(d: Draw) -> Drawn:
    x = d.tensor()
    return x, d.maybe(("dim", d.axis(x)))


def _value(d: Draw) -> Drawn:
    return d.tensor(("1",) * d.random.randrange(3)), []


def _linear(d: Draw) -> Drawn:
    x = d.tensor((*d.shape(2), "h"))
    return x, [("weight", d.tensor(("6", "h"))), *d.maybe(("bias", d.tensor(("6",))))]


def _pad(d: Draw) -> Drawn:
    x = d.tensor()
    pairs = [d.pick("0", "1", "2") for _ in range(2 * d.random.randint(1, len(d.dims(x))))]
    return x, [("pad", f"({', '.join(pairs)},)"), *d.maybe(("value", "0.0"))]


def _one_hot(d: Draw) -> Drawn:
    return d.tensor(dtype="int64"), [("num_classes", d.pick("5", "h"))]


def _given(names: Iterable[str], drawer: Drawer) -> dict[str, Drawer]:
    return dict.fromkeys(names, drawer)


_POINTWISE = """
    contiguous clone detach abs neg exp log log2 log10 log1p sqrt rsqrt sin cos tan tanh sigmoid relu relu_ silu gelu
    erf square
    reciprocal floor ceil round trunc sign expm1 erfinv deg2rad sinh cosh asin acos atan softplus leaky_relu elu
    mish hardswish hardsigmoid logsigmoid sigmoid_ tanh_ exp_ nan_to_num zero_ normal_ uniform_ requires_grad_ dropout
    ravel
"""
_CASTS = "float half bfloat16 double int long bool short logical_not isnan isinf isfinite"

_ARITHMETIC = """
    add sub mul div true_divide floor_divide remainder fmod pow maximum minimum atan2 rsub multiply subtract divide
"""
_COMPARISONS = "eq ne lt le gt ge greater less greater_equal less_equal isclose logical_and logical_or"

METHODS: dict[str, Drawer] = {
    **_given(_POINTWISE.split(), any_unary),
    **_given(_CASTS.split(), any_unary),
    "to": _to,
    "type": _to,
    "bitwise_not": _tensor_of("int64"),
    **_given(("clamp", "clip"), _clamp),
    **_given(("clamp_", "clip_"), having(("min", "0"), ("max", "4.0"))),
    "clamp_min": having(("min", "1")),
    "clamp_max": having(("max", "1")),
    **_given(("softmax", "log_softmax", "cumsum", "cumprod"), _axis),
    "normalize": _axis,
    "flip": _flip,
    "roll": _roll,
    "masked_fill": _masked_fill,
    "masked_fill_": _masked_fill_,
    **_given(("scatter", "scatter_", "scatter_add", "scatter_add_"), _scatter),
    **_given(("index_add", "index_add_", "index_copy", "index_copy_"), _index_add),
    "index_fill_": _index_fill,
    **_given(("index_put", "index_put_"), _index_put),
    "fill_": having(("value", "0")),
    "copy_": _copy,
    **_given(("zeros_like", "ones_like", "empty_like"), _like),
    **_given(("rand_like", "randn_like"), _random_like),
    "full_like": _full_like,
    **_given(("layer_norm", "rms_norm"), _norm_layer),
    "group_norm": _group_norm,
    "batch_norm": _batch_norm,
    "instance_norm": _channels,
    "argsort": _sorted,
    "sort": _sorted,
    **_given(("triu", "tril"), _matrix),
    **_given(("add_", "sub_", "mul_", "div_"), _other_inside),
    "scaled_dot_product_attention": _attention,
    **_given(_ARITHMETIC.split(), _quotient),
    **_given(_COMPARISONS.split(), _tensors),
    "isin": _isin,
    "lerp": _lerp,
    **_given(("addcmul", "addcdiv"), _three),
    **_given(("bitwise_and", "bitwise_or", "bitwise_xor", "__and__", "__or__"), _bitwise),
    **_given(("sum", "mean", "amax", "amin", "nansum", "nanmean"), _reduce()),
    **_given(("any", "all"), _reduce()),
    "prod": _reduce(several=False),
    **_given(("argmax", "argmin"), _reduce(several=False)),
    "count_nonzero": _reduce(keeps=False),
    "median": _reduce(several=False),
    **_given(("max", "min"), _largest),
    "norm": _norm,
    **_given(("std", "var"), _spread),
    "logsumexp": _must_reduce,
    "nonzero": _nonzero,
    "argwhere": unary,
    **_given(("unique", "unique_consecutive"), _unique),
    "masked_select": _masked_select,
    "bincount": _counts,
    **_given(("view", "reshape"), _view),
    **_given(("view_as", "reshape_as"), _view_as),
    "expand_as": _expand_as,
    "type_as": _type_as,
    **_given(("transpose", "transpose_", "swapdims"), _two_axes("dim0", "dim1")),
    "swapaxes": _two_axes("axis0", "axis1"),
    "chunk": _chunk,
    "tensor_split": _tensor_split,
    **_given(("matmul", "__matmul__"), _matmul),
    "mm": _mm,
    "bmm": _bmm,
    "addmm": _addmm,
    "baddbmm": _baddbmm,
    **_given(("new_zeros", "new_ones", "new_empty"), _new),
    "new_full": _new_full,
    "new_tensor": _new_tensor,
    "gather": _gather,
    "take_along_dim": _take_along,
    **_given(("dim", "ndimension"), any_unary),
    **_given(("equal", "allclose"), _tensors),
    "is_nonzero": _value,
    "repeat_interleave": _repeat_interleave,
    "where": _where,
    "flatten": _flatten,
    "unflatten": _unflatten,
    "unsqueeze": _unsqueeze,
    "squeeze": _squeeze,
    "permute": _permute,
    "t": _t,
    "expand": _expand,
    "repeat": _repeat,
    "tile": _tile,
    "split": _split,
    "split_with_sizes": _split_sizes,
    "unbind": lambda d: (x := d.tensor(rank=2), d.maybe(("dim", d.axis(x)))),
    "narrow": _narrow,
    "index_select": _index_select,
    "select": _select,
    "topk": _topk,
    **_given(("size", "stride"), _size),
    **_given(
        ("numel", "nelement", "is_contiguous", "is_pinned", "element_size", "get_device", "storage_offset"), any_unary
    ),
    **_given(("is_floating_point", "is_complex", "__len__"), any_unary),
    "data_ptr": unary,
    "item": _value,
    "tolist": unary,
    "numpy": unary,
    "linear": _linear,
    "pad": _pad,
    "one_hot": _one_hot,
}


def _creation(d: Draw) -> Drawn:
    return None, [*_sizes(d), *d.maybe(("*dtype", d.pick("torch.float16", "torch.bool")))]


def _random_creation(d: Draw) -> Drawn:
    return None, _sizes(d)


def _full(d: Draw) -> Drawn:
    return None, [("size", f"({', '.join(d.shape())},)"), ("fill_value", d.pick("1.0", "True"))]


def _cat(d: Draw) -> Drawn:
    first = d.tensor()
    axis = d.axis(first)
    parts = [first]
    for _ in range(d.random.randint(1, 2)):
        dims = list(d.dims(first))
        dims[int(axis)] = d.size()
        parts.append(d.tensor(tuple(dims)))
    brackets = d.pick("[]", "()")
    return None, [("tensors", f"{brackets[0]}{', '.join(parts)}{brackets[1]}"), ("dim", axis)]


def _stack(d: Draw) -> Drawn:
    first = d.tensor()
    parts = [first, *(d.tensor(d.dims(first)) for _ in range(d.random.randint(1, 2)))]
    return None, [("tensors", f"[{', '.join(parts)}]"), *d.maybe(("dim", d.axis(first, 1)))]


def _arange(d: Draw) -> Drawn:
    bounds = d.random.choice(
        (["n"], ["2", "n + 3"], ["0", "2 * n", "2"], ["n"], ["h"], ["0", "n", "3"], ["n", "0", "-1"])
    )
    if d.random.random() < 0.3:
        return None, [("*end", "n"), *d.maybe(("*dtype", "torch.int64"))]
    return None, [("", bound) for bound in bounds]


def _linspace(d: Draw) -> Drawn:
    return None, [("start", "0"), ("end", "n"), ("steps", d.pick("8", "h", "n"))]


def _triangle(d: Draw) -> Drawn:
    return None, [("row", "6"), ("col", d.pick("6", "4"))]


def _as_tensor(d: Draw) -> Drawn:
    return None, [("data", d.pick("[1, 2, 3]", "4", d.tensor(), "[[1, 2], [3, 4]]", "[n, h]", "n", "x.shape"))]


def _einsum(d: Draw) -> Drawn:
    a, b, c = d.size(), d.size(), d.size()
    equation, shapes = d.random.choice(
        (
            ("ab,bc->ac", ((a, b), (b, c))),
            ("ab,ab->a", ((a, b), (a, b))),
            ("abc->cba", ((a, b, c),)),
            ("...a,ab->...b", ((c, "4", a), (a, b))),
            ("ab,bc", ((a, b), (b, c))),
            ("ba", ((b, a),)),
            ("aab->ab", ((a, a, b),)),
            ("ab, b -> a", ((a, b), (b,))),
        )
    )
    return None, [("", repr(equation)), *(("", d.tensor(shape)) for shape in shapes)]


def _embedding(d: Draw) -> Drawn:
    return None, [("input", d.tensor(dtype="int64")), ("weight", d.tensor(("6", "h")))]


def _extreme(d: Draw) -> Drawn:
    return None, [("", "n"), ("", d.pick("64", "h", "2 * n"))]


def _number(d: Draw) -> Drawn:
    return None, [("", d.pick("n", "2 * n"))]


def _convolution(rank: int) -> Drawer:
    def draw(d: Draw) -> Drawn:
        x = d.tensor(("n", "4", *["8"] * rank), "float32")
        weight = d.tensor(("6", "4", *[d.pick("1", "3")] * rank), "float32")
        return None, [("", x), ("", weight), *d.maybe(("padding", "1"))]

    return draw


def _max_pool(d: Draw) -> Drawn:
    return None, [("", d.tensor(("n", "4", "8"), "float32")), ("kernel_size", d.pick("1", "2", "4"))]


FUNCTIONS: dict[str, Drawer] = {
    **_given(("zeros", "ones", "empty"), _creation),
    **_given(("rand", "randn"), _random_creation),
    "full": _full,
    **_given(("cat", "concat", "concatenate"), _cat),
    **_given(("sym_min", "sym_max"), _extreme),
    "stack": _stack,
    "arange": _arange,
    "linspace": _linspace,
    **_given(("tril_indices", "triu_indices"), _triangle),
    **_given(("as_tensor", "tensor"), _as_tensor),
    "einsum": _einsum,
    "nn.functional.embedding": _embedding,
    **{f"{package}conv{rank}d": _convolution(rank) for package in ("", "nn.functional.") for rank in (1, 2, 3)},
    **_given(("max_pool1d", "nn.functional.max_pool1d"), _max_pool),
    "sym_float": _number,
}
#: Functions that are called as methods are, with the tensor in front.
AS_METHODS = {"linear", "pad", "softmax", "scaled_dot_product_attention"}
AS_METHODS |= {f"nn.functional.{name}" for name in ("linear", "pad", "one_hot")}
