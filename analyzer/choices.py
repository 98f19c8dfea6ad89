"""Turns a Python decision on the value of a tensor into a choice between two tensors, where the form allows it."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, replace

from vllm_lint.analyzer.context import Context, Frame
from vllm_lint.analyzer.findings import Edit, Span
from vllm_lint.analyzer.index import walk_function
from vllm_lint.analyzer.repairs import WIDTH, calls_it_torch, laid_out
from vllm_lint.analyzer.source import Located, SourceFile
from vllm_lint.analyzer.values import Const, Float, Int, Static, Tensor, Value

#: Functions and methods whose result has shape and type of the tensor they are given, and which never raise.
_ELEMENTWISE = frozenset({"abs", "clamp", "clip", "nan_to_num", "neg", "relu"})
#: The same for tensors of floating point; of others the result has another type.
_FLOATING = frozenset({"exp", "log", "log1p", "reciprocal", "rsqrt", "sigmoid", "sqrt", "tanh"})
#: Methods that make one number of a tensor, when they are called without arguments.
_REDUCTIONS = frozenset({"amax", "amin", "max", "mean", "min", "sum"})
_COMPARISONS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)
#: What only somebody with a tensor of floating point asks.
_ASKS_FLOATING = re.compile(r"\b(isnan|isinf|isfinite|finfo|nan_to_num|mean)\b")


def chosen_by_where(context: Context, node: Located, frame: Frame) -> Edit | None:
    """Has `torch.where` choose, in place of the statement that the decision at `node` is part of.

    The sides must be computed from one tensor element by element, so that they have its shape and type and may be
    computed whatever the answer is.
    """
    if context.quiet or frame.info is None or not calls_it_torch(frame):
        return None
    for outer in walk_function(frame.info.node):
        if isinstance(outer, (ast.If, ast.IfExp)) and any(part is node for part in ast.walk(outer.test)):
            choice = _Choice(context, frame)
            return choice.of_statement(outer) if isinstance(outer, ast.If) else choice.of_expression(outer)
    return None


@dataclass
class _Choice:
    context: Context
    frame: Frame

    def of_expression(self, node: ast.IfExp) -> Edit | None:
        """`a if condition else b`, as the whole value of an assignment or a `return`."""
        assert self.frame.info is not None
        holders = (n for n in walk_function(self.frame.info.node) if isinstance(n, (ast.Assign, ast.Return)))
        source = self.frame.module.source
        span = source.span(node)
        before = source.lines[span.line - 1][: span.column - 1]
        behind = _behind(source, span).partition("#")[0].strip()
        mask = self._mask(node.test)
        is_whole = any(holder.value is node for holder in holders) and not before.endswith("(") and not behind
        if not is_whole or mask is None or not self._are_alike(node.body, node.orelse, node.test):
            return None
        arguments = [mask, self._text(node.body), self._text(node.orelse)]
        text = laid_out(before, "torch.where", arguments, _behind(source, span))
        return None if text is None or "#" in source.segment(node) else Edit(span, text)

    def of_statement(self, node: ast.If) -> Edit | None:
        """An `if` that binds a name anew, or that returns one thing or the other."""
        source = self.frame.module.source
        span = source.span(node)
        line = source.lines[span.line - 1]
        if not line[span.column - 1 :].startswith("if"):  # an elif
            return None
        static, test = self._split(node.test)
        mask = None if test is None else self._mask(test)
        if mask is None:
            return None
        last = node.body[-1]
        if isinstance(last, ast.Return):
            return self._of_return(node, mask) if not static and len(node.body) == 1 else None
        name = _bound(last)
        other = self._other(node, name)
        if name is None or other is None or not isinstance(last, ast.Assign):
            return None
        prepared = self._prepared(node, name)
        if prepared is None or not prepared._are_alike(last.value, other, node.test):
            return None
        indent = line[: span.column - 1]
        inner = f"{indent}    " if static else indent
        rows = [f"{indent}if {' and '.join(map(self._text, static))}:"] if static else []
        rows += [f"{inner}{self._text(s)}" for s in node.body[:-1]]
        arguments = [mask, self._text(last.value), self._text(other)]
        call = laid_out(f"{inner}{name} = ", "torch.where", arguments, _behind(source, span))
        comments = list(_comments(source.segment(node)))
        if call is None or (static and len(rows[0]) > WIDTH):
            return None
        rows = [*(f"{indent}{c}" for c in comments), *rows, f"{inner}{name} = {call}"]
        return Edit(span, "\n".join(rows).removeprefix(indent))

    def _of_return(self, node: ast.If, mask: str) -> Edit | None:
        """`if condition: return a` with `return b` in its other arm or behind it."""
        first, behind = node.body[0], self._behind(node)
        second = node.orelse[0] if len(node.orelse) == 1 else behind if not node.orelse else None
        if not isinstance(first, ast.Return) or not isinstance(second, ast.Return):
            return None
        a, b = first.value, second.value
        if a is None or b is None or not self._are_alike(a, b, node.test):
            return None
        source = self.frame.module.source
        start, end = source.span(node), source.span(second)
        indent = source.lines[start.line - 1][: start.column - 1]
        between = "\n".join(source.lines[start.line - 1 : end.end_line - 1])
        arguments = [mask, self._text(a), self._text(b)]
        call = laid_out(f"{indent}return ", "torch.where", arguments, _behind(source, end))
        if call is None:
            return None
        rows = [*(f"{indent}{c}" for c in _comments(between)), f"{indent}return {call}"]
        span = Span(start.path, start.line, start.column, end.end_line, end.end_column)
        return Edit(span, "\n".join(rows).removeprefix(indent))

    def _behind(self, node: ast.If) -> ast.stmt | None:
        """The statement that comes next."""
        assert self.frame.info is not None
        function = self.frame.info.node
        bodies = [getattr(n, "body", []) for n in (function, *walk_function(function))]
        body = next((b for b in bodies if isinstance(b, list) and node in b), [])
        following = body[body.index(node) + 1 :] if body else []
        return following[0] if following else None

    def _other(self, node: ast.If, name: str | None) -> ast.expr | None:
        """What the name is bound to where the condition is false."""
        if name is None or not isinstance(self.frame.variables.get(name), Tensor):
            return None
        if not node.orelse:
            return ast.copy_location(ast.Name(name, ast.Load()), node)
        last = node.orelse[0]
        return last.value if len(node.orelse) == 1 and _bound(last) == name and isinstance(last, ast.Assign) else None

    def _prepared(self, node: ast.If, name: str) -> _Choice | None:
        """With what stands in front of the assignment done; None where that may not be done in any case.

        It may only bind numbers that nobody else reads.
        """
        numbers: dict[str, Value] = {}
        for statement in node.body[:-1]:
            bound = _bound(statement)
            if bound is None or bound == name or not self._is_local_to(node, bound):
                return None
            if not isinstance(statement, ast.Assign) or not self._is_number(statement.value, None, {}):
                return None
            numbers[bound] = Static("number", "float")
        return _Choice(self.context, replace(self.frame, variables={**self.frame.variables, **numbers}))

    def _is_local_to(self, node: ast.If, name: str) -> bool:
        """Whether a name is used in `if` statements only that bind it themselves, as this one does."""
        assert self.frame.info is not None
        nodes = list(walk_function(self.frame.info.node))
        binding = [n for n in nodes if isinstance(n, ast.If) and name in map(_bound, n.body)]
        inside = {part for n in binding for statement in n.body for part in ast.walk(statement)}
        return node in binding and all(n in inside for n in nodes if isinstance(n, ast.Name) and n.id == name)

    # Conditions

    def _split(self, test: ast.expr) -> tuple[list[ast.expr], ast.expr | None]:
        """What stands in front of `and` and asks no tensor, and the rest."""
        if not isinstance(test, ast.BoolOp) or not isinstance(test.op, ast.And):
            return [], test
        static: list[ast.expr] = []
        for operand in test.values[:-1]:
            if self._mask(operand) is not None:
                break
            if not isinstance(operand, ast.Compare) or isinstance(self._value(operand), Tensor):
                return [], None
            static.append(operand)
        rest = test.values[len(static) :]
        return static, rest[0] if len(rest) == 1 else ast.copy_location(ast.BoolOp(ast.And(), rest), rest[0])

    def _mask(self, node: ast.expr) -> str | None:
        """A condition as a tensor of one boolean; None where it is something else."""
        if isinstance(node, ast.BoolOp):
            operands = [self._mask(operand) for operand in node.values]
            if None in operands:
                return None
            texts = [_in_brackets(o, t or "") for o, t in zip(node.values, operands, strict=True)]
            return (" & " if isinstance(node.op, ast.And) else " | ").join(texts)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            text = self._mask(node.operand)
            return None if text is None else f"~{_in_brackets(node.operand, text)}"
        if isinstance(node, ast.Compare) and (len(node.ops) > 1 or not isinstance(node.ops[0], _COMPARISONS)):
            return None
        value = self._value(node)
        is_mask = isinstance(value, Tensor) and value.shape == () and not value.open and value.dtype == "bool"
        return self._text(node) if is_mask and not value.memory else None  # type: ignore[union-attr]

    # Sides

    def _are_alike(self, a: ast.expr, b: ast.expr, test: ast.expr) -> bool:
        """Whether both are computed from one tensor, element by element."""
        named = {n.id: self._value(n) for side in (a, b) for n in ast.walk(side) if isinstance(n, ast.Name)}
        tensors = {name: value for name, value in named.items() if isinstance(value, Tensor)}
        if len(tensors) != 1:
            return False
        ((name, tensor),) = tensors.items()
        asks = any(_ASKS_FLOATING.search(ast.unparse(part)) for part in (a, b, test))
        kinds = {"floating": tensor.dtype == "float" or (not tensor.dtype and asks)}
        return self._is_alike(a, name, kinds) and self._is_alike(b, name, kinds)

    def _is_alike(self, node: ast.expr, name: str, kinds: dict[str, bool]) -> bool:
        """Whether an expression has shape and type of the tensor `name`."""
        if isinstance(node, ast.Name):
            return node.id == name
        if isinstance(node, ast.UnaryOp):
            return isinstance(node.op, ast.USub) and self._is_alike(node.operand, name, kinds)
        if isinstance(node, ast.BinOp):
            if not kinds["floating"] and not (
                isinstance(node.op, (ast.Add, ast.Sub, ast.Mult)) and _is_integer(node.left) ^ _is_integer(node.right)
            ):
                return False
            if not isinstance(node.op, (ast.Add, ast.Sub, ast.Mult, ast.Div)):
                return False
            sides = [(node.left, node.right), (node.right, node.left)]
            return any(
                self._is_alike(x, name, kinds) and (self._is_number(y, name, kinds) or self._is_alike(y, name, kinds))
                for x, y in sides
            )
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            return False
        method, owner = node.func.attr, node.func.value
        is_known = method in _ELEMENTWISE or (method in _FLOATING and kinds["floating"])
        is_function = isinstance(owner, ast.Name) and owner.id == "torch"
        subject = node.args[0] if is_function and node.args else owner
        rest = [*(node.args[1:] if is_function else node.args), *(k.value for k in node.keywords)]
        if method in ("clamp", "clip", "nan_to_num") and rest and not kinds["floating"]:
            return False
        return is_known and self._is_alike(subject, name, kinds) and all(self._is_number(v, name, kinds) for v in rest)

    def _is_number(self, node: ast.expr, name: str | None, kinds: dict[str, bool]) -> bool:
        """Whether an expression is a number, or a reduction of the tensor `name`, that can be had in any case."""
        if isinstance(node, ast.Constant):
            return isinstance(node.value, (int, float)) and not isinstance(node.value, bool)
        if isinstance(node, ast.UnaryOp):
            return isinstance(node.op, ast.USub) and self._is_number(node.operand, name, kinds)
        if isinstance(node, ast.BinOp):
            plain = isinstance(node.op, (ast.Add, ast.Sub, ast.Mult))
            return plain and self._is_number(node.left, name, kinds) and self._is_number(node.right, name, kinds)
        if isinstance(node, ast.Call) and name is not None and isinstance(node.func, ast.Attribute):
            is_reduced = node.func.attr in _REDUCTIONS and not node.args and not node.keywords
            return is_reduced and self._is_alike(node.func.value, name, kinds)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Call):
            return ast.unparse(node.value.func) == "torch.finfo" and node.attr in ("max", "min", "eps", "tiny")
        if not isinstance(node, (ast.Name, ast.Attribute)):
            return False
        value = self._value(node)
        return (
            isinstance(value, (Float, Int))
            or (isinstance(value, Const) and type(value.value) in (int, float))
            or (isinstance(value, Static) and value.type in ("int", "float"))
        )

    def _value(self, node: ast.expr) -> Value:
        with self.context.silently():
            return self.context.evaluate(node, self.frame)

    def _text(self, node: ast.AST) -> str:
        """The source on one line."""
        if isinstance(node, ast.BoolOp) or (isinstance(node, ast.Name) and not hasattr(node, "end_lineno")):
            return ast.unparse(node)
        assert isinstance(node, (ast.expr, ast.stmt))
        text = self.frame.module.source.segment(node) if not isinstance(node, ast.Name) else node.id
        return _one_line(text)


def _behind(source: SourceFile, span: Span) -> str:
    """What else the last line holds."""
    return source.lines[span.end_line - 1][span.end_column - 1 :].rstrip()


def _one_line(text: str) -> str:
    joined = " ".join(text.split())
    return re.sub(r",? \)", ")", joined.replace("( ", "(")) if "\n" in text else text


def _in_brackets(node: ast.expr, text: str) -> str:
    return f"({text})" if isinstance(node, (ast.Compare, ast.BoolOp)) else text


def _is_integer(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int


def _bound(statement: ast.stmt) -> str | None:
    """The name that a plain assignment binds."""
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return None
    target = statement.targets[0]
    return target.id if isinstance(target, ast.Name) else None


def _comments(text: str) -> Iterator[str]:
    """The comments in a piece of source, wherever they stand."""
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT:
                yield token.string
    except (tokenize.TokenError, IndentationError):  # a piece may begin deeper than it ends
        return
