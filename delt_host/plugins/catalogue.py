"""What can be told of all that is installed, as tables of plain values: a record for each name, a line for each kind."""

from __future__ import annotations

import functools
import inspect
import re
import types
import typing
from contextlib import suppress
from typing import Any

from delt_host.basics.file_words import file_word
from delt_host.contracts.component import Component
from delt_host.contracts.kinds import KINDS
from delt_host.contracts.methods import Method, Regime
from delt_host.networks.build import about_library, library_of, size_of
from delt_host.plugins.registry import Registry

Record = dict[str, Any]
CLASSES, SIDES, SIDE_OF_LIBRARIES = 10, (32, 64, 128, 224), (224,)
"""The number of classes, and sizes of images in pixels, that a network is built for to count its parameters."""
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z`\d])")


def everything(registry: Registry) -> Record:
    """`plugins`: each with what it provides, by kind; `kinds`: what each is for; `things`: by kind and name the `record`s;
    `clashes`: names that several provide; `notes`."""
    clashes = [{"kind": kind, "name": name, "said": str(clash)} for (kind, name), clash in registry.clashes.items()]
    return {
        "plugins": _plugins(registry),
        "kinds": {kind: about.about for kind, about in KINDS.items()},
        "things": {kind: {name: record(registry, kind, name) for name in registry.provided[kind]} for kind in KINDS},
        "clashes": clashes,
        "notes": registry.notes(),
    }


def names(registry: Registry, kind: str) -> dict[str, str]:
    """The names of a kind, each with one line on what it is."""
    return {name: summary(registry.provided[kind][name].thing) for name in sorted(registry.provided[kind])}


def record(registry: Registry, kind: str, name: str) -> Record:
    """A method or regime by its choices, everything else by what its docstring says and its options, each with `default`,
    `type`, `required` and `about`. InputError for a name that nobody provides, or several do."""
    found = registry.provider(kind, name)
    thing = found.thing
    about: Record = {"kind": kind, "name": name, "summary": summary(thing), "by": found.plugin.distribution}
    if isinstance(thing, Method | Regime):
        return about | thing.model_dump(mode="json")
    about |= {"about": _text(thing), "source": getattr(thing, "source", ""), "options": options(thing)}
    if kind == "protocol":
        about["datasets"] = thing.datasets
    if kind == "dataset":
        about["location"] = thing.location
    return about


def in_file(registry: Registry, word: str) -> list[Record]:
    """Records of what ``FILE.py:NAME`` is, or of all that is in a file; none for any other word. InputError for what is not
    there."""
    if not file_word(word):
        return []
    return [record(registry, kind, name) for kind, name in registry.files.kinds(word)]


def summary(thing: Any) -> str:
    """One line: a method's own, or the first sentence of a docstring; empty where there is none."""
    if isinstance(thing, Method | Regime):
        return thing.summary
    return _first_sentence(_text(thing))


def _first_sentence(text: str) -> str:
    return _SENTENCE.split(" ".join(text.partition("\n\n")[0].split()))[0]


def network(registry: Registry, name: str) -> Record:
    """Any network that can be typed, torchvision's and timm's too, with its `library`, empty for those of plugins, and its
    `parameters` at 10 classes and the first of these sizes that it takes. InputError for a name that nobody knows."""
    own = registry.things("model")
    library = library_of(name, own)
    if library:
        text = _first_sentence(about_library(name, own))  # the rest is on arguments that nobody here can give
        about = {
            "kind": "model",
            "name": name,
            "summary": text,
            "by": library,
            "about": text,
            "source": "",
            "options": {},
        }
    else:
        about = record(registry, "model", name)
    about["library"], about["sizes"] = library, {}
    for side in SIDE_OF_LIBRARIES if library else SIDES:
        with suppress(Exception):  # it may take images of other sizes alone, and a plugin's may fail in any way
            about["sizes"] = {"parameters": size_of(name, CLASSES, side, own), "classes": CLASSES, "image_size": side}
            break
    return about


def options(thing: Any) -> dict[str, Record]:
    """The options of a component's class; none of what is a function."""
    fields = getattr(thing, "model_fields", {})
    properties = thing.model_json_schema(by_alias=False)["properties"] if fields else {}
    return {
        option: {
            "default": None if info.is_required() else _default(info.get_default(call_default_factory=True)),
            "type": type_text(info.annotation),
            "required": info.is_required(),
            "about": properties.get(option, {}).get("description", ""),
        }
        for option, info in fields.items()
    }


def type_text(annotation: Any) -> str:
    """A type as the command line takes it: ``Literal["a", "b"] | None`` is ``a | b | None``."""
    inner = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return " | ".join(str(value) for value in inner)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return " | ".join(type_text(each) for each in inner)
    if annotation is type(None):
        return "None"
    plain = isinstance(annotation, type) and not inner
    return annotation.__name__ if plain else str(annotation).replace("typing.", "").replace("collections.abc.", "")


def _text(thing: Any) -> str:
    """A docstring; of a function of which some arguments are given, the function's, behind these arguments."""
    if not isinstance(thing, functools.partial):
        return inspect.getdoc(thing) or ""
    given = [repr(each) for each in thing.args]
    given += [f"{name}={getattr(value, '__name__', None) or repr(value)}" for name, value in thing.keywords.items()]
    return f"{getattr(thing.func, '__name__', 'function')}({', '.join(given)}): {inspect.getdoc(thing.func) or ''}"


def _default(value: Any) -> Any:
    return value.model_dump(mode="json") if isinstance(value, Component) else value


def _plugins(registry: Registry) -> list[Record]:
    return [
        {
            **vars(plugin),
            "provides": {
                kind: names
                for kind, entries in registry.provided.items()
                if (names := sorted(name for name, entry in entries.items() if entry.plugin == plugin))
            },
            "clashes": {
                kind: names
                for kind in registry.provided
                if (
                    names := [
                        clash.name for clash in registry.clashes.values() if clash.kind == kind and plugin in clash.by
                    ]
                )
            },
        }
        for plugin in registry.plugins
    ]
