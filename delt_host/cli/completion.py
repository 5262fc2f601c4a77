"""The names that a shell completes, or files: ``./mine.py:Mine`` stands for a name too.

Those of plugins are read from their texts, where these have plain dicts. Any other plugin works as well; its names are not
completed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from delt_host.basics.version import GROUP, NOT
from delt_host.cli.commands import found
from delt_host.cli.sources import KINDS, defined, keys, provided
from delt_host.experiment.words import WORDS
from delt_host.plugins.words import plural

_TYPED = re.compile(r"[\w.:+/@,=-]+")
"""Names that mean nothing to a shell but themselves: it takes what is completed as if it had been typed."""


class Installed(click.ParamType):
    """What is installed by its name, of one of these kinds: a kind of component, method, dataset, model, plugin,
    distribution, command, a kind itself, or a thing of any kind.

    `shown` stands for it in help.
    """

    def __init__(self, *kinds: str, shown: str = "NAME") -> None:
        self.kinds, self.name, self.files = kinds, shown, not {"plugin", "distribution"}.issuperset(kinds)

    def get_metavar(self, *_: Any, **__: Any) -> str:
        return self.name

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        words = ctx.params.get("plugins") or ()
        blocked = {word.removeprefix(NOT) for word in words if word.startswith(NOT)}
        prefix = NOT if self.kinds == ("plugin",) and incomplete.startswith(NOT) else ""
        there = {prefix + name for kind in self.kinds for name in known(kind, blocked) if _TYPED.fullmatch(name)}
        items = [CompletionItem(name) for name in sorted(there) if name.startswith(incomplete)]
        if not self.files or items:
            return items
        path, colon, begun = incomplete.rpartition(":")
        if colon and path.endswith(".py"):
            return [CompletionItem(f"{path}:{name}") for name in defined(Path(path)) if name.startswith(begun)]
        return [CompletionItem(incomplete, type="file")]


def known(kind: str, blocked: Collection[str] = ()) -> Iterator[str]:
    """The installed names of a kind, without those of blocked plugins."""
    points = entry_points(group=GROUP)
    if kind == "kind":
        yield from (plural(kind).replace(" ", "-") for kind in keys(*KINDS))
    elif kind == "thing":
        yield from (name for each in keys(*KINDS) for name in known(each, blocked))
    elif kind in ("control", "budget", "device", "precision"):
        yield from (word.name for word in WORDS if word.kind == kind)
    elif kind == "command":
        yield from found()
    elif kind == "plugin":
        yield from points.names
    elif kind == "distribution":
        yield from (point.dist.name for point in points if point.dist)
    else:
        yield from provided(kind, blocked)
