"""`vllm-lint verify`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from vllm_lint.analyzer.engine import CheckResult, FileReport
from vllm_lint.analyzer.findings import ToolError
from vllm_lint.cli.check import wanted
from vllm_lint.cli.console import ColorMode
from vllm_lint.cli.errors import EXIT_ERROR, EXIT_FINDINGS, Failure
from vllm_lint.cli.options import configuration_options, make_plan
from vllm_lint.cli.report import Report, report_options
from vllm_lint.cli.rule_facts import rule_facts
from vllm_lint.cli.verification import Verifier, say_more, sources_of
from vllm_lint.cli.verification_options import Given, verification_options
from vllm_lint.runtime_verifier.jobs import Job
from vllm_lint.runtime_verifier.pool import VerifierUnavailable, architectures
from vllm_lint.runtime_verifier.targets.shapes import ShapeError, parse_shapes
from vllm_lint.runtime_verifier.verdicts import from_targets as target_verdicts

#: Token counts of a vLLM model's capture and of the replays. The largest is prime, so that a size that was baked in
#: stands out, and no number that a layer has.
TRACE_SIZE, SIZES = 509, (1, 2, 7, 64, 128, 256)


@click.command("verify")
@click.argument("targets", nargs=-1)
@click.option("--arch", "names", multiple=True, metavar="NAME", help="An architecture of vLLM's registry.")
@click.option("--all", "is_all", is_flag=True, help="Every architecture of vLLM's registry.")
@click.option("--model-type", "types", multiple=True, metavar="NAME", help="A model type of transformers.")
@click.option("--harness", "harnesses", multiple=True, metavar="FUNCTION", help="Returns a module and its inputs.")
@click.option("--shape", default="", metavar="SHAPES", help='What TARGETS take, as in "x=n,64 positions=n:int64".')
@verification_options
@report_options
@configuration_options
def command(
    *,
    targets: tuple[str, ...],
    names: tuple[str, ...],
    is_all: bool,
    types: tuple[str, ...],
    harnesses: tuple[str, ...],
    shape: str,
    given: Given,
    output_file: Path | None,
    counts_only: bool,
    exit_zero: bool,
    color: ColorMode,
    **options: Any,
) -> None:
    """Capture TARGETS as vLLM does, replay them at other sizes without guards, and report what differs from eager.

    A TARGET is FILE.py:NAME or package.module:NAME, of a class or a function, or the folder of a config.json. Without
    any, the harnesses of the configuration are verified.
    """
    plan = make_plan((".",), **options)
    report = Report(plan, output_file, color, counts_only=counts_only)
    verifier = Verifier(given, plan.loaded, plan.settings.jobs)
    _check_shape(shape, "--shape")
    for name, text in verifier.settings.shapes.items():
        _check_shape(text, f"shape of {name}")
    jobs = [_target(verifier, target, shape) for target in targets]
    jobs += [verifier.harness(name, Path.cwd()) for name in harnesses]
    jobs += [vllm_job(verifier, name) for name in (*names, *(_everything(verifier) if is_all else ()))]
    jobs += [verifier.job(name, name, provider="transformers", trace_size=TRACE_SIZE, sizes=SIZES) for name in types]
    jobs = jobs or verifier.harnesses()
    if not jobs:
        raise Failure("nothing to verify: name a target, an architecture with --arch, or --all")
    with verifier.run(jobs) as run:
        found = target_verdicts.find(run.evidence, rule_facts(run.torch), sources_of(run.evidence, plan.settings.base))
        is_wanted = wanted(plan)
        reasons = [(job.target, reason) for job in run.jobs if (reason := run.reason(job))]
        result = CheckResult(
            tuple(f for f in found if is_wanted(f)),
            tuple(ToolError(f"not verified: {reason}", path=target, kind="target") for target, reason in reasons),
            tuple(FileReport(job.target, "reached", "") for job in run.jobs),
            (),
            0,
        )
        report.write(result, is_empty=False)
        say_more(run)
    if run.failures or len(reasons) == len(jobs):
        sys.exit(EXIT_ERROR)
    sys.exit(EXIT_FINDINGS if any(map(verifier.fails, result.findings)) and not exit_zero else 0)


def vllm_job(verifier: Verifier, name: str, **options: Any) -> Job:
    """A job for an architecture, or for the path of a config.json."""
    return verifier.job(name, name, provider="vllm", trace_size=TRACE_SIZE, sizes=SIZES, **options)


def _target(verifier: Verifier, target: str, shape: str) -> Job:
    path, _, name = target.rpartition(":")
    if not path:
        if target.endswith("config.json") or Path(target, "config.json").is_file():
            return vllm_job(verifier, str(Path(target).absolute()))
        raise Failure(
            f"{target!r} is no target: expected FILE.py:NAME, package.module:NAME, or a folder with config.json"
        )
    if path.endswith(".py"):
        if not Path(path).is_file():
            raise Failure(f"cannot verify {target}: there is no file {path}")
        path = str(Path(path).absolute())
    return verifier.job(name, target, path=path, shape=shape)


def _check_shape(text: str, what: str) -> None:
    try:
        parse_shapes(text)
    except ShapeError as error:
        raise Failure(f"{what}: {error}") from error


def _everything(verifier: Verifier) -> tuple[str, ...]:
    try:
        return architectures(verifier.python)
    except VerifierUnavailable as error:
        raise Failure(str(error)) from error
