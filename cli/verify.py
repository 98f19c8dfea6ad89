"""`vllm-lint verify`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from vllm_lint.analyzer.engine import CheckResult, FileReport
from vllm_lint.analyzer.findings import ToolError
from vllm_lint.cli.check import wanted
from vllm_lint.cli.console import ColorMode
from vllm_lint.cli.errors import EXIT_ERROR, EXIT_FINDINGS, Failure
from vllm_lint.cli.options import configuration_options, make_plan
from vllm_lint.cli.output.summary import plural
from vllm_lint.cli.report import Report, report_options
from vllm_lint.cli.rule_facts import rule_facts
from vllm_lint.cli.sources import Sources
from vllm_lint.runtime_verifier import target_evidence, target_verdicts
from vllm_lint.runtime_verifier.jobs import Job
from vllm_lint.runtime_verifier.outcomes import Result
from vllm_lint.runtime_verifier.pool import Pool, VerifierUnavailable, architectures
from vllm_lint.runtime_verifier.target_evidence import PartEvidence

#: Token counts of a vLLM model's capture and of the replays. The largest is prime, so that a size that was baked in
#: stands out, and no number that a layer has.
TRACE_SIZE, SIZES = 509, (1, 2, 7, 64, 128, 256)


@click.command("verify")
@click.argument("targets", nargs=-1)
@click.option("--arch", "names", multiple=True, metavar="NAME", help="An architecture of vLLM's registry.")
@click.option("--all", "is_all", is_flag=True, help="Every architecture of vLLM's registry.")
@click.option("--timeout", type=click.FloatRange(min=0.1), default=120.0, help="Seconds for one target [120].")
@click.option("--trace-dir", type=click.Path(path_type=Path), metavar="DIR", help="Keep the traces there.")
@report_options
@configuration_options
def command(
    *,
    targets: tuple[str, ...],
    names: tuple[str, ...],
    is_all: bool,
    timeout: float,
    trace_dir: Path | None,
    output_file: Path | None,
    counts_only: bool,
    exit_zero: bool,
    color: ColorMode,
    **options: Any,
) -> None:
    """Capture TARGETS as vLLM does, replay them at other sizes without guards, and report what differs from eager.

    A TARGET is FILE.py:CLASS, or the folder of a config.json; --arch and --all take models of vLLM's registry.
    """
    plan = make_plan((".",), **options)
    report = Report(plan, output_file, color, counts_only=counts_only)
    with ExitStack() as stack:
        folder = trace_dir or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vllm-lint-")))
        try:
            jobs = _jobs(targets, (*names, *(architectures() if is_all else ())), folder, timeout)
            if not jobs:
                raise Failure("nothing to verify: name a target, an architecture with --arch, or --all")
            pool = stack.enter_context(Pool(plan.settings.jobs))
        except VerifierUnavailable as error:
            raise Failure(str(error)) from error
        results = [future.result() for future in [pool.submit(job) for job in jobs]]
        evidence = [
            part
            for job, result in zip(jobs, results, strict=True)
            for part in target_evidence.parts(result, Path(job.folder))
        ]
        sources = _sources(plan.settings.base, evidence)
        found = target_verdicts.find(evidence, rule_facts(), sources)
    is_wanted = wanted(plan)
    errors = tuple(ToolError(f"not verified: {reason}", path=r.target) for r in results for reason in _reasons(r))
    files = tuple(FileReport(r.target, "reached", "") for r in results)
    result = CheckResult(tuple(f for f in found if is_wanted(f)), errors, files, (), 0)
    report.write(result, is_empty=False)
    _say_more(results)
    if len(errors) == len(results):
        sys.exit(EXIT_ERROR)
    sys.exit(EXIT_FINDINGS if result.findings and not exit_zero else 0)


def _jobs(targets: Sequence[str], names: Sequence[str], folder: Path, timeout: float) -> list[Job]:
    jobs = []
    for number, target in enumerate(targets):
        path, _, name = target.rpartition(":")
        where = str(folder / f"{number}-{name}")
        jobs.append(Job(target=name, path=path, folder=where, timeout=timeout, blame=True))
    for name in names:
        where = str(folder / name)
        job = Job(
            target=name,
            provider="vllm",
            folder=where,
            timeout=timeout,
            trace_size=TRACE_SIZE,
            sizes=SIZES,
            blame=True,
        )
        jobs.append(job)
    return jobs


def _sources(base: Path, evidence: Sequence[PartEvidence]) -> Sources:
    sources = Sources(base, [])
    for part in evidence:
        for compilation in part.compilations:
            sources.learn(compilation.graph_lines)
    return sources


def _reasons(result: Result) -> list[str]:
    return [getattr(outcome, "message", None) or str(outcome) for outcome in result.whole]


def _say_more(results: Sequence[Result]) -> None:
    parts = [part for result in results for part in result.parts]
    replays = sum(len(part.replayed) for part in parts)
    text = f"{plural(len(results), 'target')}, {plural(len(parts), 'capture')}, {plural(replays, 'replay')}"
    click.echo(f"vllm-lint: {text}", err=True)
