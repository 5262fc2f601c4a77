"""What is installed, as `plugins` and `show` print it: made by importing every plugin, and kept.

Plugins import torch, which takes seconds. What was found is kept in the store beside what it was found in: the entry points
and every file that was imported, by size and time. Where any of these is another, plugins are imported again. Where one is
broken nothing is kept, since what would mend it may lie anywhere.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from delt_host import InputError
from delt_host.workshop import GROUP, NO_AUTOLOAD, VERSION, default_store, make_folders, write

if TYPE_CHECKING:
    from delt_host.workshop import Registry

FILE = "catalogue.json"
NO_OPTIONS = ("model", "observer", "report")
"""Kinds that are functions and classes without options, of which nothing but the name can be said."""

Record = dict[str, Any]


def catalogue(plugins: Sequence[str] = (), prefer: Sequence[str] = ()) -> Record:
    """`plugins`: each with what it provides, by kind; `things`: by kind and name, each with its options; `clashes`: names that
    several provide; `notes`. JSON-able. Arguments are those of `load_registry`."""
    began, file = time.time_ns(), _file()
    surroundings = {**_surroundings(), "chosen": [list(plugins), list(prefer)]}
    try:
        kept = json.loads("{}" if file is None else file.read_text(encoding="utf-8"))
        if kept["surroundings"] == surroundings and all(_look(path) == seen for path, seen in kept["files"].items()):
            return dict(kept["found"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    from delt_host.workshop import load_registry

    registry = load_registry(plugins, prefer)
    # Through JSON, so that the first answer is the same as those that follow.
    clashes = [{"kind": kind, "name": name, "said": str(clash)} for (kind, name), clash in registry.clashes.items()]
    said = {"clashes": clashes, "notes": registry.notes()}
    listed = {"plugins": _plugins(registry), "things": _things(registry), **said}
    found: Record = json.loads(json.dumps(listed, default=str))
    files = _imported()
    edited = any(seen[1:] > [began] for seen in files.values())  # meanwhile: what was imported may be older
    if file is not None and not edited and not any(plugin["broken"] for plugin in found["plugins"]):
        _keep(file, {"surroundings": surroundings, "files": files, "found": found})
    return found


def _file() -> Path | None:
    """None where there is no place for a store: nothing is kept then."""
    try:
        return default_store() / FILE
    except InputError:
        return None


def _surroundings() -> Record:
    points = [[p.name, p.value, *([p.dist.name, p.dist.version] if p.dist else [])] for p in entry_points(group=GROUP)]
    return {
        "host": VERSION,
        "python": sys.version,
        "path": [str(Path(place).absolute()) for place in sys.path],
        "points": sorted(points),
        "autoload": os.environ.get(NO_AUTOLOAD, ""),
    }


def _imported() -> dict[str, list[int]]:
    """Every file that is a module of this process, but for Python's own."""
    own, packages = Path(os.__file__).parent, ("site-packages", "dist-packages")
    files = {Path(file) for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))}
    theirs = [file for file in files if own not in file.parents or set(packages) & set(file.parts)]
    return {str(file): _look(file) for file in sorted(theirs)}


def _look(file: str | Path) -> list[int]:
    """Size and time of a file; nothing where it is gone."""
    try:
        found = Path(file).stat()
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns]


def _keep(file: Path, record: Record) -> None:
    """Where that cannot be done, the next command imports again."""
    with suppress(OSError):
        make_folders(file.parent)
        write(file, json.dumps(record), like=file.parent)


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


def _things(registry: Registry) -> dict[str, dict[str, Record]]:
    return {
        kind: {name: _describe(kind, name, entry.thing) for name, entry in entries.items()}
        for kind, entries in registry.provided.items()
        if kind not in NO_OPTIONS
    }


def _describe(kind: str, name: str, thing: Any) -> Record:
    """A method or regime by its choices, a component or dataset by its options."""
    from delt_host import Method, Regime

    if isinstance(thing, Method | Regime):
        return {"kind": kind, "name": name, **thing.model_dump(mode="json")}
    properties = thing.model_json_schema(by_alias=False)["properties"] if thing.model_fields else {}
    options = {
        option: {
            "default": None if info.is_required() else _default(info.get_default(call_default_factory=True)),
            "type": _type_text(info.annotation),
            "required": info.is_required(),
            "about": properties.get(option, {}).get("description", ""),
        }
        for option, info in thing.model_fields.items()
    }
    about = inspect.getdoc(thing) or ""
    published = {"datasets": thing.datasets} if kind == "protocol" else {}
    source = getattr(thing, "source", "")
    return {"kind": kind, "name": name, "about": about, "source": source, "options": options, **published}


def _default(value: Any) -> Any:
    from delt_host import Component

    return value.model_dump(mode="json") if isinstance(value, Component) else value


def _type_text(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")
