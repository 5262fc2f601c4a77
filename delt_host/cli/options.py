"""Options that several commands have, with one meaning and one text: on what they compute, and where they keep it."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from delt_host.basics.errors import InputError, writing_to
from delt_host.basics.folder_names import shown_path
from delt_host.cli import hints
from delt_host.cli.completion import Installed, known
from delt_host.cli.groups import COMPARED, COMPUTED, DATA, OUTPUT, PARTS, SCORED
from delt_host.cli.groups import Command as Command
from delt_host.cli.groups import Group as Group
from delt_host.display import terminal
from delt_host.plugins.words import KIND_OF_STAGE

if TYPE_CHECKING:
    from delt_host.plugins.registry import Registry

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class Place(click.Path):
    """A path, absolute from the start: a component may change the working folder."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        return Path(os.fsdecode(super().convert(value, param, ctx))).absolute()


def check_new(path: Path, ways: str = "--out") -> None:
    """InputError where there is something already, or no file can be made: before hours of work, and not after them."""
    if os.path.lexists(path):
        raise InputError(f"{shown_path(path)} exists already; name another file with {ways}")
    from delt_host.store import files

    with writing_to(path):
        files.make_folders(path.parent)
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


class Assignment(click.ParamType):
    """``STAGE.OPTION=VALUE`` for options of these stages; told at once where the stage is left out."""

    def __init__(self, stages: Sequence[str]) -> None:
        self.stages = stages
        self.name = f"{'STAGE' if len(stages) > 1 else stages[0]}.OPTION=VALUE"

    def get_metavar(self, *_: Any, **__: Any) -> str:
        return self.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        name, equals, to = str(value).partition("=")
        if equals and "." not in name and (way := hints.as_set(name.strip(), to, self.stages)):
            raise InputError(f"--set {value} names no stage: {way}")
        return str(value)


class Recipe(Place):
    """A recipe's file."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = super().convert(value, param, ctx)
        if not os.path.lexists(path) and str(value) in known("method"):
            raise InputError(f"{value} is a method and no recipe's file: --method {value}")
        return path


def regime(about: str) -> Callable[[Decorated], Decorated]:
    """`--regime`, which may be given several times."""
    return SCORED.option(
        "--regime",
        multiple=True,
        type=Installed("regime", "method", shown="NAME|METHOD|RELABELER:PROTOCOL"),
        help=f"{about}; a method's name is its published one; …,protocol.OPTION=VALUE changes one.",
    )


def sets(about: str, *stages: str) -> Callable[[Decorated], Decorated]:
    """`--set`, which may be given several times; of all stages unless some are named."""
    return PARTS.option("--set", "sets", multiple=True, type=Assignment(stages or tuple(KIND_OF_STAGE)), help=about)


def out(about: str) -> Callable[[Decorated], Decorated]:
    return OUTPUT.option("--out", type=Place(), help=about)


def quiet(left: str) -> Callable[[Decorated], Decorated]:
    """`--quiet`, and what is written all the same."""
    return OUTPUT.option("--quiet", "-q", is_flag=True, help=f"No progress; only {left}.")


as_json = OUTPUT.option("--json", "as_json", is_flag=True, help="The results on standard output, for programs.")
dataset = DATA.option(
    "--dataset",
    type=Installed("dataset", shown="NAME[:PATH]"),
    help="digits (default), folder:PATH, cifar10, tiny-imagenet, …",
)
validate = DATA.option(
    "--validate",
    type=float,
    metavar="SHARE",
    help="Hold out this share of the training images (0.2), and score on them; test images are not looked at.",
)
ceiling = COMPARED.option("--ceiling", is_flag=True, help="A row for students trained on the whole real set.")
ceiling_epochs = COMPARED.option("--ceiling-epochs", type=int, metavar="N", help="Epochs of that row (default 20).")
device = COMPUTED.option("--device", metavar="NAME", help="auto (default), cpu, cuda, cuda:N, mps, xpu.")
precision = COMPUTED.option("--precision", metavar="NAME", help="auto (default), fp32, bf16.")
compiled = COMPUTED.option(
    "--compile",
    is_flag=True,
    help="ConvNets with instance norm on the CPU by an operator compiled here, under keys of its own.",
)
students = SCORED.option(
    "--students",
    type=int,
    metavar="N",
    help="Students trained on each seed's set (default 1); a row's score is their mean.",
)
teacher_seeds = SCORED.option(
    "--teacher-seeds",
    type=int,
    metavar="N",
    help="Squeeze each teacher under so many seeds (default 1); sets take turns.",
)
resolve = SCORED.option(
    "--resolve",
    type=float,
    metavar="POINTS",
    help="As many seeds and students as tell differences from the control to ± POINTS, by a pilot of 3 sets of 2 students.",
)
budget = SCORED.option(
    "--budget",
    metavar="TIME",
    help="2h, 1h30m: all that each run may take; without --resolve, as many seeds as fit.",
)
stack = COMPUTED.option(
    "--stack",
    type=int,
    metavar="N",
    help="Groups in one forward pass of recovery (default: 500 images up to 32 px, else 1 group).",
)
workers = COMPUTED.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    metavar="N",
    help="Processes that do pieces side by side on this machine, each with its share of the threads.",
)
threads = COMPUTED.option(
    "--threads",
    type=click.IntRange(min=1),
    metavar="N",
    help="Processor threads of each piece of work (default: the recipe's, or all).",
)
strict = COMPUTED.option(
    "--strict", is_flag=True, help="Use no result made with another number of threads or versions of libraries."
)
store = COMPUTED.option("--store", type=click.Path(path_type=Path), help="Where finished stages are kept.")


def computing(command: Decorated) -> Decorated:
    """What every command has that computes: on what, with which plugins, and where finished stages are kept."""
    for option in (plugins, store, strict, threads, compiled, precision, device):
        command = option(command)
    return command


def plugins(command: Decorated) -> Decorated:
    """`-p` and `--prefer`, of every command that loads plugins; its parameters are called `plugins` and `prefer`."""
    prefer = COMPUTED.option(
        "--prefer",
        multiple=True,
        type=Installed("distribution", shown="DISTRIBUTION"),
        help="Whose it is where several plugins provide one name.",
    )
    chosen = COMPUTED.option(
        "-p",
        "plugins",
        multiple=True,
        type=Installed("plugin", shown="[no:]NAME"),
        help="Load a plugin; no:NAME leaves it out.",
    )
    return chosen(prefer(command))


def loaded(plugins: Iterable[str], prefer: Iterable[str], tell: Callable[[str], None] | None = None) -> Registry:
    """The installed plugins, chosen so. `tell` is told of what is broken or clashes, on standard error by default; with
    ``--debug`` the tracebacks of plugins that fail to import come before."""
    from delt_host.plugins.registry import load_registry

    registry = load_registry(plugins, prefer)
    for broken in (plugin for plugin in registry.plugins if plugin.trace and "--debug" in sys.argv):
        terminal.complain(broken.trace)
    for note in registry.notes():
        (tell or _note)(note)
    return registry


def _note(text: str) -> None:
    terminal.complain(f"note: {text}")
