"""`vllm-lint check`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from vllm_lint.analyzer import engine
from vllm_lint.analyzer.engine import CheckResult
from vllm_lint.analyzer.findings import Finding, ToolError
from vllm_lint.analyzer.profile import Profile, spent_on
from vllm_lint.cli.changes import Changes
from vllm_lint.cli.console import ColorMode, print_pieces, write_pieces
from vllm_lint.cli.errors import EXIT_ERROR, EXIT_FINDINGS, EXIT_NOTHING, Failure
from vllm_lint.cli.fixes import rewrites, write
from vllm_lint.cli.options import Plan, configuration_options, make_plan
from vllm_lint.cli.output.summary import checked_files, error_line, plural, position
from vllm_lint.cli.output.timing import peak_memory, table
from vllm_lint.cli.report import Report, report_options
from vllm_lint.cli.selection import FileIgnores
from vllm_lint.cli.verification_options import Given, verification_options

#: One pass applies what does not overlap; more than a few would be fixes that undo each other.
_MAX_PASSES = 10


@click.command("check")
@click.argument("paths", nargs=-1, type=click.Path())
@click.option(
    "--verify",
    "is_verified",
    is_flag=True,
    help="Capture what the findings are about: a verdict for each, a proof for each fix.",
)
@verification_options
@report_options
@click.option("--fix", "is_fixed", is_flag=True, help="Apply the safe fixes, then report what is left.")
@click.option("--unsafe-fixes", "with_unsafe", is_flag=True, help="With --fix or --diff: unsafe fixes as well.")
@click.option("--diff", "is_diff", is_flag=True, help="Show what fixes would change in place of the findings.")
@click.option("--diff-from", metavar="REF", help="Only findings on lines, or with paths, that changed since a git REF.")
@click.option("--profile", "is_profiled", is_flag=True, help="Show on stderr what the time is spent on.")
@click.option("--stdin-filename", metavar="NAME", help="Name of the file that stdin (the path -) holds.")
@configuration_options
def command(
    *,
    paths: tuple[str, ...],
    is_verified: bool,
    given: Given,
    output_file: Path | None,
    counts_only: bool,
    exit_zero: bool,
    is_fixed: bool,
    with_unsafe: bool,
    is_diff: bool,
    diff_from: str | None,
    is_profiled: bool,
    stdin_filename: str | None,
    color: ColorMode,
    **options: Any,
) -> None:
    """Check files and folders; the current folder if no path is given, stdin if it is `-`."""
    stdin = _read_stdin(paths, stdin_filename)
    profile = Profile() if is_profiled else None
    plan = make_plan(paths or (".",), stdin=stdin, profile=profile, **options)
    if not is_verified and given.names:
        raise Failure(f"{given.names[0]} goes with --verify")
    if is_verified and stdin is not None:
        raise Failure("--verify needs files, and cannot verify the path -")
    if is_profiled and (is_verified or is_fixed or is_diff):
        raise Failure("--profile is about a check alone, without --verify, --fix and --diff")
    if is_fixed and is_diff:
        raise Failure("--fix and --diff exclude each other")
    if is_diff:
        _refuse_with_diff("output_format", "counts_only")
    if with_unsafe and not (is_fixed or is_diff):
        raise Failure("--unsafe-fixes goes with --fix or --diff")
    if is_fixed and stdin is not None:
        raise Failure("--fix needs files, and cannot write to the path -")
    look: Callable[[], CheckResult] = partial(_fixable, plan, diff_from, with_unsafe=with_unsafe)
    check = look
    fails: Callable[[Finding], bool] = bool
    if is_verified:
        from vllm_lint.cli.verification import Verifier
        from vllm_lint.cli.verified_check import verified

        verifier = Verifier(given, plan.loaded, plan.settings.jobs)
        check, fails = lambda: verified(look(), verifier, plan.settings.base), verifier.fails
    if is_diff:
        status = _show_diff(plan, check, output_file, with_unsafe=with_unsafe)
        sys.exit(0 if exit_zero and status == EXIT_FINDINGS else status)
    report = Report(plan, output_file, color, counts_only=counts_only)
    result = _fixed(plan, check, with_unsafe=with_unsafe) if is_fixed else check()
    is_empty = not checked_files(result) and not result.findings
    with spent_on(profile, "stage", "write the report"):
        report.write(result, is_empty=is_empty)
    if profile is not None:
        for line in table(profile, peak_memory()):
            click.echo(line, err=True)
    if any(error.fails for error in result.errors):
        sys.exit(EXIT_ERROR)
    if is_empty and plan.settings.force_exclude and result.files:
        sys.exit(0)  # every path is excluded, as was asked for
    if is_empty:
        excluded = f", {len(result.files)} excluded" if result.files else ""
        click.echo(f"vllm-lint: nothing to check: no Python file under {', '.join(paths) or '.'}{excluded}", err=True)
        sys.exit(EXIT_NOTHING)
    sys.exit(EXIT_FINDINGS if any(map(fails, result.findings)) and not exit_zero else 0)


def _refuse_with_diff(*names: str) -> None:
    context = click.get_current_context()
    for option in context.command.params:
        if option.name in names and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE:
            raise Failure(f"{option.opts[0]} and --diff exclude each other")


def _show_diff(plan: Plan, check: Callable[[], CheckResult], output_file: Path | None, *, with_unsafe: bool) -> int:
    """Print a diff of all fixes, or write it to a file, and return the exit status: 1 if there are any."""
    result = check()
    found = rewrites(result, plan.settings.base, plan.settings.stdin, unsafe=with_unsafe)
    lines = (line for rewrite in found.files for line in rewrite.diff)
    if output_file is None:
        print_pieces(lines)
    else:
        write_pieces(lines, output_file)
    for error in found.errors:
        click.echo(f"vllm-lint: error: {error_line(error)}", err=True)
    _say_what_is_held_back(result, with_unsafe=with_unsafe)
    click.echo(f"vllm-lint: would apply {_counted(found.applied, len(found.files))}", err=True)
    return EXIT_ERROR if found.errors else EXIT_FINDINGS if found.files else 0


def _fixed(plan: Plan, check: Callable[[], CheckResult], *, with_unsafe: bool) -> CheckResult:
    """Apply fixes until there are none left, and return what the last check found."""
    applied: dict[str, int] = {}
    errors: dict[ToolError, None] = {}
    for _ in range(_MAX_PASSES):
        result = check()
        found = rewrites(result, plan.settings.base, unsafe=with_unsafe)
        written = write(found)
        errors.update(dict.fromkeys(found.errors))
        for path, count in written.items():
            applied[path] = applied.get(path, 0) + count
        if not written:
            break
    else:
        result = check()
    _say_what_is_held_back(result, with_unsafe=with_unsafe)
    click.echo(f"vllm-lint: applied {_counted(sum(applied.values()), len(applied))}", err=True)
    return replace(result, errors=(*result.errors, *errors))


def _fixable(plan: Plan, diff_from: str | None, *, with_unsafe: bool) -> CheckResult:
    """What a check finds, with the fixes that are worked out on demand, if unsafe ones are wanted."""
    result = checked(plan, diff_from)
    if not with_unsafe:
        return result
    from vllm_lint.cli.wrappers import with_wrappers

    return with_wrappers(plan, result)


def _say_what_is_held_back(result: CheckResult, *, with_unsafe: bool) -> None:
    """Name the fixes that were asked for and not applied, since a run speaks against them or none comes there."""
    for finding in result.findings:
        for fix in finding.fixes[:1]:
            if fix.proof is not None and not fix.may_be_applied(unsafe=True) and (with_unsafe or fix.safety == "safe"):
                place = f"{position(finding)}: {finding.code}: {fix.title}"
                click.echo(f"vllm-lint: not applied: {place}: {fix.proof}: {fix.reason}", err=True)


def _counted(fixes: int, files: int) -> str:
    return f"{fixes} {'fix' if fixes == 1 else 'fixes'} in {plural(files, 'file')}"


def _read_stdin(paths: tuple[str, ...], name: str | None) -> tuple[str, bytes] | None:
    if "-" not in paths:
        if name is not None:
            raise Failure("--stdin-filename goes with the path -")
        return None
    if len(paths) > 1:
        raise Failure("the path - cannot be combined with others")
    return name or "stdin.py", sys.stdin.buffer.read()


def checked(plan: Plan, diff_from: str | None = None) -> CheckResult:
    """Run the analysis and drop the findings that were not asked for."""
    base = plan.settings.base
    changes = Changes(diff_from, base) if diff_from is not None else None
    is_wanted = wanted(plan)
    try:
        result = engine.check(plan.settings, plan.rules)
    except FileNotFoundError as error:
        raise Failure(str(error)) from error
    kept = (f for f in result.findings if is_wanted(f) and (changes is None or changes.touch(f)))
    return replace(result, findings=tuple(kept))


def wanted(plan: Plan) -> Callable[[Finding], bool]:
    """Whether a finding is certain enough, and not to be ignored in its file.

    Raises:
        Failure: the configuration is wrong.
    """
    values, base = plan.loaded.values, plan.settings.base
    ignores = FileIgnores(
        values.per_file_ignores, plan.loaded.folders["per-file-ignores"], plan.loaded.origins["per-file-ignores"]
    )
    return lambda f: f.confidence.rank <= values.min_confidence.rank and not ignores.hides(f, base)
