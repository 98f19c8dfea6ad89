"""`vllm-lint check`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import click

from vllm_lint.analyzer import engine
from vllm_lint.analyzer.engine import CheckResult
from vllm_lint.analyzer.findings import Finding
from vllm_lint.cli.changes import Changes
from vllm_lint.cli.configuration import OutputFormat
from vllm_lint.cli.console import ColorMode, Style, print_pieces, terminal_width, use_color, write_pieces
from vllm_lint.cli.errors import EXIT_ERROR, EXIT_FINDINGS, EXIT_NOTHING, Failure
from vllm_lint.cli.options import Plan, configuration_options, make_plan
from vllm_lint.cli.output import TEXT_FORMATS, Context, Renderer, renderer, statistics
from vllm_lint.cli.output.github import step_summary
from vllm_lint.cli.output.summary import checked_files, error_line
from vllm_lint.cli.selection import FileIgnores
from vllm_lint.cli.source import SourceReader


@click.command("check")
@click.argument("paths", nargs=-1, type=click.Path())
@click.option("--output-format", type=click.Choice(get_args(OutputFormat)), help="Format of the report [full].")
@click.option("--output-file", type=click.Path(path_type=Path), help="Write the report there, not to stdout.")
@click.option("--statistics", "counts_only", is_flag=True, help="Show counts by rule in place of the findings.")
@click.option("--exit-zero", is_flag=True, help="Return 0 even if there are findings.")
@click.option("--diff-from", metavar="REF", help="Only findings on lines, or with paths, that changed since a git REF.")
@click.option("--stdin-filename", metavar="NAME", help="Name of the file that stdin (the path -) holds.")
@configuration_options
def command(
    *,
    paths: tuple[str, ...],
    output_file: Path | None,
    counts_only: bool,
    exit_zero: bool,
    diff_from: str | None,
    stdin_filename: str | None,
    color: ColorMode,
    **options: Any,
) -> None:
    """Check files and folders; the current folder if no path is given, stdin if it is `-`."""
    stdin = _read_stdin(paths, stdin_filename)
    plan = make_plan(paths or (".",), stdin=stdin, **options)
    render = _renderer(plan, counts_only=counts_only)
    if output_file is not None and not output_file.absolute().parent.is_dir():
        raise Failure(f"cannot write {output_file}: its folder does not exist")
    result = _check(plan, diff_from)
    to_stdout = output_file is None
    is_colored = _is_text(plan) and (use_color(color, sys.stdout) if to_stdout else color == "always")
    context = Context(
        rules=plan.rules,
        lines=SourceReader(plan.settings.base, stdin),
        style=Style(enabled=is_colored),
        base=plan.settings.base,
        width=terminal_width() if to_stdout else None,
    )
    is_empty = not checked_files(result) and not result.findings
    if not (is_empty and _is_text(plan)):
        pieces = render(result, context)
        if output_file is None:
            print_pieces(pieces)
        else:
            write_pieces(pieces, output_file)
    if plan.loaded.values.output_format == "github":
        _write_step_summary(step_summary(result, context))
    for error in result.errors:
        click.echo(f"vllm-lint: error: {error_line(error)}", err=True)
    if any(error.rule for error in result.errors):
        sys.exit(EXIT_ERROR)
    if is_empty:
        excluded = f", {len(result.files)} excluded" if result.files else ""
        click.echo(f"vllm-lint: nothing to check: no Python file under {', '.join(paths) or '.'}{excluded}", err=True)
        sys.exit(EXIT_NOTHING)
    sys.exit(EXIT_FINDINGS if result.findings and not exit_zero else 0)


def _read_stdin(paths: tuple[str, ...], name: str | None) -> tuple[str, bytes] | None:
    if "-" not in paths:
        if name is not None:
            raise Failure("--stdin-filename goes with the path -")
        return None
    if len(paths) > 1:
        raise Failure("the path - cannot be combined with others")
    return name or "stdin.py", sys.stdin.buffer.read()


def _is_text(plan: Plan) -> bool:
    return plan.loaded.values.output_format in TEXT_FORMATS


def _renderer(plan: Plan, *, counts_only: bool) -> Renderer:
    name = plan.loaded.values.output_format
    if counts_only and not _is_text(plan):
        raise Failure(f"--statistics goes with the formats {' and '.join(TEXT_FORMATS)}, not with {name}")
    return statistics.render if counts_only else renderer(name)


def _check(plan: Plan, diff_from: str | None) -> CheckResult:
    """Run the analysis and drop the findings that were not asked for."""
    values, base = plan.loaded.values, plan.settings.base
    changes = Changes(diff_from, base) if diff_from is not None else None
    ignores = FileIgnores(
        values.per_file_ignores, plan.loaded.folders["per-file-ignores"], plan.loaded.origins["per-file-ignores"]
    )
    tests: list[Callable[[Finding], bool]] = [
        lambda finding: finding.confidence.rank <= values.min_confidence.rank,
        lambda finding: not ignores.hides(finding, base),
        lambda finding: changes is None or changes.touch(finding),
    ]
    try:
        result = engine.check(plan.settings, plan.rules)
    except FileNotFoundError as error:
        raise Failure(str(error)) from error
    return replace(result, findings=tuple(found for found in result.findings if all(test(found) for test in tests)))


def _write_step_summary(text: str) -> None:
    target = os.environ.get("GITHUB_STEP_SUMMARY")
    if not target:
        return
    try:
        with Path(target).open("a", encoding="utf-8", errors="backslashreplace") as summary:
            summary.write(text)
    except OSError as error:
        raise Failure(f"cannot write the step summary {target}: {error.strerror}") from error
