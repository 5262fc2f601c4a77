"""Being told to stop: Ctrl-C, or SIGTERM, as a scheduler sends it some time before it kills."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from delt_host.basics import traces

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SHOW_CURSOR = b"\x1b[?25h"


class Interrupted(KeyboardInterrupt):
    """The user, or the system, wants the command to end."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    @property
    def code(self) -> int:
        """The exit code: 130 after Ctrl-C, 143 after SIGTERM."""
        return 128 + self.number


class _Told:
    """What came, if anything did."""

    number: int | None = None


def interruption() -> Interrupted | None:
    """What to raise again where a component kept it to itself."""
    return None if _Told.number is None else Interrupted(_Told.number)


@contextmanager
def interruptible() -> Iterator[None]:
    """Inside the block the first signal is an Interrupted, and the second ends the process at once, whatever it does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {each: signal.getsignal(each) for each in SIGNALS}
    former = {each: handler for each, handler in former.items() if handler not in (signal.SIG_IGN, None)}
    for each in former:
        signal.signal(each, _stop)
    outer, traces.interruption = traces.interruption, interruption
    _Told.number = None
    try:
        yield
    finally:
        traces.interruption = outer
        for each, handler in former.items():
            with suppress(ValueError):
                signal.signal(each, handler)


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    for each in SIGNALS:
        signal.signal(each, signal.SIG_DFL)  # no handler of ours, which would wait for native code to come back
    _Told.number = number
    with suppress(OSError):
        if os.isatty(2) and os.environ.get("TERM") not in ("dumb", "unknown"):
            os.write(2, SHOW_CURSOR)  # which a bar hid: after a second signal nobody would
    raise Interrupted(number)


def code() -> int:
    """The exit code of a command that was told to stop, whatever was made of the exception."""
    return Interrupted(_Told.number or signal.SIGINT).code
