"""`vllm-lint explain`."""

from __future__ import annotations

import sys

import click

from vllm_lint.analyzer.findings import Promise
from vllm_lint.analyzer.rule import Rule
from vllm_lint.cli.console import Style, print_pieces, use_color
from vllm_lint.cli.errors import Failure
from vllm_lint.cli.selection import find


@click.command("explain")
@click.argument("rule", metavar="CODE-OR-NAME")
def command(rule: str) -> None:
    """Show what a rule flags, why it matters and what to write instead."""
    found = find(rule, "explain")
    if len(found) != 1:
        names = ", ".join(each.meta.code for each in found) or "no rule"
        raise Failure(f"explain: {rule!r} stands for {names}: name one")
    print_pieces([_page(found[0], Style(enabled=use_color("auto", sys.stdout)))])


def _page(rule: type[Rule], style: Style) -> str:
    meta = rule.meta
    phrase = meta.promise.phrase
    facts = {
        "promise": phrase if meta.promise is Promise.TOOL else f"{meta.promise.value} {phrase}",
        "severity": meta.severity.value,
        "fix": meta.fix,
        "proof": meta.proof,
        "torch": meta.torch,
        "graph breaks": ", ".join(meta.graph_breaks),
        "stage": str(meta.lifecycle),
        "once named": ", ".join(meta.former),
    }
    head = [style.severity(meta.severity, f"{meta.code} {meta.name}"), ""]
    table = [f"{style.frame(f'{name:12}')} {value}" for name, value in facts.items() if value]
    lines = rule.documentation().splitlines()
    text = [style.strong(line) if line.startswith("## ") else line for line in lines]
    return "\n".join([*head, *table, "", *text])
