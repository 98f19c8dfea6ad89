"""Edits that import what generated code uses, where sorted imports have it."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from vllm_lint.analyzer.findings import Edit, Span
from vllm_lint.analyzer.index import Import, ModuleInfo
from vllm_lint.rewriter.arguments import Refused
from vllm_lint.rewriter.layout import listed


def import_edits(module: ModuleInfo, wanted: Sequence[Import]) -> list[Edit]:
    """What makes the names of `wanted` mean that at the top level of `module`.

    Raises:
        Refused: a name means something else there.
    """
    missing: dict[str, list[str]] = {}
    edits: list[Edit] = []
    for each in wanted:
        name = each.attribute or each.module
        bound = module.bindings.get(name)
        if bound is None and each.attribute is None:
            edits.append(_inserted(module, f"import {each.module}", _place_of_plain(module)))
        elif bound is None:
            missing.setdefault(each.module, []).append(name)
        elif each not in bound and not all(isinstance(b, Import) and b.attribute == each.attribute for b in bound):
            raise Refused(f"`{name}` means something else in this file")
    for origin, names in missing.items():
        edits.append(_from(module, origin, names))
    return edits


def _imports(module: ModuleInfo) -> list[ast.Import | ast.ImportFrom]:
    return [n for n in module.source.tree.body if isinstance(n, (ast.Import, ast.ImportFrom))]


def _from(module: ModuleInfo, origin: str, names: list[str]) -> Edit:
    package = origin.partition(".")[0]
    absolute = [n for n in _imports(module) if isinstance(n, ast.ImportFrom) and not n.level and n.module]
    for node in absolute:
        if node.module == origin and "#" not in module.source.segment(node) and node.names[0].name != "*":
            aliases = [a.name if a.asname is None else f"{a.name} as {a.asname}" for a in node.names]
            return Edit(module.source.span(node), _written(origin, [*aliases, *names]))
    text = _written(origin, names)
    relatives = [n for n in absolute if (n.module or "").partition(".")[0] == package]
    before = [n for n in relatives if (n.module or "") < origin]
    if before:
        return _inserted(module, text, _behind(before[-1]))
    if relatives:
        return _inserted(module, text, relatives[0].lineno)
    local = next((n for n in _imports(module) if isinstance(n, ast.ImportFrom) and n.level), None)
    if local is not None:
        return _inserted(module, f"{text}\n", local.lineno)
    return _inserted(module, f"\n{text}", _last(module))


def _written(origin: str, names: Sequence[str]) -> str:
    # Ruff and isort put constants first, then classes, then the rest.
    ordered = sorted(names, key=lambda n: (not n.isupper(), not n[:1].isupper(), n.lower()))
    line = f"from {origin} import {', '.join(ordered)}"
    return line if len(line) <= 88 else listed(f"from {origin} import (", ordered, ")")


def _place_of_plain(module: ModuleInfo) -> int:
    plain = [n for n in _imports(module) if isinstance(n, ast.ImportFrom) and (n.module or "").startswith("torch")]
    return plain[0].lineno if plain else _last(module)


def _last(module: ModuleInfo) -> int:
    """The line behind the imports, or behind the docstring."""
    nodes: list[ast.stmt] = [*_imports(module)]
    first = module.source.tree.body[:1]
    if not nodes and first and isinstance(first[0], ast.Expr):
        nodes = first
    return _behind(nodes[-1]) if nodes else 1


def _behind(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) + 1


def _inserted(module: ModuleInfo, text: str, line: int) -> Edit:
    return Edit(Span(module.source.name, line, 1, line, 1), f"{text}\n")
