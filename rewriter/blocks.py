"""Which statements around a place could become a function of their own, the fewest first."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from vllm_lint.analyzer.findings import Span
from vllm_lint.analyzer.index import FunctionInfo
from vllm_lint.analyzer.source import SourceFile
from vllm_lint.rewriter.dataflow import falls_through, jumps_out, returns_in

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
#: How many statements more than the one at the place are tried on each level.
_MORE_BEFORE, _MORE_BEHIND = 3, 5


@dataclass(frozen=True, eq=False)
class Suite:
    """A list of statements, and the statement that it belongs to; None for the body of the function."""

    body: list[ast.stmt]
    owner: ast.stmt | None


@dataclass(frozen=True, eq=False)
class Block:
    """Some statements of a suite that follow each other."""

    suite: Suite
    start: int
    stop: int

    @property
    def body(self) -> list[ast.stmt]:
        """The statements."""
        return self.suite.body[self.start : self.stop]

    @property
    def returns(self) -> bool:
        """Whether the function ends in it, on every path."""
        return bool(returns_in(self.body))


def function_at(source: SourceFile, span: Span) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """The innermost function whose body holds `span`."""
    found: ast.FunctionDef | ast.AsyncFunctionDef | None = None
    for node in ast.walk(source.tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and _covers(node.body[0], node.body[-1], span):
            found = node  # in this order inner functions come after those around them
    return found


def blocks_at(source: SourceFile, info: FunctionInfo, span: Span) -> Iterator[Block]:
    """Blocks around `span` that control enters at the top and leaves at the end, or by returning on every path."""
    assert not isinstance(info.node, ast.Lambda)
    for suite, index in reversed(list(_path(info.node.body, span))):
        statement = suite.body[index]
        if not _stands_alone(source, statement):
            continue
        first = max(0, index - _MORE_BEFORE)
        last = min(len(suite.body), index + 1 + _MORE_BEHIND)
        for start, stop in sorted(
            ((a, b) for a in range(first, index + 1) for b in range(index + 1, last + 1)),
            key=lambda each: (each[1] - each[0], -each[0]),
        ):
            block = Block(suite, start, stop)
            if _is_whole(source, block):
                yield block


def _is_whole(source: SourceFile, block: Block) -> bool:
    if jumps_out(block.body) or not all(_stands_alone(source, s) for s in block.body):
        return False
    return not (block.returns and falls_through(block.body))


def _path(body: list[ast.stmt], span: Span) -> Iterator[tuple[Suite, int]]:
    """From the body of a function down to the statement that `span` lies in; an `elif` is a part of its `if`."""
    suite: Suite | None = Suite(body, None)
    while suite is not None:
        index = next((i for i, s in enumerate(suite.body) if _covers(s, s, span)), None)
        if index is None:
            return
        yield suite, index
        suite = _inner(suite.body[index], span)


def _inner(statement: ast.stmt, span: Span) -> Suite | None:
    while isinstance(statement, ast.If) and _is_elif(statement) and _covers(statement.orelse[0], statement, span):
        statement = statement.orelse[0]
    parts = [statement, *getattr(statement, "handlers", ()), *getattr(statement, "cases", ())]
    for part in parts:
        for name in ("body", "orelse", "finalbody"):
            body = getattr(part, name, None)
            if isinstance(body, list) and body and _covers(body[0], body[-1], span):
                return None if isinstance(statement, _DEFINITIONS) else Suite(body, statement)
    return None


def _is_elif(statement: ast.If) -> bool:
    inner = statement.orelse[0] if len(statement.orelse) == 1 else None
    return isinstance(inner, ast.If) and inner.col_offset == statement.col_offset


def _covers(first: ast.stmt, last: ast.stmt, span: Span) -> bool:
    return first.lineno <= span.line and span.end_line <= (last.end_lineno or last.lineno)


def _stands_alone(source: SourceFile, statement: ast.stmt) -> bool:
    """Whether a statement has its lines for itself."""
    span = source.span(statement)
    before = source.lines[span.line - 1][: span.column - 1]
    behind = source.lines[span.end_line - 1][span.end_column - 1 :].strip()
    return not before.strip() and (not behind or behind.startswith("#"))
