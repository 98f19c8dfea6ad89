"""What the implementations of a custom operator return: shape, dtype, device, as far as their text says.

A name stands for all that a function binds it to, so each `return` has a few alternatives. What cannot be read is
unknown, and so is everything that is computed from it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Union

from vllm_lint.analyzer.context import Frame
from vllm_lint.analyzer.index import FunctionInfo, walk_function
from vllm_lint.analyzer.interpreter import Interpreter
from vllm_lint.analyzer.schemas import type_of
from vllm_lint.analyzer.sizes import Size
from vllm_lint.analyzer.values import Const, External, Function, Value, options

_MAX_ALTERNATIVES = 6
_MAX_DEPTH = 4
#: Expressions evaluated for one implementation; those of vLLM take a few hundred.
_BUDGET = 5000

_FACTORIES = frozenset({"empty", "zeros", "ones", "rand", "randn"})
_SAME = frozenset({"clone", "detach", "contiguous", "add_", "mul_", "copy_", "zero_", "fill_"})
#: Methods of tensors that convert, and to what.
CASTS = {
    "float": "torch.float32",
    "half": "torch.float16",
    "bfloat16": "torch.bfloat16",
    "double": "torch.float64",
    "int": "torch.int32",
    "long": "torch.int64",
    "bool": "torch.bool",
}
_DTYPES = frozenset(
    f"torch.{name}"
    for name in (
        *("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"),
        *("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e8m0fnu"),
    )
)
_ALIASES = {"torch.float": "torch.float32", "torch.half": "torch.float16", "torch.long": "torch.int64"}


@dataclass(frozen=True)
class Dims:
    """The dimensions of an argument from `start` to `stop`, of which there may be any number."""

    argument: str
    start: int = 0
    stop: int | None = None


Part = Union[Size, Dims, None]
"""One dimension, several, or one of which nothing is known."""
Shape = tuple[Part, ...]


@dataclass(frozen=True)
class Result:
    """A tensor. None stands for what is not known; `argument` names the parameter that it is."""

    shape: Shape | None = None
    dtype: str | None = None
    device: str | None = None
    argument: str = ""


@dataclass(frozen=True)
class Several:
    """A tuple, or the `shape` of a tensor."""

    parts: tuple[Result | Size | Dims | Several | None, ...]


Described = Union[Result, Size, Several, str, None]
"""A tensor, an integer, several of these, a dtype or device by its text, or what is not known."""


class Scope:
    """One function with what its parameters are; evaluates expressions in it."""

    def __init__(
        self,
        interpreter: Interpreter,
        function: Function,
        given: dict[str, list[Described]],
        caller: Scope | None = None,
    ) -> None:
        self._interpreter = interpreter
        self._function = function
        self._given = given
        self._depth: int = 0 if caller is None else caller._depth + 1
        self._left: list[int] = [_BUDGET] if caller is None else caller._left
        self._evaluating: set[str] = set()

    @classmethod
    def of(cls, interpreter: Interpreter, function: Function, schema: list[tuple[str, str]]) -> Scope:
        """The scope of an implementation; its parameters get name and type from `schema`, or are as annotated."""
        arguments = function.info.node.args
        own = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        own = own[1:] if function.receiver is not None else own
        given: dict[str, list[Described]] = {}
        for position, parameter in enumerate(own):
            name, kind = schema[position] if schema and position < len(schema) else (parameter.arg, "")
            kind = kind or type_of(parameter.annotation)
            given[parameter.arg] = [_described(name, kind)]
        return cls(interpreter, function, given)

    @property
    def tensors(self) -> frozenset[str]:
        """The parameters that are tensors, by the name in the schema."""
        values = [v for several in self._given.values() for v in several]
        return frozenset(v.argument for v in values if isinstance(v, Result))

    @property
    def info(self) -> FunctionInfo:
        """The function."""
        return self._function.info

    def returned(self) -> Iterator[Described]:
        """The alternatives of all that it returns."""
        node = self.info.node
        if isinstance(node, ast.Lambda):
            yield from self.values(node.body)
            return
        for inner in walk_function(node):
            if isinstance(inner, ast.Return) and inner.value is not None:
                yield from self.values(inner.value)

    @cached_property
    def _bindings(self) -> dict[str, list[tuple[ast.expr, tuple[int, ...]] | None]]:
        """What each name of the body is bound to, with the items to take of that; None where that is not known."""
        found: dict[str, list[tuple[ast.expr, tuple[int, ...]] | None]] = {}

        def bind(target: ast.expr, value: ast.expr | None, path: tuple[int, ...]) -> None:
            if isinstance(target, ast.Name):
                found.setdefault(target.id, []).append(None if value is None else (value, path))
            elif isinstance(target, (ast.Tuple, ast.List)):
                for index, element in enumerate(target.elts):
                    bind(element, None if isinstance(element, ast.Starred) else value, (*path, index))
            elif isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name):
                found.setdefault(target.value.id, []).append(None)  # a list of sizes, of which one is replaced

        for node in [] if isinstance(self.info.node, ast.Lambda) else walk_function(self.info.node):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    bind(target, node.value, ())
            elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)) and node.value is not None:
                bind(node.target, node.value, ())
            elif isinstance(node, (ast.AugAssign, ast.For, ast.comprehension)):
                bind(node.target, None, ())
            elif isinstance(node, ast.withitem) and node.optional_vars is not None:
                bind(node.optional_vars, None, ())
        return found

    def values(self, node: ast.expr | None) -> list[Described]:
        """What an expression may be; `[None]` if that is not known."""
        self._left[0] -= 1
        found = self._values(node) if self._left[0] > 0 else []
        return found if 0 < len(found) <= _MAX_ALTERNATIVES else [None]

    def _values(self, node: ast.expr | None) -> list[Described]:
        if isinstance(node, ast.Name):
            return self._name(node.id)
        if isinstance(node, ast.Constant):
            return [Size.const(node.value) if type(node.value) is int else None]
        if isinstance(node, ast.IfExp):
            return [*self.values(node.body), *self.values(node.orelse)]
        if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or):
            return [v for side in node.values for v in self.values(side)]
        if isinstance(node, (ast.Tuple, ast.List)):
            return [self._tuple(node)]
        if isinstance(node, ast.Attribute):
            return self._attribute(node)
        if isinstance(node, ast.Subscript):
            return [self._item(value, node.slice) for value in self.values(node.value)]
        if isinstance(node, ast.BinOp):
            return [_computed(node.op, a, b) for a in self.values(node.left) for b in self.values(node.right)]
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return [-v if isinstance(v, Size) else None for v in self.values(node.operand)]
        if isinstance(node, ast.Call):
            return self._call(node)
        return [None]

    def _name(self, name: str) -> list[Described]:
        if name in self._evaluating:
            return [None]
        bound = self._bindings.get(name, [])
        found: list[Described] = list(self._given[name]) if name in self._given else []
        if bound and name in self._given and all(b is not None and _renews(b[0], name) for b in bound):
            found = []  # `x = x.contiguous()`: what comes after is what is returned
        self._evaluating.add(name)
        for each in bound:
            if each is None:
                found.append(None)
                continue
            value, path = each
            for option in self._bound(value, name):
                for index in path:
                    option = _part(option, index)  # noqa: PLW2901
                found.append(option)
        self._evaluating.discard(name)
        return list(dict.fromkeys(found)) if found else self._outside(ast.Name(name, ast.Load()))

    def _bound(self, value: ast.expr, name: str) -> list[Described]:
        if name in self._given and name in {n.id for n in ast.walk(value) if isinstance(n, ast.Name)}:
            inner = Scope(self._interpreter, self._function, self._given, self)
            inner.__dict__["_bindings"] = {k: v for k, v in self._bindings.items() if k != name}
            return inner.values(value)
        return self.values(value)

    def _outside(self, node: ast.expr) -> list[Described]:
        """A name that the function does not bind: a number of the module, or a dtype by its name."""
        value = self._global(node)
        if isinstance(value, Const) and type(value.value) is int:
            return [Size.const(value.value)]
        if isinstance(value, External) and value.name.startswith("torch."):
            return [_ALIASES.get(value.name, value.name)]
        return [None]

    def _global(self, node: ast.expr) -> Value | None:
        head = node
        while isinstance(head, ast.Attribute):
            head = head.value
        if not isinstance(head, ast.Name) or head.id in self._bindings or head.id in self._given:
            return None
        with self._interpreter.silently():
            found = options(self._interpreter.evaluate(node, Frame(self.info.module, {}, None, self._function.scope)))
        return found[0] if len(found) == 1 else None

    def constant(self, node: ast.expr | None) -> list[Described]:
        """The value of a default, which knows nothing of the body."""
        if isinstance(node, ast.Constant) and type(node.value) is int:
            return [Size.const(node.value)]
        return self._outside(node) if isinstance(node, (ast.Name, ast.Attribute)) else [None]

    def is_torch(self, node: ast.expr) -> bool:
        """Whether an expression names a function of torch."""
        value = self._global(node)
        return isinstance(value, External) and value.name.startswith("torch.")

    def _tuple(self, node: ast.Tuple | ast.List) -> Several | None:
        parts: list[Result | Size | Dims | Several | None] = []
        for element in node.elts:
            (value, *more) = self.values(element.value if isinstance(element, ast.Starred) else element)
            if more:
                value = None
            if isinstance(element, ast.Starred):
                if not isinstance(value, Several):
                    return None
                parts += value.parts
            else:
                parts.append(None if isinstance(value, str) else value)
        return Several(tuple(parts))

    def _attribute(self, node: ast.Attribute) -> list[Described]:
        if node.attr in ("shape", "dtype", "device"):
            found: list[Described] = []
            for value in self.values(node.value):
                if not isinstance(value, Result):
                    found.append(None)
                elif node.attr == "shape":
                    found.append(None if value.shape is None else Several(value.shape))
                else:
                    found.append(value.dtype if node.attr == "dtype" else value.device)
            return found
        return self._outside(node)

    def _item(self, value: Described, index: ast.expr) -> Described:
        if isinstance(value, Several):
            if isinstance(index, ast.Slice):
                bounds = [_constant(self.values(b)) if b is not None else None for b in (index.lower, index.upper)]
                known = all(b is not None for b, given in zip(bounds, (index.lower, index.upper), strict=True) if given)
                return _sliced(value, bounds[0] or 0, bounds[1]) if known and index.step is None else None
            number = _constant(self.values(index))
            return None if number is None else _part(value, number)
        if isinstance(value, Result):
            return Result(None, value.dtype, value.device)
        return None

    # Calls

    def _call(self, node: ast.Call) -> list[Described]:
        keywords = {k.arg: k.value for k in node.keywords if k.arg is not None}
        if len(keywords) < len(node.keywords):
            return [None]
        if isinstance(node.func, ast.Attribute):
            receivers = self.values(node.func.value)
            if any(r is not None and not isinstance(r, str) for r in receivers):
                return [self._method(r, node.func.attr, node, keywords) for r in receivers]
        callee = self._global(node.func)
        if isinstance(callee, Function):
            return self._follow(callee, node, keywords)
        if not isinstance(callee, External):
            return [None]
        name = callee.name.removeprefix("torch.") if callee.name.startswith("torch.") else ""
        if name in _FACTORIES or name == "full":
            return [self._made(self._sizes(node, keywords, first_only=name == "full"), keywords, None)]
        if name.endswith("_like") and node.args:
            return [
                self._made(v.shape, keywords, v) if isinstance(v, Result) else None for v in self.values(node.args[0])
            ]
        if callee.name in ("builtins.list", "builtins.tuple", "builtins.int", "torch.Size") and len(node.args) == 1:
            return self.values(node.args[0])
        if callee.name.rpartition(".")[2] == "cdiv" and len(node.args) == 2:
            return [self._cdiv(*(self.values(a) for a in node.args))]
        return [None]

    def _cdiv(self, a: list[Described], b: list[Described]) -> Described:
        if len(a) == len(b) == 1 and isinstance(a[0], Size) and isinstance(b[0], Size):
            return -((-a[0]) // b[0])
        return None

    def _method(self, receiver: Described, name: str, node: ast.Call, keywords: dict[str, ast.expr]) -> Described:
        if not isinstance(receiver, Result):
            return None
        if name in ("size", "shape"):
            sizes = None if receiver.shape is None else Several(receiver.shape)
            if not node.args:
                return sizes
            number = _constant(self.values(node.args[0]))
            return _part(sizes, number) if sizes is not None and number is not None else None
        if name == "numel" and receiver.shape == (Dims(receiver.argument),):
            return Size.static(f"{receiver.argument}.numel()")
        if name in _SAME:
            return replace(receiver, argument="")
        if name in CASTS:
            return replace(receiver, dtype=CASTS[name], argument="")
        if name == "to" and len(node.args) == 1 and not keywords:
            (value, *more) = self.values(node.args[0])
            known = isinstance(value, str) and (value in _DTYPES or value.endswith(".dtype")) and not more
            return Result(receiver.shape, value if known and isinstance(value, str) else None, None)
        if name in ("new_empty", "new_zeros", "new_ones", "new_full"):
            return self._made(self._sizes(node, keywords, first_only=name == "new_full"), keywords, receiver)
        return Result(None, receiver.dtype if name in ("view", "reshape") and len(node.args) != 1 else None, None)

    def _made(self, shape: Shape | None, keywords: dict[str, ast.expr], like: Result | None) -> Result:
        dtype = like.dtype if like is not None else None
        if "dtype" in keywords:
            (value, *more) = self.values(keywords["dtype"])
            dtype = value if isinstance(value, str) and not more else None
        device = like.device if like is not None else "default"
        if "device" in keywords:
            (value, *more) = self.values(keywords["device"])
            device = value if isinstance(value, str) and not more else None
        return Result(shape, dtype, device)

    def _sizes(self, node: ast.Call, keywords: dict[str, ast.expr], *, first_only: bool) -> Shape | None:
        given = node.args[:1] if first_only else node.args
        if not given and "size" in keywords:
            given = [keywords["size"]]
        if len(given) == 1 and not isinstance(given[0], ast.Starred):
            (value, *more) = self.values(given[0])
            if more:
                return None
            if isinstance(value, Several):
                return _as_shape(value)
            return (value,) if isinstance(value, Size) else None
        value = self._tuple(ast.Tuple(list(given), ast.Load()))
        return None if value is None or not given else _as_shape(value)

    def _follow(self, callee: Function, node: ast.Call, keywords: dict[str, ast.expr]) -> list[Described]:
        """What a function of the program returns for these arguments."""
        starred = any(isinstance(a, ast.Starred) for a in node.args)
        if self._depth >= _MAX_DEPTH or starred or callee.receiver is not None:
            return [None]
        arguments = callee.info.node.args
        names = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
        defaults = dict(
            zip(names[: len(names) - len(arguments.kwonlyargs)][::-1], arguments.defaults[::-1], strict=False)
        )
        defaults |= {
            a.arg: d for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d is not None
        }
        module = Scope(self._interpreter, callee, {}, self)
        given = {name: module.constant(defaults.get(name)) for name in names}
        given.update(zip(names, (self.values(a) for a in node.args), strict=False))
        given.update({k: self.values(v) for k, v in keywords.items() if k in given})
        inner = Scope(self._interpreter, callee, given, self)
        return list(inner.returned()) or [None]


def _described(name: str, kind: str) -> Described:
    """A parameter of the type `kind` of a schema."""
    if kind == "Tensor":
        return Result((Dims(name),), f"{name}.dtype", f"{name}.device", name)
    if kind == "int":
        return Size.static(name)
    return name if kind in ("ScalarType", "Device") else None


def _renews(value: ast.expr, name: str) -> bool:
    """Whether a parameter is bound to another form of itself."""
    return any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(value))


def _constant(values: list[Described]) -> int | None:
    return values[0].constant if len(values) == 1 and isinstance(values[0], Size) else None


def _as_shape(value: Several) -> Shape | None:
    return tuple(p if isinstance(p, (Size, Dims)) else None for p in value.parts)


def _part(value: Described, index: int) -> Described:
    """`value[index]`."""
    if not isinstance(value, Several):
        return None
    parts = value.parts
    if len(parts) == 1 and isinstance(parts[0], Dims):
        dims = parts[0]
        if dims.stop is None and (dims.start == 0 or index >= 0):
            return Size.static(f"{dims.argument}.shape[{index + dims.start if index >= 0 else index}]")
        return Size.static(f"{dims.argument}.shape[{index + dims.start}]") if index >= 0 else None
    before = parts[: index + 1] if index >= 0 else parts[index:]
    if any(isinstance(p, Dims) for p in before) or not -len(parts) <= index < len(parts):
        return None
    found = parts[index]
    return None if isinstance(found, Dims) else found


def _sliced(value: Several, start: int, stop: int | None) -> Several | None:
    """`value[start:stop]`."""
    if not any(isinstance(p, Dims) for p in value.parts):
        return Several(value.parts[start:stop])
    if len(value.parts) == 1 and isinstance(value.parts[0], Dims):
        dims = value.parts[0]
        if dims.start == 0 and dims.stop is None and start >= 0:
            return Several((Dims(dims.argument, start, stop),))
    return None


_OPERATIONS: dict[type[ast.operator], Callable[[Size, Size], Size]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Mod: lambda a, b: a % b,
}


def _computed(op: ast.operator, a: Described, b: Described) -> Described:
    if isinstance(a, Several) and isinstance(b, Several) and isinstance(op, ast.Add):
        return Several((*a.parts, *b.parts))
    operation = _OPERATIONS.get(type(op))
    if operation is None or not isinstance(a, Size) or not isinstance(b, Size):
        return None
    return operation(a, b)


# Comparing


def differences(real: list[Described], fake: list[Described]) -> Iterator[tuple[str, str, str]]:
    """What disagrees whichever path is taken: its name, and what it is for the real and for the fake one."""
    rows = [[_outputs(v) for v in side] for side in (real, fake)]
    if not rows[0] or not rows[1] or any(row is None for side in rows for row in side):
        return
    counts = [{len(row) for row in side if row is not None} for side in rows]
    if counts[0].isdisjoint(counts[1]):
        yield "the number of results", _either(map(str, sorted(counts[0]))), _either(map(str, sorted(counts[1])))
        return
    if counts[0] != counts[1] or len(counts[0]) != 1:
        return
    (count,) = counts[0]
    for position in range(count):
        sides = [[row[position] for row in side if row is not None] for side in rows]
        which = f" of result {position + 1}" if count > 1 else ""
        for name, differ, said in _ASPECTS:
            if all(differ(r, f) for r in sides[0] for f in sides[1]):
                texts = [_either(dict.fromkeys(said(r) for r in side)) for side in sides]
                yield f"the {name}{which}", texts[0], texts[1]
                break


def _outputs(value: Described) -> tuple[Result, ...] | None:
    if isinstance(value, Result):
        return (value,)
    if isinstance(value, Several):
        return tuple(p if isinstance(p, Result) else Result() for p in value.parts)
    return None


def _either(texts: object) -> str:
    return " or ".join(texts)  # type: ignore[arg-type]


def _rank_differs(a: Result, b: Result) -> bool:
    if a.shape is None or b.shape is None or any(isinstance(p, Dims) for p in (*a.shape, *b.shape)):
        return False
    return len(a.shape) != len(b.shape)


def _size_differs(a: Result, b: Result) -> bool:
    """Whether a dimension is another multiple, or another number more, of the same sizes."""
    if a.shape is None or b.shape is None or len(a.shape) != len(b.shape):
        return False
    return any(_sizes_differ(p, q) for p, q in zip(a.shape, b.shape, strict=True)) and all(
        not isinstance(p, Dims) or p == q for p, q in zip(a.shape, b.shape, strict=True)
    )


def _sizes_differ(p: Part, q: Part) -> bool:
    if not isinstance(p, Size) or not isinstance(q, Size) or p == q:
        return False
    if p.constant is not None and q.constant is not None:
        return True
    same = p.statics() == q.statics() and len(p.statics()) == 1
    return same and all(p.evaluate(1, seed) != q.evaluate(1, seed) for seed in range(12))


def _dtype_differs(a: Result, b: Result) -> bool:
    return a.dtype != b.dtype and a.dtype in _DTYPES and b.dtype in _DTYPES


def _device_differs(a: Result, b: Result) -> bool:
    return a.device is not None and a.device.endswith(".device") and b.device == "default"


def _shape_said(result: Result) -> str:
    parts = [
        f"*{p.argument}.shape[{p.start or ''}:{'' if p.stop is None else p.stop}]" if isinstance(p, Dims) else repr(p)
        for p in result.shape or ()
    ]
    return f"({', '.join('?' if p == 'None' else p for p in parts)})"


_ASPECTS: tuple[tuple[str, Callable[[Result, Result], bool], Callable[[Result], str]], ...] = (
    ("number of dimensions", _rank_differs, lambda r: str(len(r.shape or ()))),
    ("shape", _size_differs, _shape_said),
    ("dtype", _dtype_differs, lambda r: r.dtype or "?"),
    ("device", _device_differs, lambda r: "the default device" if r.device == "default" else r.device or "?"),
)
