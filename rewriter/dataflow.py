"""What statements take from the names around them, and which of those that they bind are used later."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from vllm_lint.analyzer.index import FunctionNode, walk_function

Names = frozenset[str]
NO_NAMES: Names = frozenset()

#: With `except*`, of Python 3.11, which has the same fields.
_TRIES: tuple[type[ast.Try], ...] = (ast.Try, *([ast.TryStar] if hasattr(ast, "TryStar") else []))  # type: ignore[list-item, unused-ignore, attr-defined]
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(frozen=True)
class _Exits:
    """The names that are used where control goes that leaves a loop, or a block whose exceptions are handled."""

    leave: Names = NO_NAMES
    repeat: Names = NO_NAMES
    handler: Names = NO_NAMES


class Liveness:
    """Which names are used later, behind each statement of a function."""

    def __init__(self, node: FunctionNode) -> None:
        self._after: dict[int, Names] = {}
        if not isinstance(node, ast.Lambda):
            self._block(node.body, NO_NAMES, _Exits())

    def after(self, statement: ast.stmt) -> Names:
        """Names that may be read behind `statement` before they are bound again."""
        return self._after.get(id(statement), NO_NAMES)

    @staticmethod
    def before(body: Sequence[ast.stmt], wanted: Names) -> Names:
        """Names that `body` may read before it binds them, and those of `wanted` that it may leave as they are."""
        return Liveness(ast.Lambda())._block(body, wanted, _Exits())  # type: ignore[call-arg]

    def _block(self, body: Sequence[ast.stmt], after: Names, exits: _Exits) -> Names:
        for statement in reversed(body):
            self._after[id(statement)] = self._after.get(id(statement), NO_NAMES) | after
            after = self._statement(statement, after, exits) | exits.handler
        return after

    def _statement(self, node: ast.stmt, after: Names, exits: _Exits) -> Names:
        if isinstance(node, (ast.Return, ast.Raise)):
            return used_in(node)
        if isinstance(node, ast.Break):
            return exits.leave
        if isinstance(node, ast.Continue):
            return exits.repeat
        if isinstance(node, ast.If):
            arms = self._block(node.body, after, exits) | self._block(node.orelse, after, exits)
            return used_in(node.test) | arms
        if isinstance(node, (ast.For, ast.AsyncFor, ast.While)):
            return self._loop(node, after, exits)
        if isinstance(node, (ast.With, ast.AsyncWith)):
            inner = self._block(node.body, after, exits)
            targets = [item.optional_vars for item in node.items if item.optional_vars is not None]
            return (inner - _bound_by(targets)) | _union(used_in(item) for item in node.items)
        if isinstance(node, ast.Match):
            arms = _union(self._block(case.body, after, exits) | used_in(case.pattern) for case in node.cases)
            guards = _union(used_in(case.guard) for case in node.cases if case.guard is not None)
            return used_in(node.subject) | guards | arms | after
        if isinstance(node, _TRIES):
            return self._try(node, after, exits)
        return (after - bound_in([node], surely=True)) | used_in(node)

    def _loop(self, node: ast.For | ast.AsyncFor | ast.While, after: Names, exits: _Exits) -> Names:
        rest = self._block(node.orelse, after, exits)
        head = rest
        target = NO_NAMES if isinstance(node, ast.While) else _bound_by([node.target])
        test = used_in(node.test if isinstance(node, ast.While) else node.target)
        while True:
            inner = replace(exits, leave=after, repeat=head)
            found = rest | test | (self._block(node.body, head, inner) - target)
            if found <= head:
                return head | (NO_NAMES if isinstance(node, ast.While) else used_in(node.iter))
            head |= found

    def _try(self, node: ast.Try, after: Names, exits: _Exits) -> Names:
        final = self._block(node.finalbody, after, exits)
        handled = _union(
            self._block(h.body, final, exits) | (used_in(h.type) if h.type is not None else NO_NAMES)
            for h in node.handlers
        )
        inside = replace(exits, handler=exits.handler | handled | final)
        return self._block(node.body, self._block(node.orelse, final, exits), inside)


def _union(several: Iterable[Names]) -> Names:
    return NO_NAMES.union(*several)


def used_in(node: ast.AST) -> Names:
    """Names that a node reads, also in functions that it defines, unless these bind them."""
    if isinstance(node, ast.Name):
        return NO_NAMES if isinstance(node.ctx, ast.Store) else frozenset({node.id})
    if isinstance(node, ast.AugAssign):
        written = frozenset({node.target.id}) if isinstance(node.target, ast.Name) else used_in(node.target)
        return written | used_in(node.value)
    inner = _union(used_in(child) for child in ast.iter_child_nodes(node))
    if isinstance(node, _COMPREHENSIONS):
        return inner - _bound_by([g.target for g in node.generators])
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        return inner - locals_of(node)
    return inner


def bound_in(body: Iterable[ast.stmt], *, surely: bool = False) -> Names:
    """Names that statements bind in their own scope; with `surely`, those of simple statements only."""
    found: set[str] = set()
    for node in _own_nodes(body):
        if isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
            found.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
            found.add(node.name)
        elif isinstance(node, ast.MatchMapping) and node.rest:
            found.add(node.rest)
    if surely:  # `:=` may stand in a part that is not evaluated
        found -= {n.target.id for n in _own_nodes(body) if isinstance(n, ast.NamedExpr)}
    return frozenset(found)


def _bound_by(targets: Iterable[ast.expr]) -> Names:
    return frozenset(
        n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    )


def locals_of(node: FunctionNode) -> Names:
    """Names that a function takes or binds."""
    arguments = node.args
    taken = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    taken += [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
    names = frozenset(a.arg for a in taken)
    if isinstance(node, ast.Lambda):
        return names
    outer = frozenset(n for s in walk_function(node) if isinstance(s, (ast.Global, ast.Nonlocal)) for n in s.names)
    return (names | bound_in(node.body)) - outer


def _own_nodes(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """All nodes but those of functions, classes and comprehensions inside; of these only the head."""
    stack = list(body)
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, (*_SCOPES, *_COMPREHENSIONS)):
            stack.extend(ast.iter_child_nodes(node))
        elif isinstance(node, _COMPREHENSIONS):
            stack.extend(n for n in ast.walk(node) if isinstance(n, ast.NamedExpr))


def falls_through(body: Sequence[ast.stmt]) -> bool:
    """Whether control may get behind `body`; a loop or handler of which that is not plain may let it."""
    return all(_falls(statement) for statement in body)


def _falls(node: ast.stmt) -> bool:
    if isinstance(node, (ast.Return, ast.Raise, ast.Break, ast.Continue)):
        return False
    if isinstance(node, ast.If):
        return falls_through(node.body) or falls_through(node.orelse)
    if isinstance(node, (ast.With, ast.AsyncWith)):
        return falls_through(node.body)
    if isinstance(node, ast.Try):
        plain = falls_through([*node.body, *node.orelse])
        return falls_through(node.finalbody) and (plain or any(falls_through(h.body) for h in node.handlers))
    if isinstance(node, ast.Match):
        last = node.cases[-1]
        is_total = isinstance(last.pattern, ast.MatchAs) and last.pattern.pattern is None and last.guard is None
        return not is_total or any(falls_through(case.body) for case in node.cases)
    return True


#: What finds out by whom it is called.
_STACK = frozenset({"currentframe", "_getframe", "extract_stack", "format_stack", "print_stack"})


def escapes(body: Sequence[ast.stmt]) -> str:
    """What in `body` cannot be moved to another function, in the words of a reason; empty if there is nothing."""
    for node in _own_nodes(body):
        if isinstance(node, (ast.Yield, ast.YieldFrom, ast.Await, ast.AsyncFor, ast.AsyncWith)):
            return "the function is a generator or a coroutine"
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            return f"it binds `{node.names[0]}` outside of the function"
        if isinstance(node, ast.Name) and node.id in ("super", "locals", "__class__"):
            return f"it calls `{node.id}`, which means something else in another function"
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            return f"it writes to `{ast.unparse(node)}`, which compiled code would not see"
        if isinstance(node, ast.Attribute) and node.attr in _STACK:
            return f"it looks at the stack with `{node.attr}`"
    return ""


def jumps_out(body: Iterable[ast.AST]) -> bool:
    """Whether a `break` or `continue` leads out of `body`."""
    for node in body:
        if isinstance(node, (ast.Break, ast.Continue)):
            return True
        if isinstance(node, _SCOPES):
            continue
        if isinstance(node, (ast.For, ast.AsyncFor, ast.While)):
            if jumps_out(node.orelse):
                return True
        elif jumps_out(ast.iter_child_nodes(node)):
            return True
    return False


def returns_in(body: Iterable[ast.stmt]) -> list[ast.Return]:
    """The `return` statements of a block, in source order."""
    found = [n for n in _own_nodes(body) if isinstance(n, ast.Return)]
    return sorted(found, key=lambda n: (n.lineno, n.col_offset))
