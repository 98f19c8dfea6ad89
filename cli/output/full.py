"""For people: each finding with its source, the path that leads to it, and what to do."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from vllm_lint.analyzer.engine import CheckResult
from vllm_lint.analyzer.findings import Contract, Finding, Promise, Step
from vllm_lint.cli.console import visible
from vllm_lint.cli.output import Context
from vllm_lint.cli.output.summary import position, summary_line
from vllm_lint.cli.output.window import Mark, window

_CONTRACTS = {
    Contract.VLLM: "vLLM contract",
    Contract.FULLGRAPH: "torch.compile(fullgraph=True) contract",
    Contract.COMPILE: "torch.compile contract",
}


#: Evidence comes from every rank and every capture; the formats for programs have all of it.
_MAX_EVIDENCE = 3


def render(result: CheckResult, context: Context) -> Iterator[str]:
    """Findings in source order, then a summary."""
    for finding in result.findings:
        yield from _finding(finding, context)
        yield ""
    yield summary_line(result, context)


def _finding(finding: Finding, context: Context) -> Iterator[str]:
    style = context.style
    spans = [finding.span, *(step.span for step in finding.steps)]
    gutter = max(len(str(span.end_line)) for span in spans)
    yield from _title(finding, context)
    yield f"{' ' * gutter}{style.frame('-->')} {visible(position(finding))}"
    steps = list(enumerate(finding.steps, 1))
    last = steps.pop()[0] if steps and finding.steps[-1].span == finding.span else 0
    primary = _primary(finding, last, context)
    groups = _groups(steps)
    if _leads_down_to(groups, finding) and context.lines(finding.path):
        yield from _window([*_step_marks(groups[0], context), primary], gutter, context)
    else:
        yield from _window([primary], gutter, context)
        if groups:
            yield f"{' ' * gutter} {style.frame('=')} {style.strong('path')} that leads here:"
        for group in groups:
            yield from _group(group, gutter, context)
    yield from _notes(finding, gutter, context)


def _group(group: list[Numbered], gutter: int, context: Context) -> Iterator[str]:
    """Steps in one window; where there is no source, as in a trace of another machine, a line each."""
    arrow = f"{' ' * gutter}{context.style.frame(':::')}"
    if context.lines(group[0][1].span.path):
        span = group[0][1].span
        yield f"{arrow} {visible(span.path)}:{span.line}:{span.column}"
        yield from _window(_step_marks(group, context), gutter, context)
        return
    for number, step in group:
        yield f"{arrow} {visible(step.span.path)}:{step.span.line}: {number}. {visible(step.message)}"


def _title(finding: Finding, context: Context) -> Iterator[str]:
    style = context.style
    label = f"{finding.severity.value}[{finding.code}]"
    before = f"{label} {finding.name}: "
    first, *rest = visible_lines(finding.message)
    if context.width is not None:
        text = " ".join([first, *rest])
        rows = textwrap.wrap(text, max(context.width, len(before) + 40), initial_indent=" " * len(before))
        first, rest = rows[0][len(before) :], rows[1:]
    yield f"{style.severity(finding.severity, label)} {finding.name}: {style.strong(first)}"
    yield from (f"  {style.strong(row)}" for row in rest)


Numbered = tuple[int, Step]


def _groups(steps: list[Numbered]) -> list[list[Numbered]]:
    """Runs of steps that read downwards in one file and so share a window."""
    groups: list[list[Numbered]] = []
    for number, step in steps:
        last = groups[-1][-1][1].span if groups else None
        follows = last is not None and last.path == step.span.path and last.line <= step.span.line
        if last is not None and follows and last.line == last.end_line and step.span.line == step.span.end_line:
            groups[-1].append((number, step))
        else:
            groups.append([(number, step)])
    return groups


def _leads_down_to(groups: list[list[Numbered]], finding: Finding) -> bool:
    """Whether the whole path and the decision below it fit in one window."""
    if len(groups) != 1 or finding.end_line > finding.line:
        return False
    span = groups[0][-1][1].span
    return span.path == finding.path and span.line == span.end_line <= finding.line


def _primary(finding: Finding, step: int, context: Context) -> Mark:
    """The flagged span; `step` is the number of the step that is the decision itself, 0 if none is."""
    label = f"{step}. {visible(finding.steps[-1].message)}" if step else ""
    return Mark(finding.span, label, "^", lambda text: context.style.severity(finding.severity, text), context=2)


def _step_marks(group: list[Numbered], context: Context) -> list[Mark]:
    return [Mark(step.span, f"{number}. {visible(step.message)}", "-", context.style.step) for number, step in group]


def _window(marks: list[Mark], gutter: int, context: Context) -> Iterator[str]:
    lines = context.lines(marks[0].span.path)
    return window(lines, marks, gutter, context.width, context.style.frame)


def _notes(finding: Finding, gutter: int, context: Context) -> Iterator[str]:
    notes = []
    if finding.root:
        notes.append(("root", f"{finding.root.name} ({_CONTRACTS[finding.root.contract]})"))
    if finding.promise is not Promise.TOOL:
        notes.append(("promise", f"{finding.promise.value} {finding.promise.phrase}"))
        notes.append(("confidence", finding.confidence.value))
    if finding.verdict:
        notes.append(("verdict", finding.verdict))
        notes.extend(("evidence", line) for line in finding.evidence[:_MAX_EVIDENCE])
        if (left := len(finding.evidence) - _MAX_EVIDENCE) > 0:
            notes.append(("evidence", f"{left} more like these"))
    notes.extend([("help", finding.help)] if finding.help else [])
    notes.extend(("fix", f"{fix.title} ({fix.label}{': ' if fix.reason else ''}{fix.reason})") for fix in finding.fixes)
    for name, text in notes:
        start = f"{' ' * gutter} {context.style.frame('=')} {context.style.strong(f'{name}:')} "
        indent = " " * (gutter + len(f" = {name}: "))
        paragraphs = visible_lines(text)
        if context.width is not None:
            room = max(context.width - len(indent), 40)
            paragraphs = [row for line in paragraphs for row in textwrap.wrap(line, room, break_long_words=False)]
        yield start + f"\n{indent}".join(paragraphs)


def visible_lines(text: str) -> list[str]:
    """Lines of `text`, safe to print."""
    return [visible(line) for line in text.splitlines()] or [""]
