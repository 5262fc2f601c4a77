"""Where the store lies, and by what its entries are found. Nothing here needs torch."""

from __future__ import annotations

import hashlib
import json
import os
import unicodedata
from pathlib import Path

from delt_host.basics.errors import InputError, reason

UNFINISHED = ".unfinished"
"""The folder in a store for checkpoints of work that goes on."""
LOCKS = ".locks"
"""The folder in a store for lock files, one for each name that a process may hold."""
JOBS = ".jobs"
"""The folder in a store where an engine leaves what it writes of work on other machines."""
INDEX = "index"
"""The folder in a store for what was found out of files on the disk: their digests by name, size and times."""
KEY_LENGTH = 24
"""Hexadecimal digits of a key: 96 bits."""

UNKEPT = "unkept-"
"""What a key begins with where it holds in this process alone."""

Name = tuple[str, str]
"""What an entry is found by: its stage and key."""

CHOOSE = "choose another with --store PATH or DELT_HOST_STORE"


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
