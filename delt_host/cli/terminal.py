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

from delt_host import escapes

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


class Output(io.TextIOBase):
    """A file that keeps what went wrong in writing to it instead of raising: a full disk or a closed pipe costs no results."""

    def __init__(self, file: int, encoding: str) -> None:
        self._file, self._encoding = file, encoding
        self.failure: OSError | None = None

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def fileno(self) -> int:
        return self._file

    def isatty(self) -> bool:
        return os.isatty(self._file)

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.write_bytes(text.encode(self._encoding, FALLBACK))
        return len(text)

    def write_bytes(self, content: bytes) -> None:
        left = memoryview(content)
        while left and self.failure is None:
            try:
                left = left[os.write(self._file, left) :]
            except BlockingIOError:  # somebody made the pipe so; wait until it takes more
                select.select([], [self._file], [])
            except OSError as error:
                self.failure = error


class _Taken:
    """The command's own files, once they are taken."""

    out: Output | None = None
    errors: Output | None = None
    console: Console | None = None
    results: str = ""


def take() -> None:
    """Keep standard output and error for this command; for whoever else writes there, file 1 leads to standard error."""
    if _Taken.out is not None or sys.stdout is not sys.__stdout__ or sys.stderr is not sys.__stderr__:
        return  # taken already, or led elsewhere by whoever called us from Python
    codecs.register_error(FALLBACK, _simpler)
    encodings = [_encoding(stream) for stream in (sys.stdout, sys.stderr)]
    for number in (0, 2):  # before anything is opened, which would get their numbers
        _make_open(number)
    real = _copy(1)
    _make_open(1)
    files = [real, os.dup(2)]
    os.dup2(2, 1)
    _Taken.out, _Taken.errors = (Output(file, encoding) for file, encoding in zip(files, encodings, strict=True))
    for number in (1, 2):
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
    file: Any = _Taken.out
    if file is None:
        import click

        click.echo(text if isinstance(text, bytes) else escapes.lines(text) + end, nl=False)
    elif isinstance(text, bytes):
        file.write_bytes(text)
    else:
        file.write(escapes.lines(text) + end)


def complain(text: str) -> None:
    """A line on standard error; a running progress display stays whole."""
    errors().print(text, markup=False, soft_wrap=True)


def results_lie_in(path: str) -> None:
    """What to say should standard output fail: the results are not lost."""
    _Taken.results = path


def failure() -> tuple[str, int] | None:
    """What went wrong in writing to standard output, as a sentence, and the exit code; empty where nobody listens any more."""
    wrong = _Taken.out.failure if _Taken.out is not None else None
    if wrong is None:
        return None
    if isinstance(wrong, BrokenPipeError):
        return "", 141  # as of a command that SIGPIPE ended
    where = f"; the results are in {_Taken.results}" if _Taken.results else ""
    return f"standard output cannot be written ({wrong.strerror}){where}", 1


def _encoding(stream: Any) -> str:
    return getattr(stream, "encoding", None) or "utf-8"


def _copy(number: int) -> int:
    """Another number for the file, or a number that no file has where it is closed."""
    try:
        return os.dup(number)
    except OSError:
        return -1


def _make_open(number: int) -> None:
    """A file that is opened later must not get the number of a standard one."""
    try:
        os.fstat(number)
    except OSError:
        file = os.open(os.devnull, os.O_RDWR)
        if file != number:
            os.dup2(file, number)
            os.close(file)


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
                yield Segment(text if control else escapes.lines(text), style, control)

    return Safe()
