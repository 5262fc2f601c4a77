"""Finding plugins through the entry-point group `delt_host`: what each provides, from where, and what is broken."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NoReturn

from delt_host.basics import file_words, traces
from delt_host.basics.errors import NONE_OF_OURS, InputError, unknown
from delt_host.basics.guard import OF_IMPORTS, SHARED, Guarded
from delt_host.basics.version import GROUP, NO_AUTOLOAD, NOT, VERSION
from delt_host.contracts.kinds import KINDS
from delt_host.contracts.methods import Choice
from delt_host.plugins import own
from delt_host.plugins.from_file import Files
from delt_host.plugins.offers import offers
from delt_host.plugins.plugin import HERE, Plugin, Provided
from delt_host.store.code_identity import modules_of

MANY = 4  # plugins that are not in use for one reason, whose names nobody needs


@dataclass(frozen=True)
class Clash:
    """One name that several plugins provide. It is an error where somebody asks for it."""

    kind: str
    name: str
    offers: tuple[Provided, ...]

    @property
    def by(self) -> list[Plugin]:
        return [offer.plugin for offer in self.offers]

    def __str__(self) -> str:
        from_where = [f"{offer.plugin} at {offer.plugin.file}" for offer in self.offers]
        distributions = list(dict.fromkeys(offer.plugin.distribution for offer in self.offers))
        one_of = " or ".join(f"--prefer {name}" for name in distributions)
        way_out = f"choose one with {one_of}" if len(distributions) > 1 else f"leave one out with -p {NOT}NAME"
        count = "two" if len(self.offers) == 2 else str(len(self.offers))
        return f"{count} plugins provide the {self.kind} {self.name!r}: {' and '.join(from_where)}; {way_out}"

    def refuse(self, *_arguments: Any) -> NoReturn:
        raise InputError(str(self))


HOST = Plugin("host", "delt-host", VERSION, "delt_host")
REGISTERED = Plugin("registered", "registered in this process", "", HERE)
registered: dict[tuple[str, str], Provided] = {}
"""What `delt_host.register` was given in this process, by kind and name."""


def _own() -> dict[str, dict[str, Provided]]:
    provided: dict[str, dict[str, Provided]] = {kind: {} for kind in KINDS}
    for kind, name, thing in offers(own, own.__name__, ())[0]:
        provided[kind][name] = Provided(thing, HOST)
    return provided


@dataclass
class Registry:
    """All that the host and installed plugins provide, by kind and name."""

    plugins: list[Plugin] = field(default_factory=list)
    provided: dict[str, dict[str, Provided]] = field(default_factory=_own)
    """Names that one plugin provides, or one that is preferred."""
    clashes: dict[tuple[str, str], Clash] = field(default_factory=dict)
    """All others."""
    remarks: list[str] = field(default_factory=list)
    files: Files = field(default_factory=Files)
    """What is in files, which are read when something in them is asked for."""

    def notes(self) -> list[str]:
        """A sentence for each plugin that cannot be used, each name that is provided twice, and the like."""
        broken = [
            f"plugin {p.name} of {p.distribution} {p.version} is left out: {p.problem}"
            for p in self.plugins
            if p.broken
        ]
        return [*broken, *map(str, self.clashes.values()), *self.remarks]

    def get(self, kind: str, name: str) -> Any:
        """What `name` stands for; InputError with the nearest name, and with broken plugins as a hint."""
        return self.provider(kind, name).thing

    def called(self, kind: str, name: str) -> str:
        """The name by which it is known in every folder: of something in a file with the file's whole path."""
        return self.files.get(kind, name).name if file_words.file_word(name) else name

    def provider(self, kind: str, name: str) -> Provided:
        if file_words.file_word(name):
            return self.files.get(kind, name)
        if clash := self.clashes.get((kind, name)):
            clash.refuse()
        try:
            return self.provided[kind][name]
        except KeyError:
            error = unknown(kind, name, self.provided[kind])
            if idle := self._idle():
                raise InputError(f"{error}; plugins not in use: {'; '.join(idle)}") from None
            if all(plugin.distribution != HOST.distribution for plugin in self.plugins):
                raise InputError(f"{error}; {NONE_OF_OURS}") from None
            raise error from None

    def _idle(self) -> list[str]:
        """The plugins that are not in use, and why; of one distribution and reason together."""
        names: dict[tuple[str, str], list[str]] = {}
        for plugin in self.plugins:
            if plugin.problem:
                names.setdefault((plugin.distribution, plugin.problem), []).append(plugin.name)
        there = Counter(plugin.distribution for plugin in self.plugins)
        return [
            f"{f'all {len(each)}' if MANY <= len(each) == there[of] else ', '.join(each)} from {of} ({problem})"
            for (of, problem), each in names.items()
        ]

    def kind_of(self, option: Any) -> str | None:
        """The kind of thing that an option of this type takes by name; None for plain values."""
        bases = {name: kind.base for name, kind in KINDS.items() if kind.base and isinstance(option, type)}
        return next((name for name, base in bases.items() if issubclass(option, base)), None)

    def names(self, kind: str) -> list[str]:
        return sorted({*self.provided[kind], *(name for of, name in self.clashes if of == kind)})

    def things(self, kind: str) -> dict[str, Any]:
        """By name, those in files that were asked for among them; under a name that several provide, what raises InputError
        when it is called."""
        clashing = {name: clash.refuse for (of, name), clash in self.clashes.items() if of == kind}
        provided = {**self.provided[kind], **self.files.asked(kind)}
        return {name: entry.thing for name, entry in provided.items()} | clashing

    def whose(self, kind: str, name: str) -> Plugin:
        """The plugin of what is in use; the host, where it is nobody's by this name."""
        entry = self.provided.get(kind, {}).get(name) or self.files.asked(kind).get(name)
        return HOST if entry is None else entry.plugin

    def source_of_model(self, name: str) -> str:
        """The distribution, with its version, whose plugin provides a network; empty where it is no plugin's."""
        plugin = self.whose("model", name)
        return "" if plugin is HOST or plugin.here or plugin.path else f"{plugin.distribution} {plugin.version}"

    def dangling(self) -> list[str]:
        """A sentence for each method and regime that names a component, or a method, which nobody provides."""
        methods = self.provided["method"].items()
        return [
            f"method {name} of {entry.plugin} is a preset of {entry.thing.of!r}, which nobody provides"
            for name, entry in methods
            if entry.thing.of and entry.thing.of not in self.names("method")
        ] + [
            f"{kind} {name} of {entry.plugin} names the {of} {choice.name!r}, which nobody provides"
            for kind in ("method", "regime")
            for name, entry in self.provided[kind].items()
            for of, choice in entry.thing
            if isinstance(choice, Choice) and choice.name not in self.names(of)
        ]


def load_registry(plugins: Iterable[str] = (), prefer: Iterable[str] = ()) -> Registry:
    """Import every installed plugin and collect what they provide.

    `plugins` are words as ``-p`` takes them: ``no:NAME`` leaves one out, and with ``DELT_HOST_DISABLE_PLUGIN_AUTOLOAD`` set
    only those that are named are loaded. A plugin that fails to import is recorded and skipped. A name that two provide is a
    clash, unless one's distribution is in `prefer`, the first before the later ones. InputError for a plugin or distribution
    that is not there.
    """
    points = sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value, _distribution(point)))
    words = list(plugins)
    block = {word.removeprefix(NOT) for word in words if word.startswith(NOT)}
    load = {word for word in words if not word.startswith(NOT)} - block
    for name in (*load, *block):
        if name not in (known := {point.name for point in points}):
            raise unknown("plugin", name, known)
    preferred = _preferred(prefer, points)
    only = load if os.environ.get(NO_AUTOLOAD) else None
    registry = Registry()
    collected: dict[tuple[str, str], list[Provided]] = {}
    modules = {point.module for point in points}
    traces.plugins |= {module.partition(".")[0] for module in modules}
    for kind, entries in registry.provided.items():
        collected |= {(kind, name): [entry] for name, entry in entries.items()}
    for point in points:
        plugin = Plugin(point.name, _distribution(point), point.dist.version if point.dist else "?", point.module)
        if point.name in block:
            plugin = replace(plugin, problem="blocked")
        elif only is not None and point.name not in only:
            plugin = replace(plugin, problem=f"not loaded: {NO_AUTOLOAD} is set")
        else:
            plugin, found = _load(point, plugin, modules, registry.remarks.append)
            for key, offer in found.items():
                collected.setdefault(key, []).append(offer)
        registry.plugins.append(plugin)
    for key, offer in registered.items():
        collected.setdefault(key, []).append(offer)
    _settle(registry, collected, preferred)
    modules_of(
        *(plugin.module for plugin in registry.plugins if not plugin.problem)
    )  # edited later, it is not what runs
    return registry


def _load(
    point: EntryPoint, plugin: Plugin, modules: Iterable[str], remark: Callable[[str], None]
) -> tuple[Plugin, dict[tuple[str, str], Provided]]:
    whom = f"plugin {plugin.name} of {plugin}"
    try:
        with Guarded(lambda: whom, remark, (*SHARED, *OF_IMPORTS)):
            found, notes = offers(point.load(), point.module, modules)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may fail in any way, sys.exit() too, and must not take the host down
        broken = replace(
            plugin, problem=traces.told(error, [point.module]), broken=True, trace=traces.traceback_of(error)
        )
        return broken, {}
    for note in notes:
        remark(f"plugin {plugin.name} of {plugin.distribution} {plugin.version}: {note}")
    return plugin, {(kind, name): Provided(thing, plugin) for kind, name, thing in found}


def _settle(registry: Registry, collected: dict[tuple[str, str], list[Provided]], preferred: dict[str, str]) -> None:
    """Give each name to whom it belongs, or record the clash."""
    idle = dict(preferred)
    for (kind, name), all_offers in collected.items():
        things = {id(offer.thing): offer for offer in reversed(all_offers)}  # one thing, given twice, is no clash
        offered = [offer for offer in all_offers if things[id(offer.thing)] is offer]
        if len(offered) > 1:
            by = [_plain(offer.plugin.distribution) for offer in offered]
            if wanted := next((word for word in preferred if word in by), None):
                idle.pop(wanted, None)
                offered = [offer for offer, distribution in zip(offered, by, strict=True) if distribution == wanted]
        if len(offered) == 1:
            registry.provided[kind][name] = offered[0]
        else:
            registry.provided[kind].pop(name, None)
            registry.clashes[kind, name] = Clash(kind, name, tuple(offered))
    registry.remarks += [
        f"--prefer {word} settles nothing: it provides no name that another plugin provides too"
        for word in idle.values()
    ]


def _preferred(prefer: Iterable[str], points: Iterable[EntryPoint]) -> dict[str, str]:
    """The words by the plain spelling of the distribution that they name."""
    known = {_plain(HOST.distribution): HOST.distribution} | {_plain(name := _distribution(p)): name for p in points}
    words = {_plain(word): word for word in prefer}
    for plain, word in words.items():
        if plain not in known:
            raise unknown("distribution with plugins", word, known.values())
    return words


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "?"


def _plain(distribution: str) -> str:
    """A distribution's name as the packaging tools compare it: `My_Plugin` is `my-plugin`."""
    return re.sub(r"[-_.]+", "-", distribution).lower()
