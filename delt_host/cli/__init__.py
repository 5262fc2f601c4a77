"""The command line. One file a command; torch is imported inside commands only, so that help answers at once."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import ClassVar

import click

from delt_host import __version__
from delt_host.errors import InputError, RunError

HELP = frozenset({"-h", "--help", "--version"})
COMPLETING = "_DELT_HOST_COMPLETE"


class LazyGroup(click.Group):
    """Commands by name and one line of help, imported when they are run."""

    commands_at: ClassVar[dict[str, tuple[str, str]]] = {
        "run": ("delt_host.cli.run", "Distil a dataset with methods and baselines, and compare them."),
        "evaluate": ("delt_host.cli.evaluate", "Score the distilled sets of a run with other evaluators."),
        "export": ("delt_host.cli.export", "Write a distilled set as a folder: images, soft labels, a card."),
        "import": ("delt_host.cli.import_set", "Read a published distilled set, to be evaluated here."),
        "squeeze": ("delt_host.cli.squeeze", "Train teachers and write each to a file."),
        "import-teacher": ("delt_host.cli.import_teacher", "Make a teacher from a published checkpoint."),
        "push": ("delt_host.cli.push", "Upload an exported set to a dataset hub."),
        "reproduce": ("delt_host.cli.reproduce", "Measure the DELT paper's tables beside the published figures."),
        "results": ("delt_host.cli.results", "Print and merge the cells that reproduce has finished."),
        "plugins": ("delt_host.cli.plugins", "List installed plugins and what they provide."),
        "report": (
            "delt_host.cli.report",
            "Print the tables of runs as Markdown, LaTeX or CSV, or all as an HTML page.",
        ),
        "runs": ("delt_host.cli.runs", "List past runs and their best rows."),
        "doctor": ("delt_host.cli.doctor", "Say what machine, versions and plugins a run would see."),
        "store": ("delt_host.cli.store", "List, verify and prune what finished stages left."),
        "completion": ("delt_host.cli.completion", "Print what makes a shell complete commands and names."),
        "show": ("delt_host.cli.show", "Print the options of a method or component."),
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands_at)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.commands_at:
            return None
        import importlib

        module = importlib.import_module(self.commands_at[cmd_name][0])
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        import difflib

        if args and args[0] not in self.commands_at and not ctx.resilient_parsing:  # a shell completes what is there
            near = difflib.get_close_matches(args[0], self.commands_at, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"No such command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.commands_at.items()])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="delt-host")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Dataset distillation methods as plugins, compared fairly.

    \b
    delt-host run --method delt --baseline cda
    delt-host run --method delt --dataset folder:PATH --ipc 10
    delt-host run experiment.toml
    """


def main() -> None:
    """Run the command line; exit code 2 for bad input, 1 for a failure, 130 when interrupted."""
    from delt_host import traces
    from delt_host.cli import ending, terminal

    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    from delt_host.cli.interrupt import interruptible

    plain = COMPLETING in os.environ or not HELP.isdisjoint(arguments)
    if not plain:
        terminal.take()
        traces.repair = terminal.repaired
    else:  # no plugin is imported, and click writes to standard output itself
        terminal.lenient()
    ending.watch(debug)
    code = 0
    try:
        with interruptible():
            code = cli.main([a for a in arguments if a != "--debug"], prog_name="delt-host", standalone_mode=False) or 0
        if plain and sys.stdout:
            sys.stdout.flush()
    except BaseException as error:
        ended = _of_help(error) if plain else None
        code = _said(error, debug) if ended is None else ended
    ending.end(code)


def _of_help(error: BaseException) -> int | None:
    """The exit code where help or completion ended early, or its reader has seen enough; None for what is to be said."""
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif isinstance(error, OSError):
        if not isinstance(error, BrokenPipeError):
            click.echo(f"delt-host: standard output cannot be written ({error.strerror})", err=True)
        code = 141 if isinstance(error, BrokenPipeError) else 1
    else:
        return None
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what could not be written is not tried again at exit
    return code


def _said(error: BaseException, debug: bool) -> int:
    """Say what went wrong, and tell the exit code; in a poor sentence where a good one needs what the process lacks."""
    try:
        return _told(error, debug)
    except Exception as another:
        poor = f"delt-host: {type(error).__name__}, of which more cannot be said ({type(another).__name__})\n"
        with suppress(OSError):
            os.write(2, poor.encode("ascii", "backslashreplace"))
        return 1


def _told(error: BaseException, debug: bool) -> int:
    from delt_host import traces
    from delt_host.cli import terminal

    if isinstance(error, click.Abort | KeyboardInterrupt):
        from delt_host.cli.interrupt import code_of

        terminal.complain("delt-host: interrupted; every finished stage is kept, the same command goes on from there")
        return code_of(error)
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if debug and not traces.shown:
        import traceback

        terminal.complain("".join(traceback.format_exception(error)))
    if isinstance(error, InputError | RunError):
        terminal.complain(f"delt-host: {error}")
        return 2 if isinstance(error, InputError) else 1
    # The last line of defence: a sentence, not a traceback.
    whose = " (this is a defect; --debug shows where)" if traces.ours(error) else "; --debug shows where"
    terminal.complain(f"delt-host: {traces.told(error)}{whose}")
    return 1
