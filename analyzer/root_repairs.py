"""Edits of the decorator of a compiled class."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from vllm_lint.analyzer.events import Argument, RootDeclared
from vllm_lint.analyzer.findings import Edit
from vllm_lint.analyzer.index import ModuleInfo
from vllm_lint.analyzer.repairs import WIDTH

_SHAPE_ID = "tokens"


def with_shape_id(module: ModuleInfo, declared: RootDeclared, inputs: Sequence[str]) -> tuple[Edit, ...]:
    """Gives the dynamic dimensions of `inputs` one shape id.

    What a bare decorator has vLLM infer is written out as it is. None where the decorator stands at another class or
    holds dims in a form that is no dict of names and numbers, and where an input has several dynamic dims.
    """
    source = module.source
    decorators = [d for n in ast.walk(source.tree) if isinstance(n, ast.ClassDef) for d in n.decorator_list]
    decorator = next((d for d in decorators if source.span(d) == declared.span), None)
    arguments = {a.name: a for a in declared.arguments if a.dynamic}
    asked = set(inputs)
    wanted = [a for a in arguments.values() if asked & {a.name, *(f"#{i}" for i in a.dynamic.values())}]
    ids = {i for a in wanted for i in a.dynamic.values() if i} or {_SHAPE_ID}
    if decorator is None or declared.inherited or declared.undecided or declared.unbacked or declared.encoder:
        return ()
    if len(wanted) < len(inputs) or len(ids) > 1 or any(len(a.dynamic) != 1 for a in arguments.values()):
        return ()
    (shape_id,) = ids
    if isinstance(decorator, ast.Call) and (decorator.args or decorator.keywords):
        return _in_dict(module, decorator, {a.name for a in wanted}, shape_id)
    name = decorator.func if isinstance(decorator, ast.Call) else decorator
    if declared.declared or not isinstance(name, (ast.Name, ast.Attribute)):
        return ()
    items = [f'"{a.name}": {_dims(a, shape_id if a in wanted else "")}' for a in arguments.values()]
    text = _laid_out(module, decorator, source.segment(name), items)
    return () if text is None else (Edit(declared.span, text),)


def _laid_out(module: ModuleInfo, decorator: ast.expr, function: str, items: list[str]) -> str | None:
    """The decorator with these dims, on one line or with each on its own."""
    column = module.source.span(decorator).column
    line = f"{function}(dynamic_arg_dims={{{', '.join(items)}}})"
    if len(line) + column - 1 <= WIDTH:
        return line
    indent = " " * (column - 2)  # of the @
    rows = [f"{indent}        {item}," for item in items]
    start = f"{function}(\n{indent}    dynamic_arg_dims={{"
    fits = all(len(row) <= WIDTH and "\n" not in row for row in rows)
    return "\n".join([start, *rows, f"{indent}    }}", f"{indent})"]) if fits else None


def _dims(argument: Argument, shape_id: str) -> str:
    ((dim, known),) = argument.dynamic.items()
    return f'{{{dim}: "{known or shape_id}"}}' if known or shape_id else str(dim)


def _in_dict(module: ModuleInfo, decorator: ast.Call, names: set[str], shape_id: str) -> tuple[Edit, ...]:
    """The numbers of a written dict as numbers with the id."""
    given = next((k.value for k in decorator.keywords if k.arg == "dynamic_arg_dims"), None)
    if not isinstance(given, ast.Dict):
        return ()
    edits = []
    for key, value in zip(given.keys, given.values, strict=True):
        if not isinstance(key, ast.Constant) or key.value not in names:
            continue
        if isinstance(value, ast.Dict):
            names = names - {key.value}  # it has the id already
            continue
        number = value.operand if isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.USub) else value
        if not isinstance(number, ast.Constant) or type(number.value) is not int:
            return ()
        names = names - {key.value}
        text = module.source.segment(value)
        edits.append(Edit(module.source.span(value), f'{{{text}: "{shape_id}"}}'))
    if names:
        return ()
    source, place = module.source, module.source.span(decorator)
    line = source.lines[place.line - 1]
    grows = sum(len(e.replacement) - (e.span.end_column - e.span.column) for e in edits)
    if place.line != place.end_line or len(line) + grows <= WIDTH:
        return tuple(edits)
    new = {e.span: e.replacement for e in edits}
    pairs = ((source.segment(k), v) for k, v in zip(given.keys, given.values, strict=True) if k is not None)
    items = [f"{key}: {new.get(source.span(value)) or source.segment(value)}" for key, value in pairs]
    laid_out = _laid_out(module, decorator, source.segment(decorator.func), items)
    is_all = len(decorator.keywords) == 1 and len(items) == len(given.keys)
    return () if laid_out is None or not is_all else (Edit(place, laid_out),)
