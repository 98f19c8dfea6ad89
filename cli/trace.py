"""`vllm-lint trace`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from vllm_lint.analyzer.engine import CheckResult, FileReport
from vllm_lint.analyzer.facts import RootReport
from vllm_lint.analyzer.findings import ToolError
from vllm_lint.cli import tlparse
from vllm_lint.cli.check import checked, wanted
from vllm_lint.cli.console import ColorMode
from vllm_lint.cli.errors import EXIT_ERROR, EXIT_FINDINGS, EXIT_NOTHING, Failure
from vllm_lint.cli.options import configuration_options, make_plan
from vllm_lint.cli.output.summary import error_line, plural
from vllm_lint.cli.report import Report, report_options
from vllm_lint.cli.rule_facts import rule_facts, without_rules_of_other_versions
from vllm_lint.cli.sources import Sources
from vllm_lint.runtime_verifier.trace.evidence import Compilation, TraceEvidence
from vllm_lint.runtime_verifier.trace.log import NoLogs, TraceLog, find_logs
from vllm_lint.runtime_verifier.trace.size_guards import judge
from vllm_lint.runtime_verifier.verdicts import from_traces as verdicts
from vllm_lint.runtime_verifier.verdicts import trace_join

Compilations = list[tuple[str, Compilation]]


@click.command("trace")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.argument("paths", nargs=-1, type=click.Path())
@click.option("--html", type=click.Path(path_type=Path), metavar="OUT", help="Have tlparse write its pages there.")
@report_options
@configuration_options
def command(
    *,
    folder: Path,
    paths: tuple[str, ...],
    html: Path | None,
    output_file: Path | None,
    counts_only: bool,
    exit_zero: bool,
    color: ColorMode,
    **options: Any,
) -> None:
    """Read the logs that TORCH_TRACE=DIR wrote in any run, and report what they show.

    With PATHS, these are checked as well, and each finding gets a verdict from the logs.
    """
    plan = make_plan(paths or (".",), **options)
    report = Report(plan, output_file, color, counts_only=counts_only)
    try:
        logs = find_logs(folder)
    except NoLogs as error:
        raise Failure(str(error)) from error
    if html is not None:
        tlparse.require(logs)
    compilations, events, torch = _read(logs)
    errors = [ToolError(log.problem, path=str(log.path)) for log in logs if log.problem]
    if not events:
        hint = "; where vLLM found the graph in its cache, set VLLM_DISABLE_COMPILE_CACHE=1 for the run"
        for problem in errors:
            click.echo(f"vllm-lint: error: {error_line(problem)}", err=True)
        click.echo(f"vllm-lint: nothing compiled: no event of a capture in {plural(len(logs), 'log')}{hint}", err=True)
        sys.exit(EXIT_ERROR if len(errors) == len(logs) else EXIT_NOTHING)
    static = checked(plan) if paths else None
    sources = Sources(plan.settings.base, [f.path for f in static.files] if static else [])
    for _, compilation in compilations:
        sources.learn(compilation.graph_lines)
    found = verdicts.merge(verdicts.find(compilations, rule_facts(torch), sources))
    # A rule that was not asked for is silent here too; what no rule predicts always speaks.
    is_wanted = wanted(plan)
    traced = [finding for finding in found if finding.code not in plan.deselected and is_wanted(finding)]
    if static is None:
        roots = _roots(compilations, sources)
        files = tuple(FileReport(str(log.path), "reached", "") for log in logs)
        result = CheckResult(tuple(traced), tuple(errors), files, roots, 0)
    else:
        joined = trace_join.join(static.findings, traced, compilations, sources)
        judged = without_rules_of_other_versions(joined, torch)
        result = replace(static, findings=judged, errors=(*static.errors, *errors))
    report.write(result, is_empty=False)
    _say_more(compilations, logs)
    if html is not None:
        click.echo(f"vllm-lint: tlparse wrote {tlparse.render(logs[0], html)}", err=True)
    if any(error.rule for error in result.errors):
        sys.exit(EXIT_ERROR)
    shown = any(finding.verdict in ("confirmed", "undecided") for finding in result.findings)
    sys.exit(EXIT_FINDINGS if shown and not exit_zero else 0)


def _read(logs: Iterable[TraceLog]) -> tuple[Compilations, int, str]:
    """The compilations of all logs, each with the name of its log, how many events there were, and torch's version."""
    torch = ""
    compilations: Compilations = []
    events = 0
    for log in logs:
        processes: dict[int, TraceEvidence] = {}
        for record in log.records():
            if record.process not in processes:
                processes[record.process] = TraceEvidence(record.process)
            processes[record.process].add(record.metadata, record.payload)
        for evidence in processes.values():
            compilations += [(log.path.name, compilation) for compilation in evidence.compilations]
            log.unreadable += evidence.not_understood
            torch = torch or evidence.torch
            events += len(evidence.compilations)
    return compilations, events, torch


def _roots(compilations: Compilations, sources: Sources) -> tuple[RootReport, ...]:
    roots = {}
    for _, compilation in compilations:
        root = verdicts.root_of(compilation, sources)
        if root is not None:
            dynamic = dict.fromkeys(compilation.names.values(), "")
            roots[root.path, root.line] = RootReport(root, dynamic, 0, ())
    return tuple(sorted(roots.values(), key=lambda report: report.root))


def _say_more(compilations: Compilations, logs: Sequence[TraceLog]) -> None:
    """What is no finding but good to know, on stderr."""
    judgements = [judgement for _, compilation in compilations for judgement in judge(compilation)]
    harmless = sum(not judgement.is_harmful for judgement in judgements)
    guards = f"{plural(len(judgements), 'condition')} on sizes, {harmless} of them harmless"
    click.echo(f"vllm-lint: {plural(len(logs), 'log')}, {plural(len(compilations), 'compilation')}, {guards}", err=True)
    for log, compilation in compilations:
        for reason in compilation.recompiled:
            earlier, _, condition = reason.partition(": ")
            text = f"{verdicts.origin(log, compilation)} was compiled since {earlier} needs {condition}"
            click.echo(f"vllm-lint: {text}", err=True)
    for file in logs:
        if file.unreadable:
            click.echo(f"vllm-lint: {file.path}: {plural(file.unreadable, 'event')} could not be read", err=True)
