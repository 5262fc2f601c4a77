"""Finding plugins through the entry-point group `delt_host`: what each provides, from where, and what is broken."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import pluggy

from delt_host import __version__, hookspecs, traces
from delt_host.code_identity import look_at
from delt_host.components import CONTRACTS, STAGES
from delt_host.errors import InputError, unknown
from delt_host.form import FORMS, Form
from delt_host.former import now_written
from delt_host.guard import OWNED, SHARED, Guarded
from delt_host.hookspecs import GROUP, NO_AUTOLOAD
from delt_host.network_source import Frozen, NetworkSource
from delt_host.observer import Observer
from delt_host.ordinary import Ordinary
from delt_host.protocols import PROTOCOLS, Protocol
from delt_host.squeezer import Squeezer

KINDS = (*STAGES, "form", "network_source", "protocol", "regime", "squeezer", "method", "dataset", "model", "observer")
CLASSES: dict[str, type] = {
    **CONTRACTS,
    "form": Form,
    "network_source": NetworkSource,
    "protocol": Protocol,
    "squeezer": Squeezer,
    "observer": Observer,
}
OWN: dict[str, dict[str, Any]] = {
    "form": FORMS,
    "network_source": {"frozen": Frozen},
    "protocol": PROTOCOLS,
    "squeezer": {"ordinary": Ordinary},
}
"""What the host itself provides, by kind and name."""


@dataclass(frozen=True)
class Plugin:
    """A plugin and where it comes from."""

    name: str
    """The entry point's name."""
    distribution: str
    version: str
    module: str
    problem: str = ""
    """Why it is not in use: `blocked`, or the last line of the traceback of its import."""
    broken: bool = False
    """Whether it is out of use without anybody having asked for that."""

    def __str__(self) -> str:
        return f"{self.distribution} {self.version} ({self.module})"


@dataclass(frozen=True)
class Provided:
    """Something a plugin provides, and the plugin."""

    thing: Any
    plugin: Plugin


HOST = Plugin("host", "delt-host", __version__, "delt_host")


def _own() -> dict[str, dict[str, Provided]]:
    return {kind: {name: Provided(thing, HOST) for name, thing in OWN.get(kind, {}).items()} for kind in KINDS}


@dataclass
class Registry:
    """All that the host and installed plugins provide, by kind and name."""

    plugins: list[Plugin] = field(default_factory=list)
    provided: dict[str, dict[str, Provided]] = field(default_factory=_own)
    changed: list[str] = field(default_factory=list)
    """What plugins changed of the process when they were imported, which was set back: a sentence each."""

    def notes(self) -> list[str]:
        """A sentence for each plugin that cannot be used, or that did more than it should."""
        return [
            f"plugin {p.name} of {p.distribution} {p.version} is left out: {p.problem}"
            for p in self.plugins
            if p.broken
        ] + self.changed

    def get(self, kind: str, name: str) -> Any:
        """What `name` stands for; InputError with the nearest name, and with broken plugins as a hint."""
        return self.provider(kind, name).thing

    def provider(self, kind: str, name: str) -> Provided:
        try:
            return self.provided[kind][name]
        except KeyError:
            error = unknown(kind, name, self.provided[kind])
            idle = [f"{p.name} from {p.distribution} ({p.problem})" for p in self.plugins if p.problem]
            if idle:
                raise InputError(f"{error}; plugins not in use: {'; '.join(idle)}") from None
            if not self.plugins:
                raise InputError(f"{error}; no plugin is loaded, not even delt-host's own") from None
            raise error from None

    def kind_of(self, option: Any) -> str | None:
        """The kind of thing that an option of this type takes by name; None for plain values."""
        is_class = isinstance(option, type)
        return next((kind for kind, cls in CLASSES.items() if is_class and issubclass(option, cls)), None)

    def names(self, kind: str) -> list[str]:
        return sorted(self.provided[kind])

    def things(self, kind: str) -> dict[str, Any]:
        return {name: entry.thing for name, entry in self.provided[kind].items()}


def load_registry(load: Iterable[str] = (), block: Iterable[str] = (), prefer: Iterable[str] = ()) -> Registry:
    """Import every installed plugin, but for the blocked ones, and collect what they provide.

    With ``DELT_HOST_DISABLE_PLUGIN_AUTOLOAD`` set, only those named in `load`. A plugin that fails to import is
    recorded and skipped. Two that claim one name are an InputError unless one's distribution is in `prefer`.
    """
    only = set(load) if os.environ.get(NO_AUTOLOAD) else None
    found = {point.name: point for point in entry_points(group=GROUP)}
    for name in (*load, *block):
        if name not in found:
            raise unknown("plugin", name, found)
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    registry = Registry()
    for point in sorted(entry_points(group=GROUP), key=lambda p: (p.name, p.value)):
        plugin = _describe(point)
        if point.name in set(block):
            registry.plugins.append(_idle(plugin, "blocked"))
        elif only is not None and point.name not in only:
            registry.plugins.append(_idle(plugin, f"not loaded: {NO_AUTOLOAD} is set"))
        else:
            registry.plugins.append(_load(manager, point, plugin, registry, set(prefer)))
    look_at(plugin.module for plugin in registry.plugins if not plugin.problem)
    return registry


def _load(
    manager: pluggy.PluginManager, point: EntryPoint, plugin: Plugin, registry: Registry, prefer: set[str]
) -> Plugin:
    guarded = Guarded(lambda: f"plugin {plugin.name} of {plugin}", registry.changed.append, (*SHARED, *OWNED[1:4]))
    try:
        with guarded:
            module = point.load()
        manager.register(module, name=f"{plugin.distribution}:{plugin.name}")
        manager.check_pending()
        with guarded:
            offers = [(kind, name, thing) for kind in KINDS for name, thing in _call(manager, module, kind).items()]
        for kind, name, thing in offers:
            if kind in CLASSES and not (isinstance(thing, type) and issubclass(thing, CLASSES[kind])):
                raise TypeError(f"{kind} {name!r} is not a subclass of delt_host.{CLASSES[kind].__name__}")
            if said := now_written(kind, thing):
                raise TypeError(f"{kind} {name!r} {said}")
            if kind == "network_source" and thing.model_fields["name"].default != name:
                raise TypeError(f"{kind} {name!r} needs the option `name: Literal[{name!r}] = {name!r}`")
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may fail in any way, sys.exit() too, and must not take the host down
        traces.give(error)
        manager.unregister(name=f"{plugin.distribution}:{plugin.name}") if manager.has_plugin(
            f"{plugin.distribution}:{plugin.name}"
        ) else None
        return _idle(plugin, _why(error, plugin.module), broken=True)
    for kind, name, thing in offers:
        _add(registry, kind, name, Provided(thing, plugin), prefer)
    return plugin


def _why(error: BaseException, module: str) -> str:
    """The last line of its traceback, and where it came from, if that was in the plugin."""
    if isinstance(error, SystemExit):
        return traces.told(error, [module])
    said = traceback.format_exception_only(error)[-1].strip()
    place = traces.place_of(error, [module], others=False)
    return f"{said} ({place})" if place else said


def _call(manager: pluggy.PluginManager, module: Any, kind: str) -> dict[str, Any]:
    hook = getattr(manager.hook, f"delt_{kind}s")
    others = [other for other in manager.get_plugins() if other is not module]
    results = manager.subset_hook_caller(hook.name, others)()
    return dict(results[0]) if results else {}


def _add(registry: Registry, kind: str, name: str, offer: Provided, prefer: set[str]) -> None:
    there = registry.provided[kind].get(name)
    if there is None or offer.plugin.distribution in prefer:
        registry.provided[kind][name] = offer
    elif there.plugin.distribution not in prefer:
        files = [getattr(sys.modules.get(p.plugin.module), "__file__", "?") for p in (there, offer)]
        raise InputError(
            f"two plugins provide the {kind} {name!r}: {there.plugin} at {files[0]} and {offer.plugin} at {files[1]}; "
            f"choose one with --prefer {there.plugin.distribution} or --prefer {offer.plugin.distribution}"
        )


def _describe(point: EntryPoint) -> Plugin:
    distribution = point.dist
    return Plugin(
        name=point.name,
        distribution=distribution.name if distribution else "?",
        version=distribution.version if distribution else "?",
        module=point.module,
    )


def _idle(plugin: Plugin, why: str, broken: bool = False) -> Plugin:
    return replace(plugin, problem=why, broken=broken)
