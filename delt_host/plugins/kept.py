"""What is installed, as `plugins`, `list` and `show` print it: made by importing every plugin, and kept.

Plugins import torch, which takes seconds. What was found is kept in the store beside what it was found in: the entry points
and every file that was imported, by size and time. Where any of these is another, plugins are imported again. Where one is
broken nothing is kept, since what would mend it may lie anywhere.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from delt_host.basics.errors import InputError
from delt_host.basics.version import GROUP, NO_AUTOLOAD, VERSION
from delt_host.store.entry import default_store
from delt_host.store.files import make_folders, write

CATALOGUE = "catalogue.json"
"""The file in a store."""

Record = dict[str, Any]


def catalogue(plugins: Sequence[str] = (), prefer: Sequence[str] = ()) -> Record:
    """What `delt_host.plugins.catalogue.everything` says of the registry that `load_registry` makes of these arguments."""
    began, file = time.time_ns(), _file()
    surroundings = {**_surroundings(), "chosen": [list(plugins), list(prefer)]}
    try:
        kept = json.loads("{}" if file is None else file.read_text(encoding="utf-8"))
        if kept["surroundings"] == surroundings and all(_look(path) == seen for path, seen in kept["files"].items()):
            return dict(kept["found"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    from delt_host.plugins.catalogue import everything
    from delt_host.plugins.registry import load_registry

    # Through JSON, so that the first answer is the same as those that follow.
    found: Record = json.loads(json.dumps(everything(load_registry(plugins, prefer)), default=str))
    files = _imported()
    edited = any(seen[1:] > [began] for seen in files.values())  # meanwhile: what was imported may be older
    if file is not None and not edited and not any(plugin["broken"] for plugin in found["plugins"]):
        _keep(file, {"surroundings": surroundings, "files": files, "found": found})
    return found


def _file() -> Path | None:
    """None where there is no place for a store: nothing is kept then."""
    try:
        return default_store() / CATALOGUE
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
