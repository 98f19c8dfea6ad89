"""Which dtype the results of an operator have, in terms of its arguments, as far as the text of its body says."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from vllm_lint.analyzer.operator_results import CASTS

#: Functions and methods whose result has the dtype of their first argument; of sums that holds for floats.
_KEEP = frozenset(
    """
    abs add sub mul neg exp relu silu gelu sigmoid tanh softmax log_softmax softplus clamp clip pad linear matmul mm bmm
    clone contiguous detach view reshape flatten unflatten transpose permute squeeze unsqueeze expand repeat roll flip t
    index_select gather narrow select cumsum sum mean amax amin max min softcap pow square sqrt rsqrt reciprocal
    masked_fill scatter index_add index_copy new_empty new_zeros new_ones new_full empty_like zeros_like ones_like
    full_like rand_like randn_like dropout layer_norm rms_norm normalize repeat_interleave tril triu where
    add_ sub_ mul_ div_ copy_ zero_ fill_ clamp_ masked_fill_ index_add_ cat stack concat split chunk conv1d
    """.split()  # noqa: SIM905 - a list of so many words is easier to read like this
)
_OF_SECOND = frozenset({"where"})
_INDICES = frozenset({"argmax", "argmin", "argsort", "nonzero", "arange", "bincount", "searchsorted", "bucketize"})
_TESTS = frozenset({"isnan", "isinf", "isfinite", "eq", "ne", "lt", "le", "gt", "ge", "any", "all", "logical_not"})

Dtype = str | None
"""`x.dtype`, `torch.float32`, or None where it is not known."""
_NUMBER = "number"


class Dtypes:
    """Follows the variables of a function; what a path alone binds otherwise is not known behind it."""

    def __init__(self, node: ast.FunctionDef, tensors: Iterable[str], same: frozenset[str] = frozenset()) -> None:
        """`same` are callables whose results have the dtype of the first argument."""
        self._same = same
        self.returned: list[list[Dtype]] = []
        """Of each `return`, the dtype of each result."""
        self._block(node.body, {name: f"{name}.dtype" for name in tensors})

    def result(self, position: int) -> Dtype:
        """The dtype of a result, if all paths agree on it."""
        found = {row[position] if position < len(row) else None for row in self.returned}
        return found.pop() if len(found) == 1 else None

    def _block(self, body: list[ast.stmt], known: dict[str, Dtype]) -> None:
        for node in body:
            self._statement(node, known)

    def _statement(self, node: ast.stmt, known: dict[str, Dtype]) -> None:
        if isinstance(node, ast.Return) and node.value is not None:
            parts = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
            self.returned.append([self.of(part, known) for part in parts])
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                self._bind(target, node.value, known)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            self._bind(node.target, node.value, known)
        elif isinstance(node, ast.If):
            self._arms([node.body, node.orelse], known)
        elif isinstance(node, (ast.For, ast.While)):
            if isinstance(node, ast.For):
                self._forget(node.target, known)
            self._arms([node.body, []], known)
            self._arms([node.body, []], known)
        elif isinstance(node, ast.With):
            self._block(node.body, known)
        elif isinstance(node, ast.Try):
            self._arms([[*node.body, *node.orelse], *(h.body for h in node.handlers)], known)
            self._block(node.finalbody, known)
        elif isinstance(node, ast.Match):
            self._arms([*(case.body for case in node.cases), []], known)

    def _arms(self, bodies: list[list[ast.stmt]], known: dict[str, Dtype]) -> None:
        ways: list[dict[str, Dtype]] = []
        for body in bodies:
            way = dict(known)
            self._block(body, way)
            if not (body and isinstance(body[-1], (ast.Return, ast.Raise))):
                ways.append(way)
        for name in {n for way in ways for n in way}:
            found = {way.get(name) for way in ways}
            known[name] = found.pop() if len(found) == 1 else None

    def _bind(self, target: ast.expr, value: ast.expr, known: dict[str, Dtype]) -> None:
        if isinstance(target, ast.Name):
            known[target.id] = self.of(value, known)
        elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            for part, of in [(t, self.of(v, known)) for t, v in zip(target.elts, value.elts, strict=True)]:
                if isinstance(part, ast.Name):
                    known[part.id] = of
        elif isinstance(target, (ast.Tuple, ast.List)):
            of = self.of(value, known) if _called(value) in ("chunk", "split", "unbind") else None
            for part in target.elts:
                self._forget(part, known)
                if isinstance(part, ast.Name):
                    known[part.id] = of

    def _forget(self, target: ast.expr, known: dict[str, Dtype]) -> None:
        for inner in ast.walk(target):
            if isinstance(inner, ast.Name):
                known[inner.id] = None

    def of(self, node: ast.expr, known: dict[str, Dtype]) -> Dtype:
        """The dtype of an expression; "number" of what is a number of Python."""
        if isinstance(node, ast.Name):
            return known.get(node.id, _NUMBER)
        if isinstance(node, ast.Constant):
            return _NUMBER
        if isinstance(node, ast.UnaryOp):
            return self.of(node.operand, known)
        if isinstance(node, ast.BinOp):
            return _promoted([self.of(node.left, known), self.of(node.right, known)])
        if isinstance(node, ast.IfExp):
            found = {self.of(node.body, known), self.of(node.orelse, known)}
            return found.pop() if len(found) == 1 else None
        if isinstance(node, ast.NamedExpr):
            return self.of(node.value, known)
        if isinstance(node, ast.Compare):
            left = [self.of(side, known) for side in (node.left, *node.comparators)]
            return _NUMBER if all(d == _NUMBER for d in left) else "torch.bool"
        if isinstance(node, ast.Subscript):
            return self.of(node.value, known)
        if isinstance(node, ast.Attribute):
            if node.attr in ("T", "mT", "data"):
                return self.of(node.value, known)
            return _NUMBER if node.attr in ("shape", "ndim", "inf", "pi") else None
        return self._call(node, known) if isinstance(node, ast.Call) else None

    def _call(self, node: ast.Call, known: dict[str, Dtype]) -> Dtype:
        name = _called(node)
        receiver = node.func.value if isinstance(node.func, ast.Attribute) else None
        of_receiver = self.of(receiver, known) if receiver is not None and not _is_library(receiver) else None
        is_method = of_receiver not in (None, _NUMBER)
        asked = next((k.value for k in node.keywords if k.arg == "dtype"), None)
        if name == "to" and is_method and node.args and not _is_device(node.args[0]):
            asked = node.args[0]
        if asked is not None:
            return _written(asked, known)
        if is_method and name in CASTS and not node.args:
            return CASTS[name]
        if name in ("size", "numel", "item", "dim", "len", "cdiv", "next_power_of_2", "range"):
            return _NUMBER
        if name in _TESTS:
            return "torch.bool"
        if name in _INDICES:
            return "torch.int64"
        if ast.unparse(node.func) in self._same and node.args:
            return self.of(node.args[0], known)
        if name not in _KEEP:
            return None
        if is_method:
            return of_receiver
        if name in _OF_SECOND:
            return _promoted([self.of(a, known) for a in node.args[1:]])
        if not node.args:
            return None
        first = node.args[0]
        parts = first.elts if isinstance(first, (ast.List, ast.Tuple)) else [first]
        return _promoted([self.of(part, known) for part in parts])


def _promoted(several: list[Dtype]) -> Dtype:
    """Of tensors and numbers; a number changes nothing where the tensor holds floats."""
    found = {d for d in several if d != _NUMBER}
    if not found:
        return _NUMBER
    if None in found or "torch.bool" in found:
        return None
    if len(found) == 2 and all(d is not None and d.endswith(".dtype") for d in found):
        return f"torch.promote_types({', '.join(sorted(map(str, found)))})"
    return found.pop() if len(found) == 1 else None


def _called(node: ast.expr) -> str:
    function = node.func if isinstance(node, ast.Call) else None
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _is_library(node: ast.expr) -> bool:
    """Whether a dotted name begins with what modules of torch are mostly called."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name) and node.id in ("torch", "F", "nn", "functional")


def _is_device(node: ast.expr) -> bool:
    return (isinstance(node, ast.Constant) and isinstance(node.value, str)) or (
        isinstance(node, ast.Attribute) and node.attr == "device"
    )


def _written(node: ast.expr, known: dict[str, Dtype]) -> Dtype:
    """A dtype as it is written: `torch.float32`, or `x.dtype` of an argument that is not bound anew."""
    text = ast.unparse(node)
    if text.startswith("torch.") and text.count(".") == 1:
        return text
    if isinstance(node, ast.Attribute) and node.attr == "dtype" and isinstance(node.value, ast.Name):
        return known.get(node.value.id)
    return None
