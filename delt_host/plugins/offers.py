"""What one plugin offers: the hooks that it defines itself, called, and what they gave checked against the contracts."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from delt_host.basics.errors import InputError, unknown
from delt_host.basics.version import GROUP
from delt_host.contracts.kinds import HOOKS, KINDS

NAME = re.compile(r"\w[\w.+-]*")

Offer = tuple[str, str, Any]
"""Kind, name, and what the name stands for."""


def offers(plugin: Any, module: str, others: Iterable[str]) -> tuple[list[Offer], list[str]]:
    """All that a plugin's own hooks give, and a sentence for each hook in it that nobody will call.

    `module` is the one that the entry point names, `others` those of all other plugins. A hook belongs to the plugin that
    defines it: one that came along with ``from … import *`` is left to its own.
    TypeError, InputError, or whatever a hook raises.
    """
    functions, notes = _hooks(plugin, module, frozenset(others) - {module})
    found = []
    for hook, function in functions:
        for name, thing in _called(hook, function):
            if problem := problem_of(HOOKS[hook], name, thing):
                raise TypeError(f"{HOOKS[hook]} {name!r} {problem}{at(thing if isinstance(thing, type) else function)}")
            found.append((HOOKS[hook], name, thing))
    return found, notes


def _hooks(plugin: Any, module: str, others: frozenset[str]) -> tuple[list[tuple[str, Callable[[], Any]]], list[str]]:
    own: list[tuple[str, Callable[[], Any]]] = []
    notes: list[str] = []
    for attribute in dir(plugin):
        function = getattr(plugin, attribute, None)
        if not inspect.isroutine(function):
            continue
        marked, home = getattr(function, f"{GROUP}_impl", None), str(getattr(function, "__module__", ""))
        if marked is None and not (attribute in HOOKS and _is_below(home, module)):
            continue
        hook = (marked or {}).get("specname") or attribute
        if hook not in HOOKS:
            raise InputError(f"{unknown('hook', hook, HOOKS)}{at(function)}")
        if marked is None:
            raise TypeError(f"{hook} is no hook: write @hookimpl over it{at(function)}")
        theirs = any(_is_below(home, other) for other in others)
        if _is_below(home, module) or (not theirs and home.partition(".")[0] == module.partition(".")[0]):
            own.append((hook, function))
        elif not theirs:  # where it is another plugin's, that one gives it
            notes.append(f"{hook} is defined in {home}, which is no plugin: define it in {module}")
    return own, notes


def _is_below(module: str, parent: str) -> bool:
    return module == parent or module.startswith(f"{parent}.")


def _called(hook: str, function: Callable[[], Any]) -> Iterator[tuple[str, Any]]:
    parameters = inspect.signature(function).parameters.values()
    asked = [each.name for each in parameters if each.default is each.empty and each.kind not in (2, 4)]  # no *args
    if asked:
        raise TypeError(f"{hook}() is called without arguments, and asks for {', '.join(asked)}{at(function)}")
    given = function()
    if not isinstance(given, Mapping):
        missing = ": is its `return` missing?" if given is None else ""
        raise TypeError(
            f"{hook}() must return a dict from names to what they stand for, not {_kind_of(given)}{missing}{at(function)}"
        )
    for name in given:
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise TypeError(
                f"{hook}() has the name {name!r:.60}: it is typed, so letters and digits with _ . + - among them"
                f"{at(function)}"
            )
    yield from given.items()


def problem_of(kind: str, name: str, thing: Any) -> str:
    """What keeps a thing from being of its kind; empty where nothing does. Without a `name`, it goes by none of its own."""
    of = KINDS[kind]
    if of.value:
        return "" if isinstance(thing, of.value) else f"is not a delt_host.{of.value.__name__} but {_kind_of(thing)}"
    if of.takes:
        return "" if callable(thing) else f"is not a function from {of.takes} but {_kind_of(thing)}"
    assert of.base is not None
    if not (isinstance(thing, type) and issubclass(thing, of.base)):
        value = ": give the class, not an instance of it" if isinstance(thing, of.base) else ""
        return f"is not a subclass of delt_host.{of.base.__name__}{value}"
    if missing := sorted(getattr(thing, "__abstractmethods__", ())):
        return f"has no {missing[0]}()"
    if kind == "network_source" and name and thing.model_fields["name"].default != name:  # type: ignore[attr-defined]
        return f"needs the option `name: Literal[{name!r}] = {name!r}`"
    return ""


def kind_of_thing(thing: Any) -> str | None:
    """The kind that a class or value is of; of a function, a network's. None where it is of none."""
    for kind, of in KINDS.items():
        if (of.value and isinstance(thing, of.value)) or (
            of.base and isinstance(thing, type) and issubclass(thing, of.base)
        ):
            return kind
    return "model" if callable(thing) and not isinstance(thing, type) else None


def at(thing: Any) -> str:
    """Where a function or class is written, to go at the end of a sentence."""
    try:
        file, (_, line) = inspect.getsourcefile(thing), inspect.getsourcelines(thing)
    except (OSError, TypeError):
        return ""
    return f" ({Path(file).name}, line {line})" if file else ""


def _kind_of(thing: Any) -> str:
    return "None" if thing is None else f"a {type(thing).__name__}"
