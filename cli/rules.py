"""`vllm-lint rules`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import click

from vllm_lint.analyzer.lifecycle import Stage
from vllm_lint.analyzer.rule import Rule
from vllm_lint.cli.console import Style, print_pieces, use_color
from vllm_lint.rules.catalogue import RULES

_STAGE_WIDTH = max(len(stage.value) for stage in Stage)


@click.command("rules")
@click.option("--output-format", type=click.Choice(["table", "json"]), default="table", help="Format of the list.")
@click.option("--graph-breaks", is_flag=True, help="List torch's graph breaks instead, and the rules that cover them.")
@click.option(
    "--registry",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Torch's graph_break_registry.json to compare with. [default: that of the installed torch]",
)
@click.option("--python", metavar="PATH", help="Interpreter whose torch has the registry to compare with.")
def command(
    output_format: Literal["table", "json"], *, graph_breaks: bool, registry: Path | None, python: str | None
) -> None:
    """List all rules, or all graph breaks that torch knows and the rules that cover them."""
    if (registry or python) and not graph_breaks:
        raise click.UsageError("--registry and --python go with --graph-breaks")
    if registry and python:
        raise click.UsageError("--registry and --python exclude each other")
    if graph_breaks:
        from vllm_lint.cli.graph_breaks import show

        show(output_format, registry, python)
        return
    if output_format == "json":
        print_pieces([json.dumps([_record(rule) for rule in RULES], indent=2)])
        return
    style = Style(enabled=use_color("auto", sys.stdout))
    width = max((len(rule.meta.name) for rule in RULES), default=0)
    print_pieces(_row(rule, width, style) for rule in RULES)


def _row(rule: type[Rule], width: int, style: Style) -> str:
    meta = rule.meta
    severity = style.severity(meta.severity, f"{meta.severity.value:7}")
    facts = f"{meta.promise.value:4}  {meta.stage.value:{_STAGE_WIDTH}}  {severity}"
    return f"{style.strong(meta.code)}  {meta.name:{width}}  {facts}  {rule.summary()}"


def _record(rule: type[Rule]) -> dict[str, Any]:
    meta = asdict(rule.meta)
    contracts = sorted(contract.value for contract in rule.meta.contracts)
    meta["lifecycle"] = {stage.value: version for stage, version in rule.meta.lifecycle.history.items()}
    meta |= {"stage": rule.meta.stage.value, "replaced_by": rule.meta.lifecycle.replaced_by}
    return {**meta, "contracts": contracts, "summary": rule.summary(), "documentation": rule.documentation()}
