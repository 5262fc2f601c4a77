"""Components write nothing but into the store, the run's folder, and temporary and cache folders.

A guard against accidents, not against malice: Python's own file operations are watched through its audit hook, and one
that would change a file elsewhere is refused before it happens. Native code is not watched.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from delt_host.errors import RunError

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC
_CHANGES = ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.truncate")

_allowed: ContextVar[tuple[str, ...] | None] = ContextVar("allowed", default=None)
_installed = False


@contextmanager
def confined(folders: Sequence[Path]) -> Iterator[None]:
    """Inside the block, RunError for every attempt to write, create, move or remove a file outside `folders`."""
    global _installed
    if not _installed:
        sys.addaudithook(_watch)  # hooks cannot be taken away; outside of a block this one returns at once
        _installed = True
    everyones = (Path(tempfile.gettempdir()), Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser())
    places = [*folders, *everyones, Path("/dev"), Path("/proc")]
    token = _allowed.set(tuple(os.path.realpath(place) for place in places))
    try:
        yield
    finally:
        _allowed.reset(token)


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    allowed = _allowed.get()
    if allowed is None or not (event == "open" or event in _CHANGES):
        return
    if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & _WRITING):
        return
    for given in arguments[:2] if event == "os.rename" else arguments[:1]:
        if isinstance(given, str | bytes | os.PathLike):
            _check(os.fsdecode(given), allowed)


def _check(given: str, allowed: tuple[str, ...]) -> None:
    token = _allowed.set(None)  # finding out where a path leads opens files itself
    try:
        path = os.path.realpath(given)
    finally:
        _allowed.reset(token)
    if "__pycache__" in path or any(path == place or path.startswith(place + os.sep) for place in allowed):
        return
    raise RunError(f"it tried to write {given}, which is neither in the store nor in the run's folder")
