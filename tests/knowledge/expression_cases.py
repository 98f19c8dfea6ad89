"""Expressions beside calls of operators by name: Python's operators, indices, attributes, layers, patterns."""

from __future__ import annotations

from collections.abc import Callable

from tests.knowledge.drawing import Draw

Writer = Callable[[Draw], str]


def _binary(sign: str, *, kinds: tuple[str, ...] = ("float32", "int64", "bool")) -> Writer:
    def write(d: Draw) -> str:
        d.dtype = d.pick(*kinds)
        x = d.tensor()
        other = d.pick(d.tensor(d.broadcast(x)), "2") if sign not in ("&", "|", "^") else d.tensor(d.broadcast(x))
        return f"{x} {sign} {other}" if d.random.random() < 0.7 else f"{other} {sign} {x}"

    return write


def _matmul(d: Draw) -> str:
    d.dtype = "float32"
    x = d.tensor(d.random.choice((("h",), ("n", "h"), ("3", "n", "h"))))
    return f"{x} @ {d.tensor(d.random.choice((('h',), ('h', '4'), ('3', 'h', 'n'))))}"


def _unary(sign: str) -> Writer:
    return lambda d: f"{sign}{d.tensor()}"


def _index(d: Draw) -> str:
    x = d.tensor()
    parts = []
    for dim in d.dims(x)[: d.random.randint(1, len(d.dims(x)))]:
        numbers = ["0", "-1", ":", ":", "1:", ":-1", ":1", "..."]
        if dim == "n":
            numbers += [":n // 2", "n // 2:", "n - 1", "::2", "1:n", ":n"]
        if dim == "h":
            numbers += [":h // 2", "h // 2:", "2:h"]
        if dim in ("4", "6"):
            numbers += ["1:3", "::2", "-2:", ":2", "1:-1"]
        parts.append(d.pick(*numbers))
    if "..." in parts:  # which dims the others pick is another matter then
        parts = ["...", *d.maybe_text("0", ":1")]
    if d.random.random() < 0.3:
        parts.insert(d.random.randint(0, len(parts)), "None")
    return f"{x}[{', '.join(parts)}]"


def _gather(d: Draw) -> str:
    x = d.tensor()
    index = d.tensor(d.shape(d.random.choice((1, 2))), "int64")
    behind = d.pick("", ", None", ", ...", ", 0", ", :1") if len(d.dims(x)) > 1 else ""
    return f"{x}[{index}{behind}]"


def _two_indices(d: Draw) -> str:
    x = d.tensor(("n", "4", *d.shape(1)))
    index = d.tensor(("3",), "int64")
    return d.pick(f"{x}[:, {index}]", f"{x}[{index}, {index}]", f"{x}[..., {index}]", f"{x}[{index}, :, 0]")


def _mask(d: Draw) -> str:
    x = d.tensor()
    return f"{x}[{d.tensor(d.dims(x)[: d.random.randint(1, len(d.dims(x)))], 'bool')}]"


def _attribute(name: str) -> Writer:
    return lambda d: f"{d.tensor()}.{name}"


def _layer(name: str, *, inner: str = "h", rank: int = 0) -> Writer:
    def write(d: Draw) -> str:
        d.dtype = "float32"
        x = d.tensor((*d.shape(rank or None), inner))
        return f"nn.{name.replace(')', f', device={x}.device)') if '(h' in name else name}({x})"

    return write


def _convolution(rank: int) -> Writer:
    def write(d: Draw) -> str:
        d.dtype = "float32"
        x = d.tensor(("n", "4", *["h"] * rank))
        return f"nn.Conv{rank}d(4, 6, kernel_size={d.pick('1', '3')}, device={x}.device)({x})"

    return write


def _embedding(d: Draw) -> str:
    x = d.tensor(dtype="int64")
    return f"nn.Embedding(10, h, device={x}.device)({x})"


def _pattern(d: Draw) -> str:
    d.dtype = "float32"
    shapes = {
        "rearrange({x}, 'a (b c) -> a b c', c=2)": ("n", "6"),
        "rearrange({x}, 'a (b c) -> (a c) b', b=h)": ("n", "2 * h"),
        "rearrange({x}, '(a b) c -> a b c', a=2)": ("2 * n", "4"),
        "rearrange({x}, 'a ... -> ... a')": d.shape(),
        "rearrange({x}, 'a b c -> c (a b)')": ("n", "4", "h"),
        "rearrange([{x}, {x}], 'k a b -> a k b')": ("n", "h"),
        "rearrange({x}, 'a b -> a 1 b')": ("n", "h"),
        "reduce({x}, 'a b c -> a c', 'sum')": ("3", "n", "h"),
        "reduce({x}, 'a (b k) -> a b', 'mean', k=3)": ("n", "6"),
        "repeat({x}, 'a b -> a k b', k=3)": ("n", "h"),
        "repeat({x}, 'a b -> (a k) b', k=h)": ("n", "4"),
        "repeat({x}, 'a b -> k a b', k=n)": ("4", "h"),
    }
    text = d.random.choice(list(shapes))
    return text.format(x=d.tensor(shapes[text]))


def _sizes(*texts: str) -> Writer:
    def write(d: Draw) -> str:
        d.tensor(("n", "h", "4"), "float32")
        return d.pick(*texts)

    return write


EXPRESSIONS: dict[str, Writer] = {
    **{sign: _binary(sign) for sign in ("+", "*", "/", "==", "!=", "<", "<=", ">", ">=")},
    **{sign: _binary(sign, kinds=("float32", "int64")) for sign in ("-", "//", "%", "**")},
    **{sign: _binary(sign, kinds=("int64", "bool")) for sign in ("&", "|", "^")},
    **{sign: _binary(sign, kinds=("int64",)) for sign in ("<<", ">>")},
    "@": _matmul,
    **{f"unary {sign}": _unary(sign) for sign in "-+~"},
    "x[...]": _index,
    "x[indices]": _gather,
    "x[:, indices]": _two_indices,
    "x[mask]": _mask,
    **{
        f".{name}": _attribute(name)
        for name in ("shape", "ndim", "T", "mT", "H", "data", "real", "itemsize", "is_cuda")
    },
    **{name: _layer(f"{name}(h)") for name in ("LayerNorm", "RMSNorm")},
    **{name: _layer(f"{name}()") for name in ("Identity", "Dropout", "SiLU", "ReLU", "GELU", "Sigmoid", "Tanh")},
    **{name: _layer(f"{name}()") for name in ("Softplus", "LeakyReLU", "Mish", "ReLU6", "Hardswish")},
    "Softmax": _layer("Softmax(dim=-1)"),
    "GroupNorm": lambda d: f"nn.GroupNorm(2, 4, device={(x := d.tensor(('n', '4', 'h'), 'float32'))}.device)({x})",
    "BatchNorm1d": lambda d: f"nn.BatchNorm1d(4, device={(x := d.tensor(('n', '4', 'h'), 'float32'))}.device)({x})",
    "Linear": _layer("Linear(h, 6)"),
    "Linear of keywords": _layer("Linear(in_features=h, out_features=n, bias=False)"),
    "Sequential": _layer("Sequential(nn.SiLU(), nn.Softmax(dim=-1))"),
    **{f"Conv{rank}d": _convolution(rank) for rank in (1, 2, 3)},
    "Unfold": lambda d: f"nn.Unfold(kernel_size=2)({d.tensor(('n', '4', 'h', 'h'), 'float32')})",
    "Embedding": _embedding,
    "einops": _pattern,
    "len": lambda d: f"len({d.tensor()})",
    "len of a shape": lambda d: f"len({d.tensor()}.shape)",
    "sum of tensors": lambda d: f"sum([{(x := d.tensor())}, {d.tensor(d.broadcast(x))}])",
    "abs": lambda d: f"abs({d.tensor()})",
    "sizes": _sizes(
        "n + 1", "2 * n", "n * n", "n - 1", "n // 2", "n % 3", "-n", "-(-n // 4)", "(n + 7) // 8 * 8", "-n % 4"
    ),
    "sizes with h": _sizes("n * h", "n * h // h", "n // h", "(n + h - 1) // h", "h // 2", "h * 2", "h % 4", "n % h"),
    "bits": _sizes("n << 1", "n >> 1", "n & 7", "n | 1", "n ^ 1", "1 << n", "n & (n - 1)", "n ** 2"),
    "rounding": _sizes(
        "int(n)", "int(n / 2)", "n / 2", "round(n / 2)", "int(n * 0.5)", "float(n)", "round(n)", "abs(-n)"
    ),
    "floats": _sizes(
        "int(n / 2 * 2)",
        "int((n + 1) / 2)",
        "int(n / 2 + 1)",
        "int(-n / 2)",
        "math.ceil(n / 3 + 1)",
        "math.ceil(2 * n / 2)",
        "n / 2 > 3",
        "int(n / 2 / 2)",
    ),
    "math": _sizes(
        "math.ceil(n / 3)", "math.floor(n / 3)", "math.trunc(n / 3)", "math.prod(x.shape)", "math.prod((n, 4))"
    ),
    "math of floats": _sizes("math.sqrt(n)", "math.log2(n)", "math.cos(n)", "math.fabs(n)", "math.isnan(n)"),
    "extremes": _sizes("min(n, 4)", "max(n, 4)", "max(n, h)", "min(2 * n, n + 3)", "max([n, 2])", "min(n, 4, h)"),
    "sums": _sizes(
        "sum([n, 1, 2])", "sum(x.shape)", "sum((n, n))", "x.numel()", "x.shape.numel()", "x.size(0) * x.size(1)"
    ),
    "comparisons": _sizes(
        "n > 4", "n == 4", "n != h", "n % 2 == 0", "n // 2 > 3", "not n > 4", "n - 1 >= h", "bool(n)"
    ),
    "divmod": _sizes("divmod(n, 4)", "divmod(n, h)"),
    "shapes": _sizes(
        "x.shape[:-1]", "x.shape[1:]", "x.shape + (2,)", "(2, *x.shape)", "list(x.shape)", "tuple(x.size())"
    ),
    "dims": _sizes("x.shape[0]", "x.shape[-1]", "x.shape[-2]", "x.size(-3)", "x.stride(0)", "x.stride(-1)", "x.dim()"),
}
