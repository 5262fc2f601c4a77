"""A command in which each operation of Python's that changes files is counted, and one of them fails, or is the process's last.

`python watched.py UNDER NTH HOW ARGUMENTS`: of the operations on files under UNDER, the NTH, from 1, is met by HOW: `kill`, or
the name of an error, once, or with `+` from then on. With `where`, every operation anywhere is told on standard error, with the
file of ours that it comes from.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from pathlib import Path
from typing import Any

OPENS = os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC
CHANGES = ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod")


def changed(event: str, arguments: tuple[Any, ...]) -> str | None:
    """The path that an audit event changes; None for any other event."""
    if (event == "open" and isinstance(arguments[2], int) and arguments[2] & OPENS) or event in CHANGES:
        given = arguments[0]
    else:
        return None
    return str(Path(os.fsdecode(given)).absolute()) if isinstance(given, str | bytes | os.PathLike) else None


def ours() -> str:
    """Through which files of ours the operation goes, from the outermost."""
    frame, found = sys._getframe(2), list[str]()
    while frame is not None:
        name = frame.f_code.co_filename
        if "/delt_host/" in name or "/delt_plugins/" in name:
            found.append(name[name.rindex("/delt_") + 1 :])
        frame = frame.f_back  # type: ignore[assignment]
    return " ".join(dict.fromkeys(reversed(found)))


class Watch:
    def __init__(self, under: str, nth: int, how: str) -> None:
        self.under, self.nth, self.how, self.seen, self.inside = under, nth, how, 0, False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.inside:
            return
        self.inside = True  # looking at paths may raise events itself
        try:
            path = changed(event, arguments)
            if path is None:
                return
            if self.how == "where":
                os.write(2, f"CHANGES {event} {path} BY {ours()}\n".encode())
                return
            if not path.startswith(self.under):
                return
            self.seen += 1
            if self.seen == self.nth or (self.how.endswith("+") and self.seen > self.nth):
                self.meet(path)
        finally:
            self.inside = False

    def meet(self, path: str) -> None:
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        code = getattr(errno, self.how.rstrip("+"))
        raise OSError(code, os.strerror(code), path)


def main() -> None:
    _, under, nth, how, *arguments = sys.argv
    watch = Watch(str(Path(under).absolute()), int(nth), how)
    from delt_host.cli import main

    sys.addaudithook(watch)
    sys.argv = ["delt-host", *arguments]
    try:
        main()
    finally:
        watch.inside = True
        print(f"SEEN {watch.seen}", file=sys.stderr)


if __name__ == "__main__":
    main()
