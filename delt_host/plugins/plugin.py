"""A plugin, or a file of somebody's, and the things that come from it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

HERE = "__main__"


@dataclass(frozen=True)
class Plugin:
    """A plugin and where it comes from."""

    name: str
    """The entry point's name, or a file's."""
    distribution: str
    version: str
    module: str
    problem: str = ""
    """Why it is not in use: `blocked`, or what went wrong, with file and line."""
    broken: bool = False
    """Whether it is out of use without anybody having asked for that."""
    trace: str = ""
    """Where it is broken, its own part of the traceback."""
    path: str = ""
    """Of a file, where it lies."""
    code: str = ""
    """Of a file, the digest of its code and of what that imports."""

    def __str__(self) -> str:
        if self.here:
            return self.distribution
        return self.path or f"{self.distribution} {self.version} ({self.module})"

    @property
    def here(self) -> bool:
        """Whether it is no plugin: its things were given in Python, and are in this process alone."""
        return self.module == HERE

    @property
    def file(self) -> str:
        return self.path or getattr(sys.modules.get(self.module), "__file__", None) or "?"


@dataclass(frozen=True)
class Provided:
    """Something a plugin provides, and the plugin."""

    thing: Any
    plugin: Plugin
    name: str = ""
    """Where it is in a file, what it is called by in every folder."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of a component that was given with some; they go before all others."""
