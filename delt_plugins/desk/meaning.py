"""What a word means that somebody typed: one of what plugins provide, or one of the host's own words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import click

from delt_host import InputError
from delt_host.workshop import WORDS, catalogue, commands, file_word, lookup, terminal, words

Record = dict[str, Any]
LIBRARIES = ("torchvision", "timm")
"""Whose networks go by their names."""


class Meaning:
    """What is installed, chosen as ``-p`` and ``--prefer`` say; notes on what is broken are written at once."""

    def __init__(self, plugins: Sequence[str], prefer: Sequence[str]) -> None:
        self.chosen = plugins, prefer
        self.found = catalogue(plugins, prefer)
        for note in self.found["notes"]:
            terminal.complain(f"note: {note}")

    def kinds(self) -> dict[str, dict[str, str]]:
        """By kind all names, with a line each."""
        provided = {record["name"]: record["names"] for record in lookup.kinds(self.found)}
        return provided | {kind: {each["name"]: each["summary"] for each in its} for kind, its in self._own().items()}

    def kind(self, word: str) -> Record:
        """The kind, or the stage of ``--set``, that a word names. InputError, which leads on, where it names none."""
        if record := lookup.of_kind(self.found, word):
            return record
        own = self._own()
        if kind := words.kind_of(word, own):
            names = {each["name"]: each["summary"] for each in own[kind]}
            return {"kind": "kind", "name": kind, "about": "", "typed": TYPED[kind], "names": names, "options": {}}
        kinds = [words.plural(kind) for kind in self.kinds()]
        if named := self._names().get(word):
            raise InputError(f"{word} is no kind but a {named}; delt-host show {word} tells of it")
        near = lookup.guesses(word, kinds)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"there is no kind {word!r}{meant} (kinds: {', '.join([*kinds, *LIBRARIES])})")

    def of(self, word: str, kind: str = "") -> list[Record]:
        """Records of all that a word means, of one kind where it is given. InputError with guesses where it means nothing."""
        if file_word(word):
            return self._in_file(word, kind)
        if kind and kind not in self.found["things"]:
            records = [each for each in self._own()[kind] if each["name"] == word]
        else:
            records = lookup.search(self.found, word, kind)
        if not records and not kind:
            records = [each for its in self._own().values() for each in its if each["name"] == word] or _flags(word)
            with suppress(InputError):
                records = records or [self.kind(word)]
        if kind in ("", "model"):
            records = [each for each in records if each["kind"] != "model"] + self._networks(word, records)
        if records:
            return records
        raise self._unknown(word, kind)

    def _in_file(self, word: str, kind: str) -> list[Record]:
        """What ``FILE.py:NAME`` is, or all that is in a file."""
        from delt_host.workshop import in_file, load_registry

        records = in_file(load_registry(*self.chosen), word)
        return [*json.loads(json.dumps([each for each in records if kind in ("", each["kind"])], default=str))]

    def library(self, name: str) -> list[str]:
        """All networks of torchvision or timm."""
        from delt_host.workshop import library_names

        return library_names(name)

    def _networks(self, word: str, records: Sequence[Record]) -> list[Record]:
        """The network of this name with its size, which takes torch and what is of it; torchvision's and timm's if need be."""
        if records and not any(each["kind"] == "model" for each in records):
            return []
        from delt_host.workshop import load_registry, network

        with suppress(InputError):
            return [network(load_registry(*self.chosen), word)]
        return []

    def _own(self) -> dict[str, list[Record]]:
        """Records of all words that stand for no thing of a plugin, by kind."""
        own: dict[str, list[Record]] = {"stage": [], "command": [], "plugin": []}
        for stage, about in words.OF_STAGE.items():
            own["stage"].append({"name": stage, "summary": about, "typed": f"--set {stage}.OPTION=VALUE"})
        for name, each in commands.found().items():
            typed = f"delt-host {name}; delt-host {name} --help tells its options"
            own["command"].append({"name": name, "summary": each.about, "typed": typed})
        for plugin in self.found["plugins"]:
            given = [f"{kind} {', '.join(names)}" for kind, names in plugin["provides"].items()]
            about = plugin["problem"] or "; ".join(given)
            about = f"{plugin['distribution']} {plugin['version']}: {about}"
            own["plugin"].append(
                {"name": plugin["name"], "summary": about, "typed": f"-p {plugin['name']}, or -p no:{plugin['name']}"}
            )
        for word in WORDS:
            own.setdefault(word.kind, []).append({"name": word.name, "summary": word.summary, "typed": word.typed})
        return {kind: [{"kind": kind, **each} for each in its] for kind, its in own.items()}

    def _names(self) -> dict[str, str]:
        own = {each["name"]: kind for kind, its in self._own().items() for each in its}
        return own | lookup.every_name(self.found)

    def _unknown(self, word: str, kind: str) -> InputError:
        names = self._names() if not kind else dict.fromkeys(self.kinds()[kind], kind)
        models = self.found["things"]["model"].values()
        near = [each["name"] for each in models if f"`{word}`" in each["about"]]  # what others call it
        near = near or lookup.guesses(word, names)
        if not near and kind in ("", "model"):
            names = {name: f"network of {library}" for library in LIBRARIES for name in self.library(library)}
            near = lookup.guesses(word, names)
        meant = f"; did you mean {' or '.join(f'{each!r} ({names[each]})' for each in near)}?" if near else ""
        what = f"no {kind.replace('_', ' ')}" if kind else "nothing"
        where = f"delt-host list {kind} has" if kind else "delt-host list has"
        return InputError(f"{what} is called {word!r}{meant} ({where} all names)")


TYPED = {
    "stage": "--set STAGE.OPTION=VALUE",
    "command": "delt-host NAME",
    "plugin": "-p NAME, or -p no:NAME",
    **{word.kind: word.typed.partition(" ")[0] + " NAME" for word in WORDS},
}
"""How the host's own words are typed, by kind."""


def _flags(word: str) -> list[Record]:
    """A word that is an option of commands, with what each says of it."""
    of: dict[str, Record] = {}
    for name, each in commands.found().items():
        with suppress(InputError):  # whoever runs it is told
            loaded = each.load()
            for option in loaded.params:
                if isinstance(option, click.Option) and f"--{word}" in option.opts:
                    shown = "" if option.is_flag else option.make_metavar(click.Context(loaded))
                    of[name] = {"type": shown, "about": option.help or ""}
    return [{"kind": "flag", "name": f"--{word}", "of": of}] if of else []
