"""What the source of a function says about a place that it assigns to, such as `self.x`.

Looked at only where compiled code changes something that outlives the call, which is seldom.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import TypeGuard

from vllm_lint.analyzer.index import FunctionNode, nodes_of, walk_function

#: What is asked of a tensor without looking at its data.
_METADATA = {"shape", "size", "dtype", "device", "ndim", "dim", "numel"}
_METADATA |= {"new_zeros", "new_ones", "new_empty", "new_full"}
_LIKE = ("empty_like", "zeros_like", "ones_like", "full_like")
#: Functions whose result is about their argument.
_TAKING = ("isinstance", "len", "getattr", "hasattr", "bool", "int", "any", "all", "cast")
_SIZES = ("shape", "size", "numel", "nelement")


def statement_of(function: FunctionNode | None, node: ast.AST) -> ast.stmt | None:
    """The simple statement of `function` that holds `node`."""
    if function is None or isinstance(function, ast.Lambda):
        return None
    for statement in walk_function(function):
        if isinstance(statement, (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Expr, ast.Return)) and any(
            n is node for n in ast.walk(statement)
        ):
            return statement
    return None


def loads(statement: ast.AST) -> Iterator[ast.expr]:
    """The names and attributes that are read in `statement`."""
    for node in nodes_of(statement) if isinstance(statement, ast.Module) else ast.walk(statement):
        if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load):
            yield node


def attributes_read(function: FunctionNode) -> set[str]:
    """Names of the attributes that a function reads, of whatever."""
    return {node.attr for node in loads(function) if isinstance(node, ast.Attribute)}


def is_same(node: ast.expr, other: ast.expr) -> bool:
    """Whether two expressions name one place."""
    if isinstance(node, ast.Attribute) and isinstance(other, ast.Attribute):
        return node.attr == other.attr and ast.unparse(node) == ast.unparse(other)
    return isinstance(node, ast.Name) and isinstance(other, ast.Name) and node.id == other.id


def tests_of(function: FunctionNode, node: ast.AST, place: ast.expr) -> Iterator[ast.If | ast.IfExp]:
    """Where `function` asks whether there is something at `place` yet, and assigns at `node` if there is not."""
    for test in walk_function(function):
        if isinstance(test, ast.If):
            leads_there = isinstance(test.body[-1], ast.Return) or any(part is node for part in _branches(test))
        elif isinstance(test, ast.IfExp):
            leads_there = statement_of(function, test) is statement_of(function, node)
        else:
            continue
        if leads_there and (_names(test.test, place) or any(_asks_for(part, place) for part in ast.walk(test.test))):
            yield test


def restores(function: FunctionNode, place: ast.expr) -> bool:
    """Whether `function` assigns to `place` behind a `finally`, which gives back what was there."""
    return any(
        isinstance(part, (ast.Name, ast.Attribute))
        and isinstance(part.ctx, ast.Store)
        and ast.unparse(part) == ast.unparse(place)
        for node in walk_function(function)
        if isinstance(node, ast.Try)
        for statement in node.finalbody
        for part in ast.walk(statement)
    )


def questions_about(read: object, tree: ast.Module) -> Iterator[tuple[ast.If, FunctionNode]]:
    """Where a function of `tree` asks by `read` whether something was set up, which a function that it calls does."""
    for function in nodes_of(tree):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for node in walk_function(function):
                if isinstance(node, ast.If) and (node.test.operand if _is_not(node.test) else node.test) is read:
                    yield node, function


def _is_not(node: ast.expr) -> TypeGuard[ast.UnaryOp]:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)


def taken_from(node: ast.expr) -> Iterator[ast.expr]:
    """The parts of an expression that its value is taken from, arguments of most calls left out."""
    yield node
    parts: Iterable[ast.AST] = ast.iter_child_nodes(node)
    if isinstance(node, ast.Call) and ast.unparse(node.func) not in _TAKING:
        parts = (node.func,)
    for part in parts:
        if isinstance(part, ast.expr):
            yield from taken_from(part)


def steers(test: ast.If | ast.IfExp, node: ast.AST, function: FunctionNode) -> bool:
    """Whether a test decides about more than whether `node` is assigned to."""
    if isinstance(test, ast.IfExp):
        return False
    inside = list(_branches(test))
    if any(isinstance(part, ast.Return) and part.value is not None for part in inside):
        return not any(part is node for part in inside) and not _returns_what_is_there(test)
    within = {id(part) for part in inside}
    bound = {part.id for part in inside if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
    arguments = function.args
    known = {a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    known |= {
        part.id
        for part in walk_function(function)
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store) and id(part) not in within
    }
    return bool(bound & known)


def _branches(test: ast.If) -> Iterator[ast.AST]:
    return (part for statement in (*test.body, *test.orelse) for part in ast.walk(statement))


def _returns_what_is_there(test: ast.If) -> bool:
    """`if self.x is not None: return self.x`: what follows makes it otherwise."""
    last = test.body[-1]
    return isinstance(last, ast.Return) and any(is_same(last.value, part) for part in loads(test.test) if last.value)


def _asks_for(node: ast.AST, place: ast.expr) -> bool:
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        other = node.comparators[0]
        if isinstance(node.ops[0], (ast.In, ast.NotIn)):
            return is_same(other, place)
        is_none = isinstance(other, ast.Constant) and other.value is None
        return is_none and isinstance(node.ops[0], (ast.Is, ast.IsNot)) and _names(node.left, place)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return _names(node.operand, place)
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "hasattr" and _names(node, place)


def _names(node: ast.expr, place: ast.expr) -> bool:
    """Whether an expression is `place`, or asks for it by `getattr` or `hasattr`."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "hasattr") and len(node.args) > 1:
        name = node.args[1]
        return isinstance(place, ast.Attribute) and isinstance(name, ast.Constant) and name.value == place.attr
    return is_same(node, place)


def asks_for_size(function: FunctionNode, place: ast.expr) -> bool:
    """Whether `function` asks how large what is at `place` is."""
    return any(
        isinstance(part, ast.Attribute) and part.attr in _SIZES and is_same(part.value, place)
        for node in walk_function(function)
        if isinstance(node, (ast.If, ast.IfExp))
        for part in ast.walk(node.test)
    )


def binds(target: ast.expr, name: str) -> bool:
    """Whether assigning to `target` binds `name`."""
    return any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(target))


def data_names(node: ast.expr) -> Iterator[str]:
    """Names in an expression of which more is asked than metadata."""
    if isinstance(node, ast.Name):
        yield node.id
        return
    if isinstance(node, ast.Attribute) and node.attr in _METADATA and isinstance(node.value, ast.Name):
        return
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(_LIKE):
        return
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            yield from data_names(child)
        elif isinstance(child, ast.keyword):
            yield from data_names(child.value)


#: Methods that give a tensor of another type.
_CASTS = ("half", "float", "double", "bfloat16", "int", "long", "type")


def casts(node: ast.expr) -> bool:
    """Whether an expression is a tensor in another type: `x.half()`, `x.to(torch.float16)`."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    to = node.func.attr == "to" and [*node.args, *(k.value for k in node.keywords)]
    names = [a.attr for a in to or () if isinstance(a, ast.Attribute)]
    return node.func.attr in _CASTS or any(n.startswith(("float", "bfloat", "int", "uint", "half")) for n in names)
