"""Where a report goes, and in which format."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from vllm_lint.analyzer.engine import CheckResult
from vllm_lint.cli.configuration import OutputFormat
from vllm_lint.cli.console import ColorMode, Style, print_pieces, terminal_width, use_color, write_pieces
from vllm_lint.cli.errors import Failure
from vllm_lint.cli.options import Plan
from vllm_lint.cli.output import TEXT_FORMATS, Context, renderer, statistics
from vllm_lint.cli.output.github import step_summary
from vllm_lint.cli.output.summary import error_line
from vllm_lint.cli.source import SourceReader

Command = TypeVar("Command", bound=Callable[..., Any])


def report_options(command: Command) -> Command:
    """Add the options of every command that reports findings."""
    options = [
        click.option("--output-format", type=click.Choice(get_args(OutputFormat)), help="Format of the report [full]."),
        click.option("--output-file", type=click.Path(path_type=Path), help="Write the report there, not to stdout."),
        click.option("--statistics", "counts_only", is_flag=True, help="Show counts by rule in place of the findings."),
        click.option("--exit-zero", is_flag=True, help="Return 0 even if there are findings."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


class Report:
    """The report of one run."""

    def __init__(self, plan: Plan, output_file: Path | None, color: ColorMode, *, counts_only: bool) -> None:
        """Choose the renderer before the work begins.

        Raises:
            Failure: the options do not go together, or the file cannot be there.
        """
        self._format = plan.loaded.values.output_format
        self.is_text = self._format in TEXT_FORMATS
        if counts_only and not self.is_text:
            raise Failure(f"--statistics goes with the formats {' and '.join(TEXT_FORMATS)}, not with {self._format}")
        if output_file is not None and not output_file.absolute().parent.is_dir():
            raise Failure(f"cannot write {output_file}: its folder does not exist")
        self._render = statistics.render if counts_only else renderer(self._format)
        self._file = output_file
        to_stdout = output_file is None
        is_colored = self.is_text and (use_color(color, sys.stdout) if to_stdout else color == "always")
        self._context = Context(
            rules=plan.rules,
            lines=SourceReader(plan.settings.base, plan.settings.stdin),
            style=Style(enabled=is_colored),
            base=plan.settings.base,
            width=terminal_width() if to_stdout else None,
            asleep=len(plan.asleep),
        )

    def write(self, result: CheckResult, *, is_empty: bool) -> None:
        """Write the report, and errors of the tool to stderr. People need not be told that there is nothing."""
        if not (is_empty and self.is_text):
            pieces = self._render(result, self._context)
            if self._file is None:
                print_pieces(pieces)
            else:
                write_pieces(pieces, self._file)
        if self._format == "github":
            _write_step_summary(step_summary(result, self._context))
        for error in result.errors:
            click.echo(f"vllm-lint: error: {error_line(error)}", err=True)


def _write_step_summary(text: str) -> None:
    target = os.environ.get("GITHUB_STEP_SUMMARY")
    if not target:
        return
    try:
        with Path(target).open("a", encoding="utf-8", errors="backslashreplace") as summary:
            summary.write(text)
    except OSError as error:
        raise Failure(f"cannot write the step summary {target}: {error.strerror}") from error
