"""An entry of the store as it lies on disk: where, of which files, and whether it is whole. Nothing here needs torch.

A folder ``STAGE/KEY/`` with `tensors.safetensors` and `facts.json`, which names its inputs, what it was made with and the
checksum of both. What is not as it was written is damaged; what cannot be read now may be whole, and is left as it is.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors

from delt_host.errors import InputError, RunError
from delt_host.files import WRITING

TENSORS, FACTS = "tensors.safetensors", "facts.json"
UNFINISHED, LOCKS, INDEX = ".unfinished", ".locks", "index"
KEY_LENGTH = 24  # hexadecimal digits: 96 bits
MOST_FACTS = 2**28  # bytes of facts that are read, far above what any stage writes

UNKEPT = "unkept-"
"""What a key begins with where it holds in this process alone."""

Name = tuple[str, str]
"""What an entry is found by: its stage and key."""

_OTHER_CONTENT = (
    ValueError, KeyError, TypeError, AttributeError, RecursionError, IsADirectoryError, safetensors.SafetensorError,
)  # fmt: skip
_HINTS = {
    errno.EACCES: "whoever owns it can let others read it",
    errno.EPERM: "whoever owns it can let others read it",
    errno.EMFILE: "raise the limit on open files with ulimit -n",
    errno.ENFILE: "close other programs, too many files are open",
    errno.ENOMEM: "free memory",
}

CHOOSE = "choose another with --store PATH or DELT_HOST_STORE"


class Damaged(Exception):
    """A file's content is not what was written."""


def default_store() -> Path:
    """`$DELT_HOST_STORE`, or `delt-host` in the user's cache folder; InputError where none of these is a place."""
    if given := os.environ.get("DELT_HOST_STORE"):
        return store_at(given, "DELT_HOST_STORE")
    cache = os.environ.get("XDG_CACHE_HOME")
    name = "XDG_CACHE_HOME" if cache else "HOME"
    if (value := os.environ.get(name)) is not None and not Path(value).is_absolute():
        raise InputError(f"{name} is {value!r}, which is no absolute path: no place for the store; {CHOOSE}")
    return store_at(Path(cache or "~/.cache") / "delt-host", name)


def store_at(place: str | Path, said_by: str = "") -> Path:
    """The place as an absolute path, `~` expanded. InputError where it is none, which names the variable it is `said_by`."""
    what = f"the store {str(place)!r}" + (f" of {said_by}" if said_by else "")
    if any(unicodedata.category(sign) in ("Cc", "Cs") for sign in str(place)):
        raise InputError(f"{what} has a character that no path should have; {CHOOSE}")
    try:
        return Path(place).expanduser().absolute()
    except RuntimeError:
        why = "there is no such home folder"
    except OSError as error:
        why = f"the working folder is gone ({reason(error)})"
    raise InputError(f"{what} cannot be found: {why}; {CHOOSE}")


def digest(value: object) -> str:
    """SHA-256 of a JSON-able value in canonical form."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def key_of(value: object) -> str:
    """The digest of what a result depends on; it says so where a part of that holds in this process alone."""
    text = json.dumps(value, sort_keys=True)
    return f"{UNKEPT}{digest(value)}" if UNKEPT in text else digest(value)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def reading(place: Path) -> Iterator[None]:
    """What is read inside is `place`, or lies in it. FileNotFoundError where it is not there, or is gone meanwhile; `Damaged`
    where its content is another; RunError where it cannot be read, which tells nothing of its content."""
    try:
        yield
    except _OTHER_CONTENT as error:
        if _is_gone(place):
            raise FileNotFoundError(place) from None
        if isinstance(error, safetensors.SafetensorError) and "os error" in str(error):
            raise unread(place, OSError(str(error))) from None
        raise Damaged(str(error) or type(error).__name__) from None
    except (OSError, MemoryError, RuntimeError) as error:  # RuntimeError: torch's, of a file that it cannot map
        if _is_gone(place):
            raise FileNotFoundError(place) from None
        raise unread(place, OSError(str(error)) if isinstance(error, RuntimeError) else error) from None


def unread(place: Path, error: OSError | MemoryError) -> RunError:
    """What to say of what cannot be read now."""
    number = errno.ENOMEM if isinstance(error, MemoryError) else error.errno
    hint = _HINTS.get(number or 0, "try again when its disk answers")
    return RunError(
        f"{place} cannot be read: {reason(error)}; it is left as it is: {hint}, or use another store with --store PATH"
    )


def reason(error: BaseException) -> str:
    """The system's words for what went wrong."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def read_record(folder: Path) -> dict[str, Any]:
    """An entry's facts and inputs, both of its files checked; to be called inside of `reading`."""
    text = _content_of(folder / FACTS)
    record = json.loads(text)
    if record.pop("checksum") != digest(record):
        raise ValueError(f"checksum of {FACTS} differs")
    _check_file(folder / TENSORS)
    if record["tensors"] != file_digest(folder / TENSORS):
        raise ValueError(f"checksum of {TENSORS} differs")
    return dict(record)


def check(folder: Path) -> None:
    """Whether an entry is whole: errors as `reading`."""
    with reading(folder):
        read_record(folder)
        with safetensors.safe_open(folder / TENSORS, "numpy"):
            pass


def about(folder: Path) -> str:
    """What an entry was made for first; of what a component remembers, which one and under which seed."""
    try:
        record = json.loads(_content_of(folder / FACTS))
        if record.get("of"):
            return str(record["of"])
        inputs = record["inputs"]
        name, more = str(inputs["by"].get("class", "")), inputs["inputs"]
    except (OSError, MemoryError, *_OTHER_CONTENT):
        return ""
    seed = f"seed {more['seed']}" if "seed" in more else ""
    return ", ".join(part for part in (name.rpartition(".")[2], seed) if part)


def discard(place: Path, root: Path) -> None:
    """Take an entry or a file out of the store. It is gone at once, also for those who read it now. OSError."""
    aside = root / f"{WRITING}{secrets.token_hex(8)}"
    place.rename(aside)
    if stat.S_ISDIR(aside.lstat().st_mode):
        shutil.rmtree(aside, ignore_errors=True)
    else:
        aside.unlink()


def _check_file(path: Path) -> int:
    """Its size in bytes. ValueError where it is not there or no file, which the errors of opening one do not tell apart."""
    try:
        found = path.stat()
    except FileNotFoundError:
        raise ValueError(f"{path.name} is missing") from None
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{path.name} is no file")
    return found.st_size


def _content_of(facts: Path) -> str:
    if (size := _check_file(facts)) > MOST_FACTS:
        raise ValueError(f"{facts.name} has {size} bytes, which no stage writes")
    return facts.read_text(encoding="utf-8")


def _is_gone(place: Path) -> bool:
    try:
        place.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        pass
    return False
