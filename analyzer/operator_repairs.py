"""Edits that make a custom operator declare what it does."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from vllm_lint.analyzer.findings import Edit, Span
from vllm_lint.analyzer.index import FunctionInfo, ModuleInfo
from vllm_lint.analyzer.registering import DIRECT
from vllm_lint.analyzer.repairs import WIDTH, after, arguments_of, written_call
from vllm_lint.analyzer.values import Function

_DECORATOR = "torch.library.custom_op"
#: What makes a tensor out of nothing else than its arguments.
_FACTORIES = frozenset({"empty", "empty_like", "zeros", "zeros_like", "ones", "ones_like", "full", "full_like"})
_METHODS = frozenset({"new_empty", "new_zeros", "new_ones", "new_full", "clone"})


def declaration_of_writes(module: ModuleInfo, span: Span, form: str, names: Iterable[str]) -> Edit | None:
    """Has the registration at `span` say that the operator writes to the arguments `names`.

    None where it has no `mutates_args` that is a list or tuple of names, nor room for one.
    """
    call = _call_at(module, span)
    if call is None or form not in (DIRECT, _DECORATOR):
        return None
    texts = [f'"{name}"' for name in names]
    given = next((k.value for k in call.keywords if k.arg == "mutates_args"), None)
    if given is None and form == DIRECT and len(call.args) > 2:
        given = call.args[2]
    if given is None:
        return _with_keyword(module, call, f"mutates_args=[{', '.join(texts)}]") if form == DIRECT else None
    source = module.source
    if isinstance(given, ast.Tuple):
        text = f"({', '.join(texts)}{',' if len(texts) == 1 else ''})"
    elif isinstance(given, ast.List) or (isinstance(given, ast.Constant) and given.value is None):
        text = f"[{', '.join(texts)}]"
    else:
        return None
    place = source.span(given)
    line = source.lines[place.line - 1]
    if place.line != place.end_line or len(line) - (place.end_column - place.column) + len(text) > WIDTH:
        return None
    return Edit(place, text)


def copy_of_result(module: ModuleInfo, node: ast.expr) -> Edit | None:
    """Has a `return` of a name give a copy."""
    span = module.source.span(node)
    line = module.source.lines[span.end_line - 1]
    if not isinstance(node, ast.Name) or len(line) + len(".clone()") > WIDTH:
        return None
    return Edit(after(span), ".clone()")


def fake_implementation(module: ModuleInfo, span: Span, form: str, real: list[Function]) -> tuple[Edit, ...]:
    """Writes a fake implementation that makes the result as the real one makes it; none where that is not plain."""
    call = _call_at(module, span)
    if call is None or len(real) != 1 or form not in (DIRECT, _DECORATOR) or real[0].info.module is not module:
        return ()
    info = real[0].info
    made = _made(info)
    head = _head(module, info)
    if made is None or head is None or not isinstance(info.node, ast.FunctionDef):
        return ()
    end = after(module.source.span(info.node))
    body = f"    return {module.source.segment(made)}"
    if form == _DECORATOR:
        lines = [f"@{info.name}.register_fake", head.replace(f"def {info.name}(", "def _(", 1), body]
        registration = None
    else:
        name = f"{info.name}_fake"
        if name in module.bindings:
            return ()
        lines = [head.replace(f"def {info.name}(", f"def {name}(", 1), body]
        registration = _with_keyword(module, call, f"fake_impl={name}")
        if registration is None:
            return ()
    if any(len(line) > WIDTH or "\n" in line for line in lines):
        return ()
    definition = Edit(end, "\n\n\n" + "\n".join(lines))
    return (definition,) if registration is None else (definition, registration)


def _call_at(module: ModuleInfo, span: Span) -> ast.Call | None:
    source = module.source
    if span.path != source.name:
        return None
    calls = (n for n in ast.walk(source.tree) if isinstance(n, ast.Call) and n.lineno == span.line)
    call = next((n for n in calls if source.span(n) == span), None)
    return None if call is None or arguments_of(source, call) is None else call


def _with_keyword(module: ModuleInfo, call: ast.Call, text: str) -> Edit | None:
    """The call with one more argument."""
    source = module.source
    arguments = arguments_of(source, call)
    new = None if arguments is None else written_call(source, call, source.segment(call.func), [*arguments, text])
    return None if new is None else Edit(source.span(call), new)


def _head(module: ModuleInfo, info: FunctionInfo) -> str | None:
    """The line of a definition that has one line for its head and is at the top of the file."""
    node = info.node
    if not isinstance(node, ast.FunctionDef) or node.col_offset or node.body[0].lineno == node.lineno:
        return None
    line = module.source.lines[node.lineno - 1]
    return line if line.startswith(f"def {info.name}(") and line.endswith(":") else None


def _made(info: FunctionInfo) -> ast.expr | None:
    """The expression by which a function makes what it returns, where that is one and takes only parameters."""
    node = info.node
    if not isinstance(node, ast.FunctionDef):
        return None
    statements = [n for n in ast.walk(node) if isinstance(n, ast.stmt)]
    if any(isinstance(s, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) for s in statements[1:]):
        return None
    returns = [s for s in statements if isinstance(s, ast.Return)]
    if len(returns) != 1 or returns[0].value is None:
        return None
    value: ast.expr | None = returns[0].value
    if isinstance(value, ast.Name):
        value = _only_value(node, value.id)
    parameters = {a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)}
    rebound = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    if value is None or not _is_factory(value):
        return None
    names = {n.id for n in ast.walk(value) if isinstance(n, ast.Name)}
    calls = [n for n in ast.walk(value) if isinstance(n, ast.Call) and n is not value]
    asked = all(isinstance(c.func, ast.Attribute) and c.func.attr in ("size", "dim", "numel") for c in calls)
    return value if asked and names <= (parameters - rebound) | {"torch"} else None


def _only_value(function: ast.FunctionDef, name: str) -> ast.expr | None:
    """What a local name is bound to by the one plain assignment at the top of the function that binds it.

    None where a method may give it other memory or another shape.
    """
    stores = [
        n for n in ast.walk(function) if isinstance(n, ast.Name) and n.id == name and not isinstance(n.ctx, ast.Load)
    ]
    bound = [
        s.value for s in function.body if isinstance(s, ast.Assign) and len(s.targets) == 1 and s.targets[0] in stores
    ]
    changed = any(
        isinstance(n, ast.Attribute)
        and isinstance(n.value, ast.Name)
        and n.value.id == name
        and n.attr
        in ("resize_", "resize_as_", "set_", "data", "t_", "transpose_", "squeeze_", "unsqueeze_", "swapaxes_")
        for n in ast.walk(function)
    )
    return bound[0] if len(stores) == len(bound) == 1 and not changed else None


def _is_factory(node: ast.expr) -> bool:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    owner, name = node.func.value, node.func.attr
    if isinstance(owner, ast.Name) and owner.id == "torch":
        return name in _FACTORIES
    return isinstance(owner, ast.Name) and name in _METHODS
