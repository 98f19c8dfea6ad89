"""`vllm-lint cache`."""

from __future__ import annotations

from pathlib import Path

import click

from vllm_lint.analyzer.cache import clean
from vllm_lint.cli.configuration import load
from vllm_lint.cli.errors import Failure


@click.group("cache")
@click.option("--cache-dir", type=click.Path(), help="Folder of the cache.")
@click.option("--config", type=click.Path(path_type=Path), help="Configuration file to use.")
@click.pass_context
def command(ctx: click.Context, *, cache_dir: str | None, config: Path | None) -> None:
    """Show where the cache is, or empty it."""
    ctx.obj = load(Path.cwd(), {"cache-dir": cache_dir}, file=config).cache_folder


@command.command("dir")
@click.pass_obj
def show_folder(folder: Path) -> None:
    """Print the folder of the cache that a check of the current folder uses."""
    click.echo(folder)


@command.command("clean")
@click.pass_obj
def clean_folder(folder: Path) -> None:
    """Delete the cache that a check of the current folder uses."""
    try:
        was_there = clean(folder)
    except OSError as error:
        raise Failure(f"cannot delete the cache in {folder}: {error.strerror}") from error
    click.echo(f"deleted the cache in {folder}" if was_there else f"there is no cache in {folder}")
