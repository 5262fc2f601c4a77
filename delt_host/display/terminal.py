"""Where commands write. Results go to standard output, which is theirs alone; all else goes to standard error.

`delt-host` keeps the two for itself when it starts: from then on file 1 leads to standard error, so that whatever plugins and
the programs that they start print is read there, and neither tables nor `--json` are mixed with it. In Python, where nobody
called `take`, both are what sys.stdout and sys.stderr are.
"""

from __future__ import annotations

import codecs
import io
import os
import select
import sys
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any

import click

from delt_host.basics import escapes

if TYPE_CHECKING:
    from rich.console import Console

STREAMS = {1: "stdout", 2: "stderr"}
FALLBACK = "delt-host"
"""The name of the way that characters are written for which the encoding has no code."""
SIMPLER = {
    "±": "+-", "×": "x", "·": "-", "–": "-", "—": "-", "…": "...", "→": "->", "≤": "<=", "≥": ">=", "’": "'", "“": '"',
    "”": '"', "━": "-", "─": "-", "│": "|", "✓": "ok", "✗": "x", "µ": "u", "²": "2", "³": "3",
}  # fmt: skip


def _simpler(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    return SIMPLER.get(character, ascii(character)[1:-1]), error.start + 1


class Output(io.FileIO):
    """A file that keeps what went wrong in writing to it instead of raising: a full disk or a closed pipe costs no results."""

    failure: OSError | None = None

    def write(self, content: Any) -> int:
        left = memoryview(content)
        while left and self.failure is None:
            try:
                left = left[os.write(self.fileno(), left) :]
            except BlockingIOError:  # somebody made the pipe so; wait until it takes more
                select.select([], [self], [])
            except OSError as error:
                self.failure = error
        return len(content)


class _Taken:
    """The command's own files, once they are taken."""

    file: Output | None = None
    out: io.TextIOWrapper | None = None
    errors: io.TextIOWrapper | None = None
    console: Console | None = None
    results: str = ""


def take() -> None:
    """Keep standard output and error for this command; for whoever else writes there, file 1 leads to standard error."""
    if _Taken.out is not None or sys.stdout is not sys.__stdout__ or sys.stderr is not sys.__stderr__:
        return  # taken already, or led elsewhere by whoever called us from Python
    codecs.register_error(FALLBACK, _simpler)
    encodings = [getattr(stream, "encoding", None) or "utf-8" for stream in (sys.stdout, sys.stderr)]
    closed = _open_what_is_closed()
    # Nothing can be written to a file that is open for reading, as to one that is closed.
    _Taken.file = Output(os.open(os.devnull, os.O_RDONLY) if 1 in closed else os.dup(1), "w", closefd=False)
    _Taken.out = _text(_Taken.file, encodings[0])
    _Taken.errors = _text(Output(os.dup(2), "w", closefd=False), encodings[1])
    os.dup2(2, 1)
    for number in STREAMS:
        _open_for_others(number, encodings[1])


def lenient() -> None:
    """Let help and versions be shown whatever the encoding."""
    codecs.register_error(FALLBACK, _simpler)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=FALLBACK)


def repaired() -> list[str]:
    """What a component closed or led elsewhere of standard output and error, as it was again."""
    if _Taken.errors is None:
        return []
    found, file = [], _Taken.errors.fileno()
    for number, stream in STREAMS.items():
        away = not _same(number, file)
        if away:
            os.dup2(file, number)
        if getattr(getattr(sys, stream), "closed", False):
            away = True
            _open_for_others(number, _Taken.errors.encoding)
        if away:
            found.append(f"where sys.{stream} leads")
    return found


def _same(number: int, file: int) -> bool:
    try:
        return os.path.samestat(os.fstat(number), os.fstat(file))
    except OSError:
        return False


def out() -> Console:
    """For results, on the real standard output."""
    return _console(_Taken.out or sys.stdout)


def errors() -> Console:
    """For progress, notes and errors; one and the same for a whole command."""
    if _Taken.errors is None:
        return _console(sys.stderr)
    if _Taken.console is None:
        _Taken.console = _console(_Taken.errors)
    return _Taken.console


def say(text: str | bytes = "", end: str = "\n") -> None:
    """Write a result as it is, on the real standard output: bytes as they are, of text what is no terminal's command."""
    click.echo(text if isinstance(text, bytes) else escapes.in_lines(text) + end, file=_Taken.out, nl=False)


def complain(text: str) -> None:
    """A line on standard error; a running progress display stays whole."""
    errors().print(text, markup=False, soft_wrap=True)


def results_lie_in(path: str) -> None:
    """What to say should standard output fail: the results are not lost."""
    _Taken.results = path


def failure() -> tuple[str, int] | None:
    """What went wrong in writing to standard output, as a sentence, and the exit code; empty where nobody listens any more."""
    wrong = _Taken.file.failure if _Taken.file is not None else None
    if wrong is None:
        return None
    if isinstance(wrong, BrokenPipeError):
        return "", 141  # as of a command that SIGPIPE ended
    where = f"; the results are in {_Taken.results}" if _Taken.results else ""
    return f"standard output cannot be written ({wrong.strerror}){where}", 1


def _open_what_is_closed() -> set[int]:
    """Which of the standard files were closed: one that is opened later must not get their numbers."""
    closed = set()
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            closed.add(os.open(os.devnull, os.O_RDWR))  # which takes the lowest number that is free
    return closed


def _text(file: Output, encoding: str) -> io.TextIOWrapper:
    """Each write is one of the file's, at once."""
    return io.TextIOWrapper(file, encoding, FALLBACK, write_through=True)


def _open_for_others(number: int, encoding: str) -> None:
    """sys.stdout or sys.stderr, for whoever prints."""
    file = open(number, "w", encoding=encoding, errors=FALLBACK, buffering=1, closefd=False)  # noqa: SIM115
    for name in (STREAMS[number], f"__{STREAMS[number]}__"):
        setattr(sys, name, file)


def _console(file: Any) -> Console:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class Safe(Console):
        """Everything that it shows is harmless, and each of its writes is whole, whichever thread it comes from.

        Rich renders a line with moves of the cursor that depend on the live display as it is, and writes it later: another
        thread that draws the display in between would make them wrong.
        """

        def __init__(self) -> None:
            self.alone = threading.RLock()
            super().__init__(file=file, highlight=False, emoji=False)

        def __enter__(self) -> Console:
            self.alone.acquire()
            return super().__enter__()

        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, found: TracebackType | None
        ) -> None:
            try:
                super().__exit__(kind, error, found)
            finally:
                self.alone.release()

        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for text, style, control in super().render(renderable, options):
                yield Segment(text if control else escapes.in_lines(text), style, control)

    return Safe()
