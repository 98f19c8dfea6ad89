"""Options of `verify` that `check --verify` has too. Imports nothing that a check without it could do without."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

import click
from click.core import ParameterSource

from vllm_lint.cli.configuration import FailOn
from vllm_lint.runtime_verifier.jobs import Device
from vllm_lint.runtime_verifier.outcomes import Backend, Mode

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Given:
    """The options of the command line, None where an option was not used."""

    settings: Mapping[str, Any]
    trace_dir: Path | None
    html: Path | None
    names: tuple[str, ...]
    """Options that were used, as they are typed."""


def verification_options(command: Command) -> Command:
    """Add the options that say how to verify; the command gets them as `given`."""
    options = [
        click.option("--python", metavar="PATH", help="Interpreter that has torch and vLLM."),
        click.option("--device", type=click.Choice(get_args(Device)), help="Where targets run [auto]."),
        click.option("--timeout", type=click.FloatRange(min=0.1), help="Seconds for one target [120]."),
        click.option("--memory", type=click.FloatRange(min=0.1), help="GiB for one target [8]."),
        click.option("--modes", callback=_list_of(Mode), metavar="LIST", help=f"Of {_names(Mode)} [backed]."),
        click.option("--replay", callback=_list_of(Backend), metavar="LIST", help=f"Of {_names(Backend)} [eager]."),
        click.option(
            "--fail-on", type=click.Choice(get_args(FailOn)), help="Which findings make the exit status 1 [likely]."
        ),
        click.option("--trace-dir", type=click.Path(path_type=Path), metavar="DIR", help="Keep the traces there."),
        click.option("--html", type=click.Path(path_type=Path), metavar="OUT", help="Have tlparse write pages there."),
    ]
    names = ("python", "device", "timeout", "memory", "modes", "replay", "fail_on")

    @functools.wraps(command)
    def wrapped(*, trace_dir: Path | None, html: Path | None, **rest: Any) -> Any:
        settings = {name.replace("_", "-"): rest.pop(name) for name in names}
        source = click.get_current_context().get_parameter_source
        used = [n for n in (*names, "trace_dir", "html") if source(n) is ParameterSource.COMMANDLINE]
        typed = tuple(f"--{name.replace('_', '-')}" for name in used)
        return command(given=Given(settings, trace_dir, html, typed), **rest)

    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[return-value]


def _names(kind: Any) -> str:
    return ", ".join(get_args(kind))


def _list_of(kind: Any) -> Callable[[click.Context, click.Parameter, str | None], tuple[str, ...] | None]:
    def parse(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[str, ...] | None:
        words = tuple(word.strip() for word in value.split(",")) if value else None
        for word in words or ():
            if word not in get_args(kind):
                raise click.BadParameter(f"{word!r} is not one of {_names(kind)}", ctx, param)
        return words

    return parse
