"""Edits that rules offer as fixes, made where the syntax is at hand."""

from __future__ import annotations

import ast

from vllm_lint.analyzer.context import Frame
from vllm_lint.analyzer.findings import Edit
from vllm_lint.analyzer.index import Import, walk_function
from vllm_lint.analyzer.source import Located

_TEST = "if not torch.compiler.is_compiling():"


def only_without_compilation(node: Located, frame: Frame) -> Edit | None:
    """Puts the statement that `node` is under `if not torch.compiler.is_compiling()`.

    None where `node` is only a part of a statement, shares a line with another one, or holds a text of several lines,
    which indenting would change; and where `torch` is not what the module calls torch.
    """
    if frame.info is None or not _calls_it_torch(frame):
        return None
    statement = next((s for s in walk_function(frame.info.node) if isinstance(s, ast.Expr) and s.value is node), None)
    if statement is None or any(_is_long_text(part) for part in ast.walk(statement)):
        return None
    source = frame.module.source
    span = source.span(statement)
    first, last = source.lines[span.line - 1], source.lines[span.end_line - 1]
    indent, rest = first[: span.column - 1], last[span.end_column - 1 :].strip()
    if indent.strip() or (rest and not rest.startswith("#")):
        return None
    deeper = "\t" if "\t" in indent else "    "
    text = source.segment(statement).replace("\n", f"\n{deeper}")
    return Edit(span, f"{_TEST}\n{indent}{deeper}{text}")


def _calls_it_torch(frame: Frame) -> bool:
    assert frame.info is not None
    is_imported = Import("torch", None) in frame.module.bindings.get("torch", ())
    return is_imported and "torch" not in frame.info.bound_names and "torch" not in frame.variables


def _is_long_text(part: ast.AST) -> bool:
    is_text = isinstance(part, ast.JoinedStr) or (
        isinstance(part, ast.Constant) and isinstance(part.value, (str, bytes))
    )
    return is_text and isinstance(part, ast.expr) and part.lineno != part.end_lineno
