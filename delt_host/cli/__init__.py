"""The command line: `run`, and whatever commands plugins bring.

torch is imported inside commands only, so that help answers at once.
"""

from __future__ import annotations

import os
import sys

import click

from delt_host.basics.version import VERSION
from delt_host.cli.commands import Commands

HELP = frozenset({"-h", "--help", "--version"})
COMPLETING = "_DELT_HOST_COMPLETE"


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="delt-host")
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
    from delt_host.basics import traces
    from delt_host.cli import ending
    from delt_host.cli.interrupt import interruptible
    from delt_host.display import terminal

    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    plain = COMPLETING in os.environ or not HELP.isdisjoint(arguments)
    if not plain:
        terminal.take()
        traces.repair = terminal.repaired
    else:  # click writes to standard output itself
        terminal.lenient()
    ending.watch(debug)
    try:
        with interruptible():
            code = cli.main([a for a in arguments if a != "--debug"], prog_name="delt-host", standalone_mode=False) or 0
        if plain and sys.stdout:
            sys.stdout.flush()
    except BaseException as error:
        ended = ending.of_help(error) if plain else None
        code = ending.said(error, debug) if ended is None else ended
    ending.end(code)
