"""``delt-host completion SHELL``, and the names that a shell completes.

Plugins import torch, which takes seconds, so their sources are read and not run: names are the keys of the dict that a hook
returns, where it returns a plain one. Any other plugin works as well; its names are not completed.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Callable, Collection, Iterator
from importlib.metadata import entry_points
from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

from delt_host.cli import terminal

STAGES = ("initializer", "scheduler", "matcher", "relabeler", "evaluator")  # components.STAGES is behind pydantic
OWN = {
    "dataset": ("data/__init__.py", "DATASETS"),
    "form": ("form.py", "FORMS"),
    "model": ("models/__init__.py", "MODELS"),
    "protocol": ("protocols.py", "PROTOCOLS"),
}
"""The host's own tables of names: the file and the variable."""

_TYPED = re.compile(r"[\w.:+/@,=-]+")
"""Names that mean nothing to a shell but themselves: it takes what is completed as if it had been typed."""

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print what makes SHELL complete commands, options and the names of methods and components.

    \b
    bash: eval "$(delt-host completion bash)"       in ~/.bashrc
    zsh:  eval "$(delt-host completion zsh)"        in ~/.zshrc, after compinit
    fish: delt-host completion fish | source        in ~/.config/fish/config.fish
    """
    from delt_host.cli import cli

    found = get_completion_class(shell)
    assert found is not None
    terminal.say(found(cli, {}, "delt-host", "_DELT_HOST_COMPLETE").source())


def names(*kinds: str, files: bool = False) -> Completer:
    """Complete the names of these kinds; with `files`, a file where no name fits."""

    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        words = ctx.params.get("plugins") or ()
        blocked = {word.removeprefix("no:") for word in words if word.startswith("no:")}
        incomplete, prefix = _without_prefix(incomplete) if kinds == ("plugin",) else (incomplete, "")
        there = {name for kind in kinds for name in known(kind, blocked) if _TYPED.fullmatch(name)}
        found = [prefix + name for name in sorted(there) if name.startswith(incomplete)]
        return [CompletionItem(name) for name in found] or [CompletionItem(incomplete, type="file")] * files

    return complete


def distributions(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the distributions that have plugins."""
    found = {point.dist.name for point in entry_points(group="delt_host") if point.dist}
    return [CompletionItem(name) for name in sorted(found) if name.startswith(incomplete)]


def known(kind: str, blocked: Collection[str] = ()) -> Iterator[str]:
    """The installed names of a kind: method, a stage, regime, dataset, model, protocol, or plugin; without those of blocked
    plugins."""
    if kind in OWN:
        file, table = OWN[kind]
        yield from _keys(Path(__file__).parents[1] / file, table)
    for point in entry_points(group="delt_host"):
        if kind == "plugin":
            yield point.name
        elif point.name not in blocked and (source := _source(point.module)):
            yield from _keys(source, f"delt_{kind}s")


def _without_prefix(word: str) -> tuple[str, str]:
    """``no:NAME`` as the name and what stands before it."""
    return (word[3:], "no:") if word.startswith("no:") else (word, "")


def _source(module: str) -> Path | None:
    """The module's file. Its package is looked up, not imported, which could take long."""
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None or not rest:
        return Path(spec.origin) if spec and spec.origin else None
    for folder in spec.submodule_search_locations or ():
        place = Path(folder).joinpath(*rest)
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                return file
    return None


def _keys(source: Path, name: str) -> Iterator[str]:
    """The plain strings among the keys of the dict that is called `name`, or that the function of this name returns."""
    try:
        tree = ast.parse(source.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for node in tree.body:
        value: ast.AST | None = None
        if isinstance(node, ast.FunctionDef) and node.name == name and isinstance(node.body[-1], ast.Return):
            value = node.body[-1].value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
            value = node.value
        for key in value.keys if isinstance(value, ast.Dict) else ():
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value
