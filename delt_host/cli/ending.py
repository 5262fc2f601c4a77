"""How a command ends: with its own exit code and sentence, whatever threads and handlers of components are left."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any, NoReturn

from delt_host import traces
from delt_host.cli import terminal

PATIENCE = 30.0  # s that threads of components are waited for, which may have something to finish
SILENCE = 2.0  # s before that is said


def watch(debug: bool) -> None:
    """In this process, tell in a sentence of what fails outside of every call: threads, handlers, destructors."""

    def of_thread(failed: threading.ExceptHookArgs) -> None:
        if failed.exc_value is None or isinstance(failed.exc_value, SystemExit):
            return
        name = failed.thread.name if failed.thread else "?"
        whose = traces.started.get(failed.thread, "") if failed.thread else ""
        whose = whose or " in ".join(traces.inside[-1:])
        terminal.complain(f"note: thread {name}{f' of {whose}' * bool(whose)} failed: {traces.told(failed.exc_value)}")
        if debug:
            terminal.complain(traces.traceback_of(failed.exc_value))

    def of_handler(failed: Any) -> None:
        error = failed.exc_value
        if isinstance(error, KeyboardInterrupt) and not threading.main_thread().is_alive():
            terminal.complain(f"ended without waiting for {_left() or 'what is to be done at exit'}")
        elif error is not None and not isinstance(error, SystemExit):
            terminal.complain(f"note: {failed.err_msg or 'ignored'}: {traces.told(error)}")

    threading.excepthook = of_thread
    sys.unraisablehook = of_handler
    if debug:
        traces.show = terminal.complain


def end(code: int) -> NoReturn:
    """Exit with the code: now, or when threads that are left have ended, but not much later."""
    if (failed := terminal.failure()) is not None:
        said, instead = failed
        if said:
            terminal.complain(f"delt-host: {said}")
        code = code or instead
    threading.Thread(target=_wait, args=(code,), daemon=True, name="delt-host's end").start()
    sys.exit(code)


def _wait(code: int) -> None:
    while threading.main_thread().is_alive():  # until Python waits for the other threads
        time.sleep(0.1)
    time.sleep(SILENCE)
    if left := _left():
        terminal.complain(f"waiting up to {PATIENCE:.0f} s for {left}")
    time.sleep(PATIENCE)
    terminal.complain(f"ended without waiting any longer for {_left() or 'what is to be done at exit'}")
    os._exit(code)


def _left() -> str:
    """Threads that keep the process alive, and whose they are."""
    main = threading.main_thread()
    left = [thread for thread in threading.enumerate() if not thread.daemon and thread is not main]
    return ", ".join(
        f"thread {each.name}{f' of {traces.started[each]}' if each in traces.started else ''}" for each in left
    )
