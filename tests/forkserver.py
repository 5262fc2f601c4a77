"""Runs commands without cold starts: it has imported what they import, and forks a process for each.

What a command gets is its own: pid, folder, environment, arguments, files, terminal, signals, exit code. What it does not
do again is import torch and the rest, which takes seconds, and take it down. `commands.py` starts this server and asks it; a
request is a JSON object and three files (standard input, output and error) in one message.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import sys
import threading
import types
from pathlib import Path
from typing import NoReturn

OURS = ("delt_host", "delt_plugins")
LIBRARIES = ("matplotlib.pyplot", "scipy.stats", "sklearn.datasets", "tabulate", "timm", "torchvision.transforms.v2")


def preload() -> None:
    """Import what commands would, and make sure that forking is safe: no thread may run."""
    for name in LIBRARIES:
        importlib.import_module(name)
    for package in OURS:
        for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            importlib.import_module(module.name)
    remember()
    threads = list(Path("/proc/self/task").iterdir())
    assert len(threads) == 1, f"{len(threads)} threads after importing: a forked process would not have them"
    gc.collect()
    gc.freeze()  # what is shared with the commands is not looked at again, and so not copied


def remember() -> None:
    """Do beforehand what every command would do to the same end: look at our own code, and draw for the first time."""
    from delt_host.store.code_identity import modules_of
    from delt_plugins.report.figures import Mark, bars, scatter
    from delt_plugins.report.page import template

    modules_of(*(name for name in sys.modules if name.partition(".")[0] in OURS))
    marks = [Mark("one", 0, [1.0, 2.0], at=1.0), Mark("other", 1, [2.0, 4.0], at=9.0)]
    bars(marks, "points", percent=False), scatter(marks, "cost", "points", percent=False), template()


def forget(places: list[str]) -> None:
    """What is installed, where a command finds distributions that the server did not."""
    from delt_host.store import code_identity, loose_files

    if any(True for place in places for _ in Path(place).glob("*.*-info")):
        for each in (code_identity._with_plugins, code_identity._version, loose_files.distributions):
            each.cache_clear()


def serve(control: socket.socket) -> dict[str, object] | None:
    """Fork for every request; the request in the process that is to become the command, None when nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever asked
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the nannies
    while True:
        message, files, _, _ = socket.recv_fds(control, 2**20, 4)
        if not message:
            return None
        if os.fork() == 0:
            control.close()
            return nurse(json.loads(message), files)
        for file in files:
            os.close(file)


def nurse(request: dict[str, object], files: list[int]) -> dict[str, object]:
    """Fork the command, tell its pid and how it ended, and end it when the one who asked has gone. Returns in the command."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *standard, answer = files
    if (pid := os.fork()) == 0:
        os.close(answer)
        for number, file in enumerate(standard):
            os.dup2(file, number)
            os.close(file)
        return request
    for number in (0, 1, 2, *standard):  # else a pipe would stay open when the command has closed its end
        os.close(number)
    asker = socket.socket(fileno=answer)
    with contextlib.suppress(OSError):  # nobody asks any more: noticed below
        asker.send(str(pid).encode())
    with os.fdopen(os.pidfd_open(pid)) as ended:
        if ended not in select.select([ended, asker], [], [])[0]:
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError):
        asker.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def become(request: dict[str, object], inherited: list[str]) -> None:
    """Run `python ARGUMENTS` as a process that has just started would."""
    arguments, environment = request["arguments"], request["environment"]
    assert isinstance(arguments, list) and isinstance(environment, dict)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if request["terminal"]:
        import fcntl
        import termios

        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.chdir(str(request["folder"]))
    os.environ.clear()
    os.environ.update(environment)
    encoding, _, errors = environment.get("PYTHONIOENCODING", "utf-8").partition(":")
    sys.stdin = sys.__stdin__ = os.fdopen(0, encoding=encoding, closefd=False)
    sys.stdout = sys.__stdout__ = text_file(1, encoding, errors or "strict")
    sys.stderr = sys.__stderr__ = text_file(2, encoding, "backslashreplace", line_buffering=True)
    if threads := environment.get("OMP_NUM_THREADS"):  # read when the libraries are loaded, which was before
        import torch

        torch.set_num_threads(int(threads))
    if request["anew"]:
        for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
            del sys.modules[name]
    how, *rest = arguments
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    added = list(filter(None, environment.get("PYTHONPATH", "").split(os.pathsep)))
    first = {"-c": "", "-m": str(Path.cwd())}.get(how, str(Path(how).resolve().parent))
    sys.path = [first, *added, *inherited]
    if not request["anew"]:
        forget([first, *added])
    if how == "-c":
        code, *sys.argv[1:] = rest
        sys.argv[0] = "-c"
        exec(compile(code, "<string>", "exec"), main.__dict__)
    elif how == "-m":
        name, *sys.argv[1:] = rest
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    else:
        sys.argv = [how, *rest]
        runpy.run_path(how, run_name="__main__")


def end(code: int) -> NoReturn:
    """Exit as Python does, but for taking its modules down one by one, which takes 0.4 s with torch among them."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def text_file(number: int, encoding: str, errors: str, line_buffering: bool = False) -> io.TextIOWrapper:
    raw = os.fdopen(number, "wb", closefd=False)
    return io.TextIOWrapper(raw, encoding, errors, line_buffering=line_buffering or os.isatty(number))


if __name__ == "__main__":
    added = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    inherited = [place for place in sys.path[1:] if place not in added]
    preload()
    request = serve(socket.socket(fileno=int(sys.argv[1])))
    if request is not None:
        code: object = 1
        try:
            become(request, inherited)
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        except BaseException:
            sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        if not isinstance(code, int):
            print(code, file=sys.stderr)
        end(code if isinstance(code, int) else 1)
