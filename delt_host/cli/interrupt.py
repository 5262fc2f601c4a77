"""Being told to stop: Ctrl-C, or SIGTERM, as a scheduler sends it some time before it kills."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """The user, or the system, wants the command to end."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    @property
    def code(self) -> int:
        """The exit code: 130 after Ctrl-C, 143 after SIGTERM."""
        return 128 + self.number


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
    try:
        yield
    finally:
        for each, handler in former.items():
            with suppress(ValueError):
                signal.signal(each, handler)


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    for each in SIGNALS:
        signal.signal(each, signal.SIG_DFL)
    raise Interrupted(number)


def code_of(error: BaseException) -> int:
    """The exit code of an interruption, which click may have wrapped."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, Interrupted):
            return found.code
        found = found.__cause__ or found.__context__
    return 130
