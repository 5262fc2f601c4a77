"""``./mine.py:Mine``: what somebody types in place of a name, for something in a file of theirs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PREFIX = "delt_host_file_"
"""What the top-level modules begin with that files are loaded under, each time another."""

_WORD = re.compile(r"([^:\0]*\.py)(?::([^\W\d]\w*))?")
_WITHIN = re.compile(r"(?:/[^\s/:,()'\"]+)*/([^\s/:,()'\"]+\.py:[^\W\d]\w*)")


def file_word(word: str) -> tuple[str, str] | None:
    """The file and the name in it, empty where none is said; None for any other word.

    >>> file_word("./mine.py:Mine"), file_word("./mine.py"), file_word("torchvision:resnet18")
    (('./mine.py', 'Mine'), ('./mine.py', ''), None)
    """
    found = _WORD.fullmatch(word)
    return (found[1], found[2] or "") if found else None


def parts(text: str) -> list[str]:
    """What stands between colons, a file with its name in one.

    >>> parts("views:./mine.py:Mine"), parts("./mine.py:Mine:/data:2")
    (['views', './mine.py:Mine'], ['./mine.py:Mine', '/data', '2'])
    """
    found: list[str] = []
    for part in text.split(":"):
        if found and found[-1].endswith(".py") and file_word(f"{found[-1]}:{part}"):
            found[-1] += f":{part}"
        else:
            found.append(part)
    return found


def short_name(text: str) -> str:
    """A name, or a text that names things, with files by their own names alone: for labels and sentences.

    >>> short_name("/home/me/mine.py:Mine"), short_name("robustness of /home/me/mine.py:net, severity 3")
    ('mine.py:Mine', 'robustness of mine.py:net, severity 3')
    """
    if found := file_word(text):
        return ":".join(filter(None, (Path(found[0]).name, found[1])))
    return _WITHIN.sub(r"\1", text)


def plain(value: Any) -> Any:
    """A JSON-able value for a key, in which it does not matter in which folder files lie: their code counts."""
    if isinstance(value, str):
        return short_name(value) if file_word(value) else value
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    return list(map(plain, value)) if isinstance(value, list | tuple) else value


def plain_module(name: str) -> str:
    """A module's name as whoever wrote it imports it: that of a file without what it is loaded under."""
    return name.partition(".")[2] if name.startswith(PREFIX) else name
