"""An entry of the store as it lies on disk: where, of which files, and whether it is whole. Nothing here needs torch.

A folder ``STAGE/KEY/`` with `tensors.safetensors` and `facts.json`, which names its inputs, what it was made with and the
checksum of both.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import safetensors

TENSORS, FACTS = "tensors.safetensors", "facts.json"
UNFINISHED, LOCKS = ".unfinished", ".locks"
WRITING = ".writing-"
"""What the names of files and folders begin with while they are written."""

UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, safetensors.SafetensorError)

UNKEPT = "unkept-"
"""What a key begins with where it holds in this process alone."""

Name = tuple[str, str]
"""What an entry is found by: its stage and key."""


def default_store() -> Path:
    """`$DELT_HOST_STORE`, or `delt-host` in the user's cache folder."""
    if given := os.environ.get("DELT_HOST_STORE"):
        return Path(given).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "delt-host"


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


def read_record(folder: Path) -> dict[str, Any]:
    """An entry's facts and inputs, both of its files checked; one of `UNREADABLE` where they are not as they were written."""
    record = json.loads((folder / FACTS).read_text())
    if record.pop("checksum") != digest(record):
        raise ValueError(f"checksum of {FACTS} differs")
    if record["tensors"] != file_digest(folder / TENSORS):
        raise ValueError(f"checksum of {TENSORS} differs")
    return dict(record)


def damage(folder: Path) -> str:
    """What is wrong with an entry's files; empty where nothing is."""
    try:
        read_record(folder)
        with safetensors.safe_open(folder / TENSORS, "numpy"):
            return ""
    except UNREADABLE as error:
        return str(error)
