"""Where an exception came from: the line of a plugin that it was raised in, and the traceback from that plugin on."""

from __future__ import annotations

import re
import threading
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType, TracebackType
from weakref import WeakKeyDictionary

from delt_host.basics.errors import sentence
from delt_host.basics.file_words import plain_module

OURS = "delt_host"

_PLACED = re.compile(r", line \d+\)$")

show: Callable[[str], None] | None = None
"""Who is given the traceback of every component that fails: the command line under --debug."""
shown = 0
"""How many were given."""

inside: list[str] = []
"""The components whose code runs now, the innermost last."""
started: WeakKeyDictionary[threading.Thread, str] = WeakKeyDictionary()
"""Threads that components left running, and whose they are."""

plugins: set[str] = set()
"""The top-level modules of installed plugins."""


def _not_interrupted() -> None: ...


repair: Callable[[], list[str]] = list
"""Called after each component: opens again what it closed of standard output, where that is ours, and says what."""
interruption: Callable[[], BaseException | None] = _not_interrupted
"""Called around each component: the exception to raise where the command was told to stop."""


def told(error: BaseException, modules: Iterable[str] = ()) -> str:
    """`ValueError: no such layer (mine/match.py, line 12)`: what it says, and the line of these top-level modules, or else
    of any, that it came from."""
    if isinstance(error, SystemExit):
        said = f"it called sys.exit({'' if error.code is None else repr(error.code)})"
    else:
        said = f"SyntaxError: {error.msg}" if isinstance(error, SyntaxError) else sentence(error)
    place = place_of(error, modules)
    return f"{said} ({place})" if place and not _PLACED.search(said) else said


def place_of(error: BaseException, modules: Iterable[str] = ()) -> str:
    """`mine/match.py, line 12`: the innermost frame that is in these top-level modules, or else the innermost of all."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{Path(error.filename).name}, line {error.lineno}"
    frames = [each for each in traceback.walk_tb(error.__traceback__) if not _on_the_way(each[0])]
    wanted = {module.partition(".")[0] for module in modules} - {OURS}
    chosen = [each for each in frames if _top(each[0]) in wanted]
    if wanted and not chosen:  # where we looked at what it gave, our own line tells nothing
        frames = [each for each in frames if _top(each[0]) != OURS]
    if not frames:
        return ""
    frame, line = (chosen or frames)[-1]
    path = Path(frame.f_code.co_filename)
    depth = plain_module(_module(frame)).count(".") + 1 + (path.name == "__init__.py")
    return f"{'/'.join(path.parts[-depth:])}, line {line}"


def ours(error: BaseException) -> bool:
    """Whether no plugin's code had a part in it: a defect of ours."""
    return not any(_top(frame) in plugins - {OURS} for frame, _ in traceback.walk_tb(error.__traceback__))


def traceback_of(error: BaseException) -> str:
    """The traceback with what caused it, without the frames of ours that led to the component."""
    found: TracebackType | None = error.__traceback__
    while found is not None and (_on_the_way(found.tb_frame) or _top(found.tb_frame) == OURS):
        found = found.tb_next
    return "".join(traceback.format_exception(type(error), error, found or error.__traceback__))


def give(error: BaseException) -> None:
    """Show the traceback of a component that failed, where somebody asked for it."""
    global shown
    if show is not None:
        shown += 1
        show(traceback_of(error))


def _on_the_way(frame: FrameType) -> bool:
    """Whether it is of what calls others: context managers, and what imports modules."""
    return frame.f_code.co_filename.startswith("<frozen") or _top(frame) in ("contextlib", "importlib")


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _top(frame: FrameType) -> str:
    """The top-level module."""
    return _module(frame).partition(".")[0]
