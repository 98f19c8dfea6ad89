"""The `vllm-lint` program: a click group whose commands are imported only when they are used."""

from __future__ import annotations

import gc
import importlib
import os
from typing import Any

import click
from click.shell_completion import CompletionItem

from vllm_lint.cli.errors import EXIT_INTERRUPTED, Failure, leave_closed_pipe

#: Command name to its module (which holds a click command named `command`) and the line shown by --help.
COMMANDS = {
    "check": ("vllm_lint.cli.check", "Check files and folders (the default command)."),
    "verify": ("vllm_lint.cli.verify", "Capture models as vLLM does, and report what is wrong at other sizes."),
    "trace": ("vllm_lint.cli.trace", "Report what the TORCH_TRACE logs of a run show."),
    "explain": ("vllm_lint.cli.explain", "Show the documentation of one rule."),
    "suggest": ("vllm_lint.cli.suggest", "Show what can be done about the findings on a line, and what it costs."),
    "rules": ("vllm_lint.cli.rules", "List all rules."),
    "debug": ("vllm_lint.cli.debug", "Show the merged configuration, the compiled roots and what they reach."),
    "cache": ("vllm_lint.cli.cache", "Show where the cache is, or empty it."),
}

# \b keeps click from joining the lines that follow it.
EPILOG = """
`vllm-lint PATHS` is `vllm-lint check PATHS`. A path that has the name of a command needs `./` in front.

\b
Exit status:
  0    no findings
  1    findings
  2    usage, configuration or internal error
  3    nothing to check
  130  interrupted

\b
Shell completion, here for bash; zsh_source and fish_source are for zsh and fish:
  eval "$(_VLLM_LINT_COMPLETE=bash_source vllm-lint)"
"""


class App(click.Group):
    """Imports commands lazily, takes `check` as the default, and turns every way to fail into one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """All commands, the default one first."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command's module."""
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `check` in front unless a command or an option of the group comes first."""
        own_options = {name for param in self.get_params(ctx) for name in param.opts}
        if args and args[0] not in COMMANDS and args[0] not in own_options:
            args = ["check", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands, and files for the default command."""
        return [*super().shell_complete(ctx, incomplete), CompletionItem(incomplete, type="file")]

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except Failure:
            raise
        except click.ClickException as error:
            # Click prints usage, a hint and the message for a wrong option; one line says it as well.
            text = " ".join(error.format_message().split())
            raise Failure(text[:1].lower() + text[1:]) from error
        except KeyboardInterrupt:
            click.echo("vllm-lint: interrupted", err=True)
            ctx.exit(EXIT_INTERRUPTED)
        except BrokenPipeError:
            leave_closed_pipe()
            ctx.exit(0)
        except (click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if ctx.meta.get("vllm_lint.verbose") or os.environ.get("VLLM_LINT_TRACEBACK"):
                import traceback

                traceback.print_exc()
            raise Failure(
                f"internal error: {type(error).__name__}: {' '.join(str(error).split())} (please report it to the "
                "project's issue tracker with the output of the same command under VLLM_LINT_TRACEBACK=1)"
            ) from error


@click.group(
    cls=App,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="vllm-lint", prog_name="vllm-lint", message="%(prog)s %(version)s")
def main() -> None:
    """Find model code that breaks vLLM's torch.compile contract."""


def run() -> None:
    """What the installed script calls: the program, in a process of its own."""
    try:
        main(prog_name="vllm-lint")
    finally:
        gc.freeze()  # the interpreter would search millions of objects for cycles before it ends
