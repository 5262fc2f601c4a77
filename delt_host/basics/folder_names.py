"""Names of folders for names that people chose: safe on every file system, and distinct wherever those are."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from pathlib import Path

LONGEST_NAME = 100
"""Bytes in the name of a folder that is named for a row; file systems take 255."""
RESERVED_NAMES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""Devices on Windows, whatever follows after a dot."""


def shown_path(path: Path) -> str:
    """As short as it may be written here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def slug(label: str) -> str:
    """The label as a folder name: letters, digits, dots, dashes and underscores. Several labels may have the same."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", label).strip("-.")[:LONGEST_NAME].strip("-.") or "row"
    return f"row-{name}" if RESERVED_NAMES.fullmatch(name) else name


def distinct(labels: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """A name for each of these labels, none of them `taken`, and no two alike where a file system ignores case.

    Labels of one slug are numbered in their order: the same labels always get the same names.

    >>> distinct(["delt", "höhe a", "hähe-a", "DELT"])
    {'delt': 'delt', 'höhe a': 'h-he-a', 'hähe-a': 'h-he-a-2', 'DELT': 'DELT-2'}
    """
    used, names = {name.casefold() for name in taken}, dict[str, str]()
    for label in dict.fromkeys(labels):
        names[label] = next(name for name in numbered(slug(label)) if name.casefold() not in used)
        used.add(names[label].casefold())
    return names


def numbered(name: str) -> Iterable[str]:
    """`name`, `name-2`, `name-3` and so on."""
    return itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
