"""What is in a store, whether it is whole, and what can go.

Only what the host has put there is looked at: entries by the form of their names, and its own files. Folders of others are
left alone, and so is what links lead to.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from delt_host import RunError
from delt_host.toolbox import INDEX, KEY_LENGTH, Damaged, sealed
from delt_host.workshop import CATALOGUE, JOBS, LOCKS, UNFINISHED, WRITING, files, held, reason, unread

DAY = 24 * 3600.0
LEFT_OVER, UNFINISHED_STAGE, LOCK = "left over", "unfinished", "locks"
BUSY = "a process is at it"
FILES = {UNFINISHED: UNFINISHED_STAGE, INDEX: "index", LOCKS: LOCK, JOBS: "jobs"}
"""Folders that hold no entries, and what their files are listed as."""
SEALED = (UNFINISHED_STAGE, "index")
_KEY = re.compile(rf"[0-9a-f]{{{KEY_LENGTH}}}")


@dataclass(frozen=True)
class Item:
    """An entry, a file of the host's, what a killed process left, or a folder that cannot be listed."""

    stage: str
    path: Path
    size_bytes: int
    last_used: float
    """Seconds since the epoch: when it was written or read last."""

    closed: RunError | None = None
    """What to say of a folder that cannot be listed; nothing of it is removed."""

    @property
    def days(self) -> float:
        """Since it was last used; 0 where a clock says that it will be."""
        return max(time.time() - self.last_used, 0.0) / DAY

    @property
    def is_entry(self) -> bool:
        return _KEY.fullmatch(self.path.name) is not None and self.stage not in (*FILES.values(), LEFT_OVER)

    @property
    def about(self) -> str:
        """What an entry was made for first; of what a component remembers, which one and under which seed."""
        if not self.is_entry:
            return ""
        try:
            record = sealed.facts(self.path)
            if record.get("of"):
                return str(record["of"])
            name, more = str(record["inputs"]["by"].get("class", "")), record["inputs"]["inputs"]
            seed = f"seed {more['seed']}" if "seed" in more else ""
        except (FileNotFoundError, Damaged, RunError, KeyError, TypeError, AttributeError):
            return ""
        return ", ".join(part for part in (name.rpartition(".")[2], seed) if part)


def items(root: Path) -> Iterator[Item]:
    """Everything in the store by stage; checkpoints as `unfinished`, remains of interrupted writes as `left over`, what lies
    in which file as `index`, the names of what is installed as `catalogue`. RunError where the store cannot be listed."""
    for place in _within(root):
        try:
            yield from _of_folder(place)
        except RunError as error:
            yield Item(place.name, place, 0, time.time(), error)


def _of_folder(place: Path) -> Iterator[Item]:
    if place.name in FILES:
        yield from _items((FILES[place.name], file) for file in _within(place))
    elif place.name == CATALOGUE or place.name.startswith(WRITING):
        yield from _items([("catalogue", place)])
    elif not place.name.startswith("."):
        own = [path for path in _within(place) if _KEY.fullmatch(path.name) or path.name.startswith(WRITING)]
        yield from _items((place.name, path) for path in own)


def _within(folder: Path) -> list[Path]:
    """What lies in a folder of the store, without links: what they lead to is not the store's."""
    try:
        with os.scandir(folder) as found:
            return sorted(Path(each.path) for each in found if not each.is_symlink())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise unread(folder, error) from None


def _items(found: Iterable[tuple[str, Path]]) -> Iterator[Item]:
    for stage, path in found:
        try:
            seen = path.lstat()
        except FileNotFoundError:  # gone meanwhile
            continue
        except OSError as error:
            raise unread(path.parent, error) from None
        is_folder = stat.S_ISDIR(seen.st_mode)
        is_former = _KEY.fullmatch(path.name) is not None and stage not in FILES.values() and is_folder
        size, used = seen.st_size * (not is_folder), seen.st_mtime
        for folder, _, names in os.walk(path):
            for name in names:
                with suppress(OSError):
                    seen = Path(folder, name).lstat()
                    size, used = size + seen.st_size, max(used, seen.st_mtime)
        yield Item(LEFT_OVER if is_former or path.name.startswith(WRITING) else stage, path, size, used)


def checked(root: Path) -> Iterator[tuple[Item, Damaged | RunError | None]]:
    """All that has a checksum, with what is wrong: damaged, or not to be read now."""
    for item in items(root):
        if item.closed is not None:
            yield item, item.closed
        if item.closed is not None or not (item.is_entry or item.stage in SEALED):
            continue
        try:
            sealed.check(item.path)
            yield item, None
        except FileNotFoundError:  # gone meanwhile
            continue
        except (Damaged, RunError) as error:
            yield item, error


def damaged(root: Path) -> Iterator[tuple[Item, str]]:
    """What is not as it was written, each with what is wrong."""
    for item, wrong in checked(root):
        if isinstance(wrong, Damaged):
            yield item, str(wrong)


def remove(item: Item, root: Path, if_damaged: bool = False) -> str:
    """Take it out of the store, and say why where that cannot be; it is made anew when it is wanted.

    A lock and what it guards stay while a process holds it. `if_damaged`: unless it is whole by now.
    """
    try:
        if item.stage == LOCK:
            with held(item.path, root):
                return ""
        if item.stage == UNFINISHED_STAGE or if_damaged:
            own, *_part = item.path.name.split(".")
            name = own if item.stage == UNFINISHED_STAGE else f"{item.stage}-{own}"
            with held(root / LOCKS / name, root):
                if not if_damaged or _is_damaged(item):
                    files.remove(item.path)
                return ""
        files.remove(item.path)
    except FileNotFoundError:
        pass
    except Timeout:
        return BUSY
    except OSError as error:
        return reason(error)
    return ""


def _is_damaged(item: Item) -> bool:
    try:
        sealed.check(item.path)
    except Damaged:
        return True
    except RunError:
        pass
    return False
