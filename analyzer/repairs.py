"""Edits that rules offer as fixes, made where the syntax is at hand."""

from __future__ import annotations

import ast
import io
import tokenize

from vllm_lint.analyzer.context import Frame
from vllm_lint.analyzer.findings import Edit, Span
from vllm_lint.analyzer.index import Import, walk_function
from vllm_lint.analyzer.source import Located, SourceFile

#: The longest line that formatters leave alone by default.
WIDTH = 88
_WIDTHS = (79, WIDTH, 100, 120)
_TEST = "if not torch.compiler.is_compiling():"


def only_without_compilation(node: Located, frame: Frame) -> Edit | None:
    """Puts the statement that `node` is under `if not torch.compiler.is_compiling()`.

    None where `node` is only a part of a statement, shares a line with another one, or holds a text of several lines,
    which indenting would change; and where `torch` is not what the module calls torch.
    """
    if frame.info is None or not calls_it_torch(frame):
        return None
    statement = next((s for s in walk_function(frame.info.node) if isinstance(s, ast.Expr) and s.value is node), None)
    source = frame.module.source
    if statement is None or _has_long_text(source.segment(statement)):
        return None
    span = source.span(statement)
    first, last = source.lines[span.line - 1], source.lines[span.end_line - 1]
    indent, rest = first[: span.column - 1], last[span.end_column - 1 :].strip()
    if indent.strip() or (rest and not rest.startswith("#")):
        return None
    deeper = "\t" if "\t" in indent else "    "
    text = source.segment(statement)
    crosses = any(len(last.rstrip()) <= width < len(f"{deeper}{last.rstrip()}") for width in _WIDTHS)
    if span.line == span.end_line and crosses and isinstance(node, ast.Call):
        arguments = arguments_of(source, node)
        if arguments is None:
            return None
        text = _on_rows(source.segment(node.func), arguments, indent)
    text = text.replace("\n", f"\n{deeper}")
    return Edit(span, f"{_TEST}\n{indent}{deeper}{text}")


def calls_it_torch(frame: Frame) -> bool:
    """Whether `torch` is torch in a function."""
    assert frame.info is not None
    is_imported = Import("torch", None) in frame.module.bindings.get("torch", ())
    return is_imported and "torch" not in frame.info.bound_names and "torch" not in frame.variables


def _has_long_text(statement: str) -> bool:
    """Whether a text in a statement goes on over a line end, so that indenting would change it."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(statement).readline))
    except tokenize.TokenError:
        return True
    # From Python 3.12 on the parts of an f-string are tokens of their own.
    return any("STRING" in tokenize.tok_name[t.type] and "\n" in t.string for t in tokens)


def after(span: Span) -> Span:
    """The empty place behind `span`."""
    return Span(span.path, span.end_line, span.end_column, span.end_line, span.end_column)


def written_call(source: SourceFile, node: Located, function: str, arguments: list[str]) -> str | None:
    """A call in place of `node`; None where there are comments inside of it or something counts that stands behind."""
    span = source.span(node)
    if "#" in source.segment(node):
        return None
    behind = source.lines[span.end_line - 1][span.end_column - 1 :].rstrip()
    return laid_out(source.lines[span.line - 1][: span.column - 1], function, arguments, behind)


def laid_out(before: str, function: str, arguments: list[str], behind: str = "") -> str | None:
    """A call on one line, or with an argument on each where it would be too long.

    `before` and `behind` are what else its line holds. None where no formatter would leave it so: an argument is too
    long or has lines of its own.
    """
    if any("\n" in text for text in arguments):
        return None
    line = f"{function}({', '.join(arguments)})"
    if len(before + line + behind) <= WIDTH:
        return line
    indent = before[: len(before) - len(before.lstrip())]
    if behind.strip().partition("#")[0] or any(len(f"{indent}    {text},") > WIDTH for text in arguments):
        return None
    return _on_rows(function, arguments, indent)


def arguments_of(source: SourceFile, call: ast.Call) -> list[str] | None:
    """The arguments of a call as they are written; None where they are unpacked."""
    if any(k.arg is None for k in call.keywords) or any(isinstance(a, ast.Starred) for a in call.args):
        return None
    return [*map(source.segment, call.args), *(f"{k.arg}={source.segment(k.value)}" for k in call.keywords)]


def _on_rows(function: str, arguments: list[str], indent: str) -> str:
    """A call with an argument on each line, which a formatter leaves so for the comma behind the last."""
    rows = [f"{indent}    {text}," for text in arguments]
    return "\n".join([f"{function}(", *rows, f"{indent})"])
