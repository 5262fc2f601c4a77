"""``delt-host list`` and ``delt-host show``: every word that can be typed, and what each stands for."""

from __future__ import annotations

import json

import click

from delt_host import InputError
from delt_host.workshop import Installed, options, terminal


@click.command("list")
@click.argument("kind", required=False, type=Installed("kind", shown="[KIND]"))
@options.plugins
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def names(kind: str | None, plugins: tuple[str, ...], prefer: tuple[str, ...], as_json: bool) -> None:
    """List every name that can be typed, by kind.

    KIND is methods, models, datasets, matchers, protocols, regimes or another that the list without one has: its names then
    come with a line each. All networks of torchvision and timm are listed by these two words. `delt-host show NAME` tells
    more of one.
    """
    from delt_plugins.desk import printed
    from delt_plugins.desk.meaning import LIBRARIES, Meaning

    meaning = Meaning(plugins, prefer)
    if kind is None:
        printed.kinds(meaning.kinds(), as_json)
    elif kind in LIBRARIES:
        there = meaning.library(kind)
        terminal.say(json.dumps(there, indent=1) if as_json else "\n".join(there))
    else:
        printed.records([meaning.kind(kind)], as_json)


@click.command("show")
@click.argument(
    "words", nargs=-1, metavar="[KIND] [NAME]", type=Installed("thing", "kind", "command", "plugin", shown="NAME")
)
@options.plugins
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def command(words: tuple[str, ...], plugins: tuple[str, ...], prefer: tuple[str, ...], as_json: bool) -> None:
    """Print what a name stands for, and its options.

    NAME is whatever can be typed: a method, component, network, dataset, protocol, regime, engine, command, plugin or the
    like, ./FILE.py:NAME, or a file for all that is in it; a kind of these, or a stage as in --set STAGE.OPTION=VALUE; one
    option, as in protocol.epochs. KIND before it tells two of one name apart. Without a name, all there are.
    """
    from delt_plugins.desk import printed
    from delt_plugins.desk.meaning import Meaning

    meaning = Meaning(plugins, prefer)
    match words:
        case ():
            printed.kinds(meaning.kinds(), as_json)
        case (name,):
            printed.records(meaning.of(name), as_json)
        case (kind, name):
            printed.records(meaning.of(name, meaning.kind(kind)["name"]), as_json)
        case _:
            raise InputError(f"show takes a name, or a kind and a name, not {len(words)} words")
