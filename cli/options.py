"""Options that several commands share, and the settings they make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from vllm_lint.analyzer.engine import Settings
from vllm_lint.analyzer.findings import Confidence
from vllm_lint.analyzer.profile import Profile
from vllm_lint.analyzer.rule import Rule
from vllm_lint.cli.configuration import Loaded, load
from vllm_lint.cli.errors import Failure
from vllm_lint.cli.selection import choose, compile_pattern
from vllm_lint.rules.catalogue import RULES

Command = TypeVar("Command", bound=Callable[..., Any])


def configuration_options(command: Command) -> Command:
    """Add the options that say what to analyse and how."""
    options = [
        click.option("--select", multiple=True, callback=_words, help="Rules to run: codes, names or prefixes."),
        click.option("--ignore", multiple=True, callback=_words, help="Rules not to run."),
        click.option("--preview", is_flag=True, help="Run rules in preview as well."),
        click.option("--exclude", multiple=True, metavar="PATTERN", help="gitignore-style pattern not to check."),
        click.option("--force-exclude", is_flag=True, help="Exclude files even if they are named themselves."),
        click.option(
            "--min-confidence",
            type=click.Choice([level.value for level in Confidence]),
            help="Report only findings at least this certain.",
        ),
        click.option("--config", type=click.Path(path_type=Path), help="Configuration file to use."),
        click.option("--isolated", is_flag=True, help="Use no configuration file."),
        click.option("--cache-dir", type=click.Path(), help="Folder of the cache."),
        click.option("--no-cache", is_flag=True, help="Neither read nor write a cache."),
        click.option("--jobs", type=click.IntRange(min=0), default=0, help="Worker processes; 0 chooses."),
        click.option(
            "--color",
            type=click.Choice(["auto", "always", "never"]),
            default="auto",
            help="Colour; auto honours NO_COLOR, FORCE_COLOR and whether the output is a terminal.",
        ),
        click.option("--verbose", is_flag=True, expose_value=False, callback=_be_verbose, help="Show tracebacks."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _words(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> list[str]:  # noqa: ARG001  click's
    """Take commas as well as repeated options."""
    return [word.strip() for value in values for word in value.split(",") if word.strip()]


def _be_verbose(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: ARG001  click's
    ctx.meta["vllm_lint.verbose"] = value


@dataclass(frozen=True)
class Plan:
    """What to run."""

    settings: Settings
    rules: tuple[type[Rule], ...]
    asleep: tuple[type[Rule], ...]
    """Rules in preview that were selected and do not run."""
    loaded: Loaded

    @property
    def deselected(self) -> set[str]:
        """Codes of rules that were not selected; those in preview may have been."""
        return {rule.meta.code for rule in RULES} - {rule.meta.code for rule in (*self.rules, *self.asleep)}


def make_plan(
    paths: Sequence[str],
    *,
    select: Sequence[str],
    ignore: Sequence[str],
    preview: bool,
    exclude: Sequence[str],
    force_exclude: bool,
    min_confidence: str | None,
    config: Path | None,
    isolated: bool,
    cache_dir: str | None,
    no_cache: bool,
    jobs: int,
    output_format: str | None = None,
    stdin: tuple[str, bytes] | None = None,
    profile: Profile | None = None,
) -> Plan:
    """Merge options and configuration into what the engine takes.

    Raises:
        Failure: an option, a path or the configuration is wrong.
    """
    if config is not None and isolated:
        raise Failure("--config and --isolated exclude each other")
    overrides = {
        "select": list(select),
        "ignore": list(ignore),
        "preview": preview or None,
        "exclude": list(exclude),
        "force-exclude": force_exclude or None,
        "min-confidence": min_confidence,
        "cache-dir": cache_dir,
        "output-format": output_format,
    }
    first = Path(stdin[0] if stdin else paths[0])
    start = first if first.is_dir() else first.parent
    loaded = load(start, overrides, file=config, isolated=isolated)
    values = loaded.values
    for pattern in values.exclude:
        compile_pattern(pattern, loaded.origins["exclude"], "exclude")
    settings = Settings(
        paths=() if stdin else tuple(map(Path, paths)),
        base=Path.cwd(),
        exclude=values.exclude,
        exclude_base=loaded.folders["exclude"],
        force_exclude=values.force_exclude,
        source_roots=tuple(loaded.path("source-roots", root) for root in values.source_roots),
        search_installed=values.search_installed,
        roots=values.roots,
        stdin=stdin,
        cache_dir=None if no_cache else loaded.cache_folder,
        jobs=jobs,
        profile=profile,
    )
    # Opt-in, and selected here rather than by its code.
    reason = ("suppression-without-reason",) if values.require_suppression_reason else ()
    chosen = choose((*values.select, *reason), values.ignore, loaded.origins, preview=values.preview)
    for note in chosen.notes:
        click.echo(f"vllm-lint: {note}", err=True)
    return Plan(settings, chosen.rules, chosen.asleep, loaded)
