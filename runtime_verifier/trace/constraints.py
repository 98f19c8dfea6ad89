"""Conditions on sizes as torch writes them, such as `Eq(Mod(s77, 128), 0)`: read, evaluated, said in plain Python.

torch prints them with sympy, whose text is Python syntax, so `ast` reads it; neither torch nor sympy is needed.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

#: Sizes at which a condition is tried: every small one, and the neighbours of the powers of two.
PROBES = tuple(sorted({*range(1, 66), *(2**k + d for k in range(7, 15) for d in (-1, 0, 1)), 48, 100, 1000, 10_000}))

#: No server takes more tokens in a step.
LARGEST_PROBE = 1 << 20

_BINARY: dict[type[ast.operator], tuple[str, Callable[[float, float], float]]] = {
    ast.Add: ("+", operator.add),
    ast.Sub: ("-", operator.sub),
    ast.Mult: ("*", operator.mul),
    ast.Div: ("/", operator.truediv),
    ast.FloorDiv: ("//", operator.floordiv),
    ast.Mod: ("%", operator.mod),
    ast.Pow: ("**", operator.pow),
    ast.BitAnd: ("and", lambda a, b: bool(a) and bool(b)),
    ast.BitOr: ("or", lambda a, b: bool(a) or bool(b)),
}
_COMPARE: dict[type[ast.cmpop], tuple[str, Callable[[float, float], bool]]] = {
    ast.Eq: ("==", operator.eq),
    ast.NotEq: ("!=", operator.ne),
    ast.Lt: ("<", operator.lt),
    ast.LtE: ("<=", operator.le),
    ast.Gt: (">", operator.gt),
    ast.GtE: (">=", operator.ge),
}
#: torch's sympy functions that are infix operators in Python. Sources: torch/utils/_sympy/functions.py.
_INFIX: dict[str, tuple[str, Callable[..., float]]] = {
    "Eq": ("==", operator.eq),
    "Ne": ("!=", operator.ne),
    "Mod": ("%", operator.mod),
    "PythonMod": ("%", operator.mod),
    "FloorDiv": ("//", operator.floordiv),
    "CleanDiv": ("//", operator.floordiv),
    "IntTrueDiv": ("/", operator.truediv),
    "FloatTrueDiv": ("/", operator.truediv),
    "PowByNatural": ("**", operator.pow),
    "LShift": ("<<", operator.lshift),
    "RShift": (">>", operator.rshift),
    "BitwiseFn_bitwise_and": ("&", operator.and_),
    "BitwiseFn_bitwise_or": ("|", operator.or_),
    "BitwiseFn_bitwise_xor": ("^", operator.xor),
}
_CALLS: dict[str, tuple[str, Callable[..., float]]] = {
    "Min": ("min", min),
    "Max": ("max", max),
    "ToFloat": ("float", float),
    "CeilToInt": ("ceil", math.ceil),
    "FloorToInt": ("floor", math.floor),
    "TruncToInt": ("int", int),
    "RoundToInt": ("round", round),
    "Abs": ("abs", abs),
    **{
        f"OpaqueUnaryFn_{name}": (name, getattr(math, name))
        for name in ("sqrt", "log", "log2", "exp", "cos", "sin", "tan", "tanh", "atan")
    },
}
_SOURCE_SIZE = re.compile(r"\.(size|stride)\(\)\[(\d+)\]")
_SOURCE_LOCAL = re.compile(r"\b[LG]\['([^']+)'\]")
#: An argument of a forward that a decorator wrapped.
_SOURCE_KEYWORD = re.compile(r"\bkwargs\['(\w+)'\]")


class NotUnderstood(ValueError):
    """The condition uses something this module does not know."""


def readable_source(source: str) -> str:
    """`x.size(0)` for torch's `L['x'].size()[0]`."""
    return _SOURCE_SIZE.sub(r".\1(\2)", _SOURCE_KEYWORD.sub(r"\1", _SOURCE_LOCAL.sub(r"\1", source)))


@dataclass(frozen=True)
class Constraint:
    """One condition. `text` is torch's own, over symbols such as s77 (from an argument) or u0 (unbacked)."""

    text: str

    @cached_property
    def _tree(self) -> ast.expr:
        try:
            return ast.parse(self.text, mode="eval").body
        except SyntaxError as error:
            raise NotUnderstood(self.text) from error

    @property
    def symbols(self) -> frozenset[str]:
        """Names of the sizes it speaks of; function names are not among them."""
        called = {id(node.func) for node in ast.walk(self._tree) if isinstance(node, ast.Call)}
        return frozenset(n.id for n in ast.walk(self._tree) if isinstance(n, ast.Name) and id(n) not in called)

    def holds(self, sizes: Mapping[str, float]) -> bool:
        """Whether it is true at `sizes`, which names every symbol.

        Raises:
            NotUnderstood: an operator is unknown.
        """
        return bool(_evaluate(self._tree, sizes))

    @property
    def probes(self) -> tuple[int, ...]:
        """`PROBES`, and the sizes around the numbers that it names and around their quotients.

        Only these find `n != 777`, or where `8*n <= 3000` changes.
        """
        named = {n.value for n in ast.walk(self._tree) if isinstance(n, ast.Constant) and isinstance(n.value, int)}
        edges = {*named, *(a // b for a in named for b in named if b)}
        return tuple(sorted({*PROBES, *(e + d for e in edges for d in (-1, 0, 1) if 0 < e + d <= LARGEST_PROBE)}))

    def fails_at(
        self, tokens: frozenset[str], fixed: Mapping[str, float], probes: Sequence[int] = PROBES
    ) -> tuple[int, ...]:
        """Those of `probes` at which it is false when every symbol in `tokens` is that number, the others as `fixed`.

        Raises:
            NotUnderstood: an operator or symbol is unknown.
        """
        failing = []
        for n in probes:
            try:
                if not self.holds({**fixed, **dict.fromkeys(tokens, n)}):
                    failing.append(n)
            except ArithmeticError:  # such as a division by n - 1
                failing.append(n)
        return tuple(failing)

    def readable(self, names: Mapping[str, str]) -> str:
        """In Python, with symbols replaced by `names`: `x.size(0) % 128 == 0`."""
        try:
            return _render(self._tree, names)
        except NotUnderstood:
            return re.sub(r"\b[szu]+[a-z]*\d+\b", lambda m: names.get(m[0], m[0]), self.text)


def _evaluate(node: ast.expr, sizes: Mapping[str, float]) -> float:
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return node.value
    if isinstance(node, ast.Name) and node.id in sizes:
        return sizes[node.id]
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        return _BINARY[type(node.op)][1](_evaluate(node.left, sizes), _evaluate(node.right, sizes))
    if isinstance(node, ast.UnaryOp):
        value = _evaluate(node.operand, sizes)
        return -value if isinstance(node.op, ast.USub) else not value
    if isinstance(node, ast.Compare) and all(type(op) in _COMPARE for op in node.ops):
        values = [_evaluate(v, sizes) for v in (node.left, *node.comparators)]
        pairs = zip(node.ops, values, values[1:], strict=False)
        return all(_COMPARE[type(op)][1](a, b) for op, a, b in pairs)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        function = _INFIX.get(node.func.id) or _CALLS.get(node.func.id)
        if function is not None:
            return function[1](*(_evaluate(a, sizes) for a in node.args))
    raise NotUnderstood(ast.unparse(node))


def _render(node: ast.expr, names: Mapping[str, str], nested: bool = False) -> str:
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Constant):
        return repr(node.value)
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        text = f"{_render(node.left, names, True)} {_BINARY[type(node.op)][0]} {_render(node.right, names, True)}"
    elif isinstance(node, ast.UnaryOp):
        text = ("-" if isinstance(node.op, ast.USub) else "not ") + _render(node.operand, names, True)
    elif isinstance(node, ast.Compare):
        text = _render(node.left, names)
        for op, right in zip(node.ops, node.comparators, strict=True):
            text += f" {_COMPARE[type(op)][0]} {_render(right, names)}"
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id in _INFIX and len(node.args) == 2:
            sign = _INFIX[node.func.id][0]
            inner = sign not in ("==", "!=")
            text = f"{_render(node.args[0], names, inner)} {sign} {_render(node.args[1], names, inner)}"
        elif node.func.id in _CALLS:
            return f"{_CALLS[node.func.id][0]}({', '.join(_render(a, names) for a in node.args)})"
        else:
            raise NotUnderstood(ast.unparse(node))
    else:
        raise NotUnderstood(ast.unparse(node))
    return f"({text})" if nested else text
