"""The flat table of all rules, in code order, and look-up by code, name or prefix."""

from __future__ import annotations

from vllm_lint.analyzer.rule import Rule

RULES: tuple[type[Rule], ...] = ()


def find(selector: str) -> tuple[type[Rule], ...]:
    """Rules that `selector` names: a code, a kebab-case name, a code prefix such as `VL2`, or `ALL`.

    Returns an empty tuple if it names none.
    """
    if selector == "ALL":
        return RULES
    exact = tuple(r for r in RULES if selector in (r.meta.code, r.meta.name))
    if exact:
        return exact
    is_prefix = selector.startswith("VL") and selector[2:].isdigit() and len(selector) < len("VL000")
    return tuple(r for r in RULES if r.meta.code.startswith(selector)) if is_prefix or selector == "VL" else ()
