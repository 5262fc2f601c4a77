"""The two ways a run can fail, and the sentences that go with them."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

_OF_THE_PLACE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP}
_OF_THE_PLACE |= {errno.EEXIST, errno.ENOTEMPTY, errno.ENOENT, errno.EINVAL}

NONE_OF_OURS = "delt-host's own plugins are not installed"
"""Why a name that the documentation has may be unknown."""

LONGEST = 600  # characters of a sentence that is not ours


class InputError(Exception):
    """Something the user gave is wrong: one sentence saying what, where, and what would be right (exit code 2)."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the sentence. Where we found it out helps nobody."""
        return [f"InputError: {self}"]


class RunError(Exception):
    """The input was fine, yet the work failed: a diverging loss, a plugin that broke its contract (exit code 1)."""


def reason(error: BaseException) -> str:
    """The system's words for what went wrong."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def sentence(error: BaseException) -> str:
    """Whatever was raised, on one line: ours in their own words, pydantic's by option and without addresses, others with their
    type.

    >>> sentence(KeyError("weight"))
    "KeyError: 'weight'"
    """
    if isinstance(error, InputError | RunError | AssertionError) and str(error):
        said = str(error)
    elif callable(problems := getattr(error, "errors", None)) and hasattr(error, "title"):  # without importing pydantic
        first = problems(include_url=False)[0]
        said = f"{'.'.join(map(str, (error.title, *first['loc'])))}: {first['msg'].removeprefix('Value error, ')}"
    else:
        said = f"{type(error).__name__}: {error}".removesuffix(": ")
    said = " ".join(said.split())
    return said if len(said) <= LONGEST else f"{said[:LONGEST]} …"


def exit_code(error: SystemExit) -> int:
    """That a process ends with which raised it."""
    return error.code if isinstance(error.code, int) else int(error.code is not None)


def nearest(name: str, known: Iterable[str], most: int) -> list[str]:
    return difflib.get_close_matches(name, list(known), n=most, cutoff=0.5)


def near(name: str, known: Iterable[str]) -> str:
    """What is likely to be meant, to go on in a sentence; empty where nothing known is near."""
    found = nearest(name, known, 1)
    return f"; did you mean {found[0]!r}?" if found else ""


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name nobody provides, with the nearest known name and all the others.

    >>> str(unknown("method", "delta", ["delt", "cda"]))
    "unknown method 'delta'; did you mean 'delt'? (known: cda, delt)"
    """
    names = sorted(known)
    return InputError(f"unknown {kind} {name!r}{near(name, names)} (known: {', '.join(names) or 'none'})")


@contextmanager
def writing_to(place: Path, option: str = "--out") -> Iterator[None]:
    """Say what could not be written: InputError where another place would do, RunError where the system failed."""
    try:
        yield
    except OSError as error:
        said = f"{place} cannot be written: {reason(error)}"
        if error.errno in _OF_THE_PLACE:
            raise InputError(f"{said}; choose another with {option}") from None
        raise RunError(f"{said}; what was there before still is") from None
