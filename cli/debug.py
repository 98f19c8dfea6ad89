"""`vllm-lint debug`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import click
import msgspec

from vllm_lint.analyzer import engine
from vllm_lint.analyzer.engine import CheckResult
from vllm_lint.analyzer.facts import RootReport
from vllm_lint.cli.configuration import Loaded
from vllm_lint.cli.console import ColorMode, Style, print_pieces, use_color, visible
from vllm_lint.cli.errors import EXIT_NOTHING, Failure
from vllm_lint.cli.options import Plan, configuration_options, make_plan
from vllm_lint.cli.output.summary import checked_files, plural


@click.command("debug")
@click.argument("path", type=click.Path(), default=".")
@configuration_options
def command(*, path: str, color: ColorMode, **options: Any) -> None:
    """Show the merged configuration, the compiled roots, and what was reached from them and what was not and why."""
    plan = make_plan((path,), **options)
    style = Style(enabled=use_color(color, sys.stdout))
    try:
        result = engine.check(plan.settings, plan.rules)
    except FileNotFoundError as error:
        raise Failure(str(error)) from error
    print_pieces([*_configuration(plan, style), "", *_roots(result, style), "", *_files(result, style)])
    if not checked_files(result):
        sys.exit(EXIT_NOTHING)


def _configuration(plan: Plan, style: Style) -> Iterator[str]:
    loaded: Loaded = plan.loaded
    yield style.strong("configuration")
    values = msgspec.to_builtins(loaded.values)
    width = max(map(len, values))
    for key, value in values.items():
        shown = msgspec.json.encode(value).decode()
        yield f"  {key:{width}} = {shown}  {style.frame(f'({loaded.origins[key]})')}"
    yield f"  {'rules':{width}} = {len(plan.rules)}: {' '.join(rule.meta.code for rule in plan.rules)}"
    cache = plan.settings.cache_dir
    yield f"  {'cache':{width}} = {cache or 'off (--no-cache)'}"


def _roots(result: CheckResult, style: Style) -> Iterator[str]:
    yield style.strong(plural(len(result.roots), "compiled root"))
    for report in sorted(result.roots, key=lambda report: report.root):
        yield from _root(report, style)


def _root(report: RootReport, style: Style) -> Iterator[str]:
    root = report.root
    yield f"  {style.strong(root.name)} ({root.contract.value}) {visible(root.path)}:{root.line}"
    dynamic = ", ".join(f"{name} ({what})" for name, what in report.dynamic.items())
    yield f"    dynamic: {dynamic or 'nothing'}"
    yield f"    reached: {plural(report.functions, 'function')}"
    for call in report.unresolved:
        yield f"    not followed: {visible(call)}"


def _files(result: CheckResult, style: Style) -> Iterator[str]:
    yield style.strong(plural(len(result.files), "file"))
    width = max((len(file.status) for file in result.files), default=0)
    for file in result.files:
        reason = f"  {style.frame(f'({visible(file.reason)})')}" if file.reason else ""
        yield f"  {file.status:{width}}  {visible(file.path)}{reason}"
