"""How a command ends: with its own exit code and sentence, whatever threads and handlers of components are left."""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from contextlib import suppress
from typing import Any, NoReturn

import click

from delt_host.basics import traces
from delt_host.basics.errors import InputError, RunError, exit_code
from delt_host.cli import interrupt
from delt_host.display import terminal

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


def of_help(error: BaseException) -> int | None:
    """The exit code where help or completion ended early, or its reader has seen enough; None for what is to be said."""
    if isinstance(error, SystemExit):
        code = exit_code(error)
    elif isinstance(error, OSError):
        if not isinstance(error, BrokenPipeError):
            click.echo(f"delt-host: standard output cannot be written ({error.strerror})", err=True)
        code = 141 if isinstance(error, BrokenPipeError) else 1
    else:
        return None
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what could not be written is not tried again at exit
    return code


def said(error: BaseException, debug: bool) -> int:
    """Say what went wrong, and tell the exit code; in a poor sentence where a good one needs what the process lacks."""
    try:
        return _told(error, debug)
    except Exception as another:
        poor = f"delt-host: {type(error).__name__}, of which more cannot be said ({type(another).__name__})\n"
        with suppress(OSError):
            os.write(2, poor.encode("ascii", "backslashreplace"))
        return 1


def _told(error: BaseException, debug: bool) -> int:
    if isinstance(error, click.Abort | KeyboardInterrupt):
        terminal.complain("delt-host: interrupted; every finished stage is kept, the same command goes on from there")
        return interrupt.code()
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if debug and not traces.shown:
        terminal.complain("".join(traceback.format_exception(error)))
    if isinstance(error, InputError | RunError):
        terminal.complain(f"delt-host: {error}")
        return 2 if isinstance(error, InputError) else 1
    # The last line of defence: a sentence, not a traceback.
    whose = " (this is a defect; --debug shows where)" if traces.ours(error) else "; --debug shows where"
    terminal.complain(f"delt-host: {traces.told(error)}{whose}")
    return 1


def end(code: int) -> NoReturn:
    """Exit with the code: now, or when threads that are left have ended, but not much later."""
    if (failed := terminal.failure()) is not None:
        why, instead = failed
        if why:
            terminal.complain(f"delt-host: {why}")
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
