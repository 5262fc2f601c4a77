"""What is in a store, whether it is whole, and what can go."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from delt_host.catalogue import FILE as CATALOGUE
from delt_host.entry import FACTS, TENSORS, UNFINISHED, WRITING, damage

DAY = 24 * 3600.0


@dataclass(frozen=True)
class Item:
    """An entry, a checkpoint, or what a killed process left."""

    stage: str
    path: Path
    size_bytes: int
    last_used: float
    """Seconds since the epoch: when it was written or read last."""

    @property
    def days(self) -> float:
        """Since it was last used."""
        return (time.time() - self.last_used) / DAY


def items(root: Path) -> Iterator[Item]:
    """Everything in the store by stage; checkpoints as `unfinished`, remains of interrupted writes as `left over`, and the
    names of what is installed as `catalogue`."""
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if folder.name == UNFINISHED:
            yield from (_item("unfinished", path) for path in sorted(folder.iterdir()))
        elif folder.name == CATALOGUE:
            yield _item("catalogue", folder)
        elif folder.name.startswith(WRITING):
            yield _item("left over", folder)
        elif folder.is_dir() and not folder.name.startswith("."):
            yield from (_item(folder.name, path) for path in sorted(folder.iterdir()) if path.is_dir())


def _item(stage: str, path: Path) -> Item:
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    stats = [file.stat() for file in files]
    used = max([path.stat().st_mtime, *(stat.st_mtime for stat in stats)])
    return Item(stage, path, sum(stat.st_size for stat in stats), used)


def damaged(root: Path) -> Iterator[tuple[Item, str]]:
    """The entries that are not as they were written, each with what is wrong."""
    for item in items(root):
        if item.path.is_dir() and item.stage != "left over" and (wrong := damage(item.path)):
            yield item, wrong


def remove(item: Item) -> None:
    """It is made anew when it is wanted."""
    if item.path.is_dir():
        # The facts first: an entry without them is none, should this be interrupted.
        (item.path / FACTS).unlink(missing_ok=True)
        (item.path / TENSORS).unlink(missing_ok=True)
        shutil.rmtree(item.path, ignore_errors=True)
    else:
        item.path.unlink(missing_ok=True)


def about(item: Item) -> str:
    """What an entry was made for first; of what a component remembers, which one and under which seed."""
    try:
        record = json.loads((item.path / FACTS).read_text())
        if record.get("of"):
            return str(record["of"])
        inputs = record["inputs"]
        name, more = str(inputs["by"].get("class", "")), inputs["inputs"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""
    seed = f"seed {more['seed']}" if "seed" in more else ""
    return ", ".join(part for part in (name.rpartition(".")[2], seed) if part)
