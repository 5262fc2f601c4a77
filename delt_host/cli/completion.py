"""The names that a shell completes.

Names are read from the texts of plugins: they are the keys of the dict that a hook returns, where it returns a plain one. Any
other plugin works as well; its names are not completed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from importlib.metadata import entry_points
from typing import Any

import click
from click.shell_completion import CompletionItem

from delt_host.basics.version import GROUP, NOT
from delt_host.cli.sources import functions

OWN = "delt_host.plugins.own"

_TYPED = re.compile(r"[\w.:+/@,=-]+")
"""Names that mean nothing to a shell but themselves: it takes what is completed as if it had been typed."""


class Installed(click.ParamType):
    """What is installed by its name, of one of these kinds: a kind of component, method, dataset, model, plugin, distribution.

    `shown` stands for it in help; with `files`, it may be a file too.
    """

    def __init__(self, *kinds: str, shown: str = "NAME", files: bool = False) -> None:
        self.kinds, self.name, self.files = kinds, shown, files

    def get_metavar(self, *_: Any, **__: Any) -> str:
        return self.name

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        words = ctx.params.get("plugins") or ()
        blocked = {word.removeprefix(NOT) for word in words if word.startswith(NOT)}
        prefix = NOT if self.kinds == ("plugin",) and incomplete.startswith(NOT) else ""
        there = {prefix + name for kind in self.kinds for name in known(kind, blocked) if _TYPED.fullmatch(name)}
        found = [CompletionItem(name) for name in sorted(there) if name.startswith(incomplete)]
        return found or [CompletionItem(incomplete, type="file")] * self.files


def known(kind: str, blocked: Collection[str] = ()) -> Iterator[str]:
    """The installed names of a kind, without those of blocked plugins."""
    points = entry_points(group=GROUP)
    if kind == "plugin":
        yield from points.names
    elif kind == "distribution":
        yield from (point.dist.name for point in points if point.dist)
    else:
        for module in (OWN, *(point.module for point in points if point.name not in blocked)):
            hook = functions(module).get(f"delt_{kind}s")
            given = getattr(hook.body[-1], "value", None) if hook else None
            for key in given.keys if isinstance(given, ast.Dict) else ():
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    yield key.value
