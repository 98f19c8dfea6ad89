"""Lays code out as ruff and black do at 88 columns, in forms that stay as they are where lines may be longer."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from vllm_lint.analyzer.source import SourceFile

WIDTH = 88


def listed(head: str, items: Sequence[str], tail: str, indent: str = "") -> str:
    """`head`, the items and `tail` on one line, or with one item on each line and a comma behind the last."""
    line = f"{indent}{head}{', '.join(items)}{tail}"
    if len(line) <= WIDTH or not items:
        return line
    return "\n".join([f"{indent}{head}", *(f"{indent}    {item}," for item in items), f"{indent}{tail}"])


def moved(source: SourceFile, body: Sequence[ast.stmt], indent: str, edits: Sequence[tuple[ast.expr, str]]) -> str:
    """The lines of `body` with `indent` in place of theirs, and expressions in it replaced.

    The inside of strings over several lines stays as it is.
    """
    first, last = source.span(body[0]), source.span(body[-1])
    lines = source.lines[first.line - 1 : last.end_line]
    for node, text in sorted(edits, key=lambda e: (e[0].lineno, e[0].col_offset), reverse=True):
        span = source.span(node)
        row = span.line - first.line
        if span.end_line == span.line:
            lines[row] = lines[row][: span.column - 1] + text + lines[row][span.end_column - 1 :]
    before = source.lines[first.line - 1][: first.column - 1]
    inside = {n for s in body for n in _lines_in_strings(s)}
    found: list[str] = []
    for number, line in enumerate(lines, first.line):
        if number in inside:
            found.append(line)
        elif not line.strip():
            found.append("")
        else:
            found.append(indent + line.removeprefix(before))
    return "\n".join(found)


def _lines_in_strings(statement: ast.stmt) -> set[int]:
    found: set[int] = set()
    for node in ast.walk(statement):
        is_text = isinstance(node, ast.JoinedStr) or (
            isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes))
        )
        if is_text and isinstance(node, ast.expr):
            found.update(range(node.lineno + 1, (node.end_lineno or node.lineno) + 1))
    return found
