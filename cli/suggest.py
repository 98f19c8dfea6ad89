"""`vllm-lint suggest`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec

from vllm_lint.analyzer.engine import CheckResult
from vllm_lint.analyzer.findings import Edit, Finding, Fix
from vllm_lint.analyzer.rule import Rule
from vllm_lint.analyzer.source import SourceFile, read_source
from vllm_lint.cli.check import checked
from vllm_lint.cli.console import ColorMode, Style, print_pieces, use_color, visible
from vllm_lint.cli.errors import EXIT_NOTHING, Failure
from vllm_lint.cli.fixes import rewritten
from vllm_lint.cli.options import Plan, configuration_options, make_plan
from vllm_lint.cli.output.concise import concise_line
from vllm_lint.cli.wrappers import wrapper
from vllm_lint.rewriter.wrapper import Wrapping

_PLACE = re.compile(r"(.+?):(\d+)(?::(\d+))?")
#: How many lines with findings are named where there is none.
_NEAREST = 3
#: Findings of these come from a value of a tensor that Python asks for.
_WAITING = ("VL101", "VL102")
_WAITS = "it reads a value, which waits for the host: that fails while a CUDA graph is recorded, as above"


class Alternative(msgspec.Struct, frozen=True):
    """One way to change the code. `complete` is False where something in it is left to write."""

    title: str
    safety: str
    complete: bool
    trade_offs: tuple[str, ...]
    edits: tuple[Edit, ...]
    diff: str


class Suggestion(msgspec.Struct, frozen=True):
    """What can be done about one finding. `no_operator` is why it cannot be moved into a custom operator."""

    finding: Finding
    alternatives: tuple[Alternative, ...]
    no_operator: str
    use_instead: str


@dataclass(frozen=True)
class Place:
    """Where the user asks."""

    path: str
    line: int
    column: int | None


@click.command("suggest")
@click.argument("place", metavar="FILE:LINE[:COLUMN]")
@click.argument("paths", nargs=-1, type=click.Path())
@click.option(
    "--format",
    "kind",
    type=click.Choice(["text", "github", "json"]),
    default="text",
    help="Diffs for a terminal, suggestion blocks for a review on GitHub, or JSON.",
)
@configuration_options
def command(*, place: str, paths: tuple[str, ...], kind: str, color: ColorMode, **options: Any) -> None:
    """Show what can be done about the findings on a line, and what each way costs.

    PATHS are checked as well: where the compiled root is in another file, name that one.
    """
    at = _parsed(place)
    plan = make_plan((at.path, *paths), **options)
    result = checked(plan)
    findings = _findings(plan, result, at)
    suggestions = list(_suggested(plan, result, findings))
    if kind == "json":
        print_pieces([msgspec.json.format(msgspec.json.encode(suggestions), indent=2).decode()])
    elif kind == "github":
        print_pieces(_github(plan, suggestions))
    else:
        print_pieces(_text(suggestions, Style(enabled=use_color(color, sys.stdout))))


def _parsed(place: str) -> Place:
    found = _PLACE.fullmatch(place)
    if found is None or not int(found[2]):
        raise Failure(f"suggest: {place!r} names no line: write FILE:LINE, such as model.py:12")
    if not Path(found[1]).is_file():
        raise Failure(f"suggest: no such file: {found[1]}")
    return Place(found[1], int(found[2]), int(found[3]) if found[3] else None)


def _findings(plan: Plan, result: CheckResult, at: Place) -> list[Finding]:
    """The findings at a place; ends the program where there is none."""
    source = _source(plan, at.path)
    here = [f for f in result.findings if _is_at(plan, f, at.path)]
    if at.line > len(source.lines):
        raise Failure(f"suggest: {at.path} has {len(source.lines)} lines")
    found = [f for f in here if f.line <= at.line <= f.end_line and (at.column is None or _covers(f, at))]
    if found:
        return found
    column = "" if at.column is None else f":{at.column}"
    (status,) = {f.status for f in result.files if _is_file(plan, f.path, at.path)} or {"excluded"}
    if here:
        lines = sorted({f.line for f in here}, key=lambda line: abs(line - at.line))[:_NEAREST]
        reason = f"the nearest are at {', '.join(f'line {line}' for line in sorted(lines))}"
    elif status == "not reached":
        reason = "no compiled root reaches this file; name the files that declare one as well"
    else:
        reason = "there is none in this file" if status != "excluded" else "this file is excluded"
    click.echo(f"vllm-lint: no finding at {at.path}:{at.line}{column}: {reason}", err=True)
    sys.exit(EXIT_NOTHING)


def _source(plan: Plan, path: str) -> SourceFile:
    source = read_source((plan.settings.base / path).resolve(), path)
    if not isinstance(source, SourceFile):
        raise Failure(f"suggest: {path} is {source.reason}")
    return source


def _is_at(plan: Plan, finding: Finding, path: str) -> bool:
    return _is_file(plan, finding.path, path)


def _is_file(plan: Plan, name: str, path: str) -> bool:
    return (plan.settings.base / name).resolve() == (plan.settings.base / path).resolve()


def _covers(finding: Finding, at: Place) -> bool:
    assert at.column is not None
    return (finding.line, finding.column) <= (at.line, at.column) < (finding.end_line, finding.end_column)


def _suggested(plan: Plan, result: CheckResult, findings: list[Finding]) -> Iterator[Suggestion]:
    wrap = wrapper(plan, result)
    rules = {rule.meta.code: rule for rule in plan.rules}
    for finding in findings:
        rule = rules[finding.code]
        alternatives = [_alternative(plan, fix, complete=True, trade_offs=_of_rule(rule)) for fix in finding.fixes]
        found = wrap.wrapped(finding)
        if isinstance(found, Wrapping):
            costs = (*found.trade_offs, _WAITS) if finding.code in _WAITING else found.trade_offs
            alternatives.append(_alternative(plan, found.fix, complete=not found.incomplete, trade_offs=costs))
        yield Suggestion(
            finding,
            tuple(alternatives),
            "" if isinstance(found, Wrapping) else found,
            rule.section("Use instead"),
        )


def _of_rule(rule: type[Rule]) -> tuple[str, ...]:
    text = " ".join(rule.section("Fix safety").split())
    return (text,) if text else ()


def _alternative(plan: Plan, fix: Fix, *, complete: bool, trade_offs: tuple[str, ...]) -> Alternative:
    (name,) = {edit.span.path for edit in fix.edits}
    diff = "\n".join(rewritten(_source(plan, name), [fix]).diff)
    return Alternative(fix.title, fix.safety, complete, trade_offs, fix.edits, diff)


# Formats


def _text(suggestions: list[Suggestion], style: Style) -> Iterator[str]:
    for number, suggestion in enumerate(suggestions):
        if number:
            yield ""
        yield concise_line(suggestion.finding, style)
        for position, alternative in enumerate(suggestion.alternatives, 1):
            yield ""
            yield style.strong(f"{position}. {alternative.title} ({alternative.safety})")
            for cost in alternative.trade_offs:
                yield f"   - {visible(cost)}"
            yield ""
            for line in alternative.diff.splitlines():
                yield style.frame(line) if line.startswith("@@") else visible(line)
        if suggestion.no_operator:
            yield ""
            yield f"no custom operator: {visible(suggestion.no_operator)}"
        if suggestion.use_instead:
            yield ""
            yield style.strong(f"what {suggestion.finding.name} says to use instead")
            yield suggestion.use_instead


def _github(plan: Plan, suggestions: list[Suggestion]) -> Iterator[str]:
    """Each change with the lines that a comment with it has to stand on."""
    for suggestion in suggestions:
        finding = suggestion.finding
        yield f"### `{finding.code}` {finding.name}: {finding.message}"
        for alternative in suggestion.alternatives:
            yield ""
            yield f"**{alternative.title}** ({alternative.safety})"
            yield from (f"- {cost}" for cost in alternative.trade_offs)
            for edit in alternative.edits:
                yield ""
                yield from _block(_source(plan, edit.span.path), edit)
        if suggestion.no_operator:
            yield ""
            yield f"No custom operator: {suggestion.no_operator}."


def _block(source: SourceFile, edit: Edit) -> Iterator[str]:
    span = edit.span
    end = min(span.end_line, len(source.lines))
    lines = source.lines[span.line - 1 : end] or [""]
    text = lines[0][: span.column - 1] + edit.replacement + lines[-1][span.end_column - 1 :]
    where = f"line {span.line}" if end <= span.line else f"lines {span.line} to {end}"
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall(r"`{3,}", text))])
    yield f"{span.path}, {where}:"
    yield f"{fence}suggestion"
    yield text
    yield fence
