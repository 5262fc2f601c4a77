"""With what a result was made: what may change its last bits, and is a fact of it, not a part of its key.

Sums are rounded by how they are divided among threads, and a library's patches may sum in another order. Whoever wants
nothing of the kind says `--strict`, which puts all of it into every key.
"""

from __future__ import annotations

import functools
import platform
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

import torch

from delt_host.store.entry import Name

LIBRARIES = ("torch", "torchvision", "timm", "pillow")
"""Those that compute. Their major and minor versions are in keys already, where the code that is in them is used."""


def made() -> dict[str, Any]:
    """What this process makes results with, now."""
    return {"threads": torch.get_num_threads(), **_versions()}


@functools.cache
def _versions() -> dict[str, str]:
    found = {"Python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}
    return found | {"torch": str(torch.__version__)}  # which build it is, too


class Differences:
    """In what the results that a run took from its store were made otherwise than it makes its own."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        self.warn = warn
        self._found: dict[str, dict[Any, set[Name]]] = {}
        """Entries by what differs, and what it was when they were made."""

    def look(self, name: Name, theirs: Mapping[str, Any]) -> None:
        """Compare an entry that is used; what differs is said once, however many entries it is."""
        for what, ours in made().items():
            value = theirs.get(what, ours)
            if value == ours:
                continue
            if what not in self._found:
                self.warn(
                    f"results made with {_said(what, value)} are used, and this run has {_said(what, ours)}: "
                    "they may differ in the last bits; --strict makes them anew"
                )
            self._found.setdefault(what, {}).setdefault(value, set()).add(name)

    def told(self) -> list[str]:
        """One sentence for each, for the run's results."""
        return [
            f"{len(names)} result{'s were' if len(names) > 1 else ' was'} made with {_said(what, value)}"
            for what, values in self._found.items()
            for value, names in values.items()
        ]


def _said(what: str, value: Any) -> str:
    return f"{value} thread{'s' * (value != 1)}" if what == "threads" else f"{what} {value}"
