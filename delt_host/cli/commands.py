"""Which commands there are: the host's `run`, and those that plugins name in the entry-point group ``delt_host.commands``.

They are listed by their names and the first sentences of their docstrings, and are imported when they are run. Results are
written by ``terminal.say``; what a command prints goes to standard error, as of any plugin.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click
from click.shell_completion import CompletionItem

from delt_host.basics.errors import NONE_OF_OURS, InputError, unknown
from delt_host.basics.traces import told
from delt_host.cli.sources import first_sentence, functions

COMMANDS_GROUP = "delt_host.commands"
WORDS = "delt_host.words"
"""The key of what was typed, in a click context's `meta`."""
DISTRIBUTION, RUN = "delt-host", "delt_host.cli.run"


@dataclass(frozen=True)
class Command:
    """A command that has not been imported."""

    name: str
    module: str
    attribute: str
    source: str
    """The distribution it comes from, and its version."""
    others: list[Command] = field(default_factory=list)
    """Of the same name, from other plugins."""

    @property
    def about(self) -> str:
        """What it does, in a sentence, or where it comes from if that cannot be read."""
        found = functions(self.module).get(self.attribute)
        return (first_sentence(found) if found else "") or f"({self.source})"

    def load(self) -> click.Command:
        """Import it. InputError where that fails, where it is no command, and where another one has its name."""
        if self.others:
            of = " and ".join(f"{each.source} ({each.module})" for each in (self, *self.others))
            raise InputError(f"several provide the command {self.name!r}: {of}; uninstall all but one")
        whose = f"command {self.name} of {self.source}"
        try:
            with contextlib.redirect_stdout(sys.stderr):  # while help is asked for, nobody has taken standard output
                found = getattr(importlib.import_module(self.module), self.attribute)
        except (Exception, SystemExit) as error:
            raise InputError(f"{whose} cannot be loaded: {told(error, [self.module])}") from error
        if not isinstance(found, click.Command):
            raise InputError(f"{whose}: {self.module}:{self.attribute} is no click command")
        return found


@functools.cache
def found() -> dict[str, Command]:
    """By name, the host's own first."""
    commands = {"run": Command("run", RUN, "command", DISTRIBUTION)}
    for point in sorted(set(entry_points(group=COMMANDS_GROUP)), key=lambda point: (point.name, point.value)):
        command = Command(point.name, point.module, point.attr, _source(point))
        if (there := commands.setdefault(point.name, command)) is not command:
            there.others.append(command)
    return commands


def _source(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "?"


class Commands(click.Group):
    """All of them, of which none is imported but the one that is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(found())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        there = found().get(cmd_name)
        try:
            return there.load() if there else None
        except InputError:
            if ctx.resilient_parsing:  # a shell completes what is there
                return None
            raise

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[WORDS] = list(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.NoSuchOption as error:
            from delt_host.cli import hints

            raise hints.of_option(error, ctx.meta[WORDS]) from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in found() and not ctx.resilient_parsing:
            ours = any(
                each.source.partition(" ")[0] == DISTRIBUTION and each.module != RUN for each in found().values()
            )
            from delt_host.cli import hints

            said = hints.of_command(args[0], found())
            raise click.UsageError(
                f"{said or unknown('command', args[0], found())}{'' if ours else f'; {NONE_OF_OURS}'}", ctx
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.about) for name, command in found().items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        there = [CompletionItem(name, help=each.about) for name, each in found().items() if name.startswith(incomplete)]
        return there + click.Command.shell_complete(self, ctx, incomplete)
