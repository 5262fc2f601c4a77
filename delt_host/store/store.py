"""Every stage's output, kept under a key of everything it depends on, so that nothing is computed twice.

An entry is one file (`sealed.py`), ``STAGE/KEY``, which also says its inputs, what it was made with and what for. It is there
as a whole or not at all; a damaged one is named, removed and made anew, and one that cannot be read is named and left.
Everything has the permissions of the store's folder, whatever the umask, so that several users may share one. Only
safetensors and JSON are ever read.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from torch import Tensor

from delt_host.basics.brief import Brief
from delt_host.basics.errors import InputError, RunError, reason
from delt_host.store import files, lock, sealed
from delt_host.store.entry import CHOOSE, INDEX, KEY_LENGTH, LOCKS, UNFINISHED, UNKEPT, Name, key_of, store_at
from delt_host.store.made import Differences, made
from delt_host.store.resume import EVERY, Checkpoint
from delt_host.store.tensor_file import Held, Rows

ROOM = "make room, for one with delt-host store prune; the same command goes on from what is kept"

STAGE = re.compile(r"[a-z][a-z0-9_-]*")  # not two that differ in case alone, which some file systems take for one
USED_AGAIN = 60.0  # seconds after which a use is noted again: a file that did not change need not be checked again
LITTLE_ROOM = 2**24  # bytes on the disk, with which nothing more is begun

Made = tuple[Mapping[str, Tensor], dict[str, Any]]
"""A stage's tensors and facts."""
Making = Callable[[Checkpoint], Made]


Tensors = TypeVar("Tensors")


@dataclass(frozen=True, repr=False)
class Entry(Brief):
    key: str
    tensors: dict[str, Tensor]
    facts: dict[str, Any]
    cached: bool = True


class Opened(NamedTuple):
    """An entry whose tensors stay where they are."""

    rows: Rows
    facts: dict[str, Any]


class Store:
    """A folder of finished stages. InputError where it cannot be written."""

    def __init__(
        self,
        root: Path,
        warn: Callable[[str], None] = lambda _message: None,
        checkpoint_every: float = EVERY,
        strict: bool = False,
    ) -> None:
        """`checkpoint_every` is in seconds. `strict`: what results are made with is a part of every key."""
        self.root = root = store_at(root)
        self.warn = warn
        self.checkpoint_every = checkpoint_every
        self.strict = strict
        self.differences = Differences(warn)
        """In what entries that were used differ from those that this process makes."""
        self.made: list[Name] = []
        """The entries that this process wrote, in order."""
        self._unkept: dict[Name, Entry] = {}
        """Results whose keys hold in this process alone."""
        self.failed: dict[Name, str] = {}
        """Entries whose work has failed for good elsewhere, and the sentence that says how: not tried again."""
        self._named: set[Name] = set()
        """Damaged entries that the user has heard of."""
        self._was_full = False
        """Whether the disk had no room for a result."""
        try:
            files.make_folders(root)
            with tempfile.TemporaryFile(dir=root):
                pass
        except OSError as error:
            raise InputError(f"the store {root} cannot be written: {reason(error)}; {CHOOSE}") from None

    def key(self, stage: str, inputs: Mapping[str, Any]) -> str:
        """What the stage's result for these inputs is found by. RunError for a stage that cannot be a folder's name."""
        if not STAGE.fullmatch(stage) or stage == INDEX:
            raise RunError(f"no stage can be called {stage!r}: small letters, digits, - and _, and not {INDEX}")
        key = key_of({"stage": stage, "inputs": inputs} | ({"made": made()} if self.strict else {}))
        return key[: KEY_LENGTH + len(UNKEPT) * key.startswith(UNKEPT)]

    def place(self, stage: str, key: str) -> Path:
        return self.root / stage / key

    def holds(self, stage: str, key: str) -> bool:
        """Whether there is a finished entry of this key, by its file being there; `read` checks it."""
        try:
            return (stage, key) in self._unkept or self.place(stage, key).is_file()
        except OSError as error:
            raise sealed.unread(self.place(stage, key), error) from None

    def seconds(self, stage: str, key: str) -> float | None:
        """That the work took whose result is kept; None where none is, or its file does not say. Its content is not checked."""
        if found := self._unkept.get((stage, key)):
            return found.facts.get("seconds")
        with suppress(FileNotFoundError, sealed.Damaged, RunError):
            seconds: float | None = sealed.facts(self.place(stage, key))["facts"].get("seconds")
            return seconds
        return None

    def read(self, stage: str, inputs: Mapping[str, Any]) -> Entry | None:
        """The finished entry, or None; a damaged one is reported through `warn`, and None. RunError for one that cannot be
        read."""
        return self._read(stage, self.key(stage, inputs))

    def open(self, stage: str, inputs: Mapping[str, Any]) -> Opened | None:
        """The same, whose tensors are read by rows, when they are asked for."""
        key = self.key(stage, inputs)
        if found := self._unkept.get((stage, key)):
            return Opened(Held(found.tensors), found.facts)
        read = self._whole(stage, key, sealed.opened)
        return None if read is None else Opened(read[0], read[1])

    def _read(self, stage: str, key: str, and_remove: bool = False) -> Entry | None:
        if found := self._unkept.get((stage, key)):
            return replace(found, cached=True)
        read = self._whole(stage, key, sealed.read, and_remove)
        return None if read is None else Entry(key, *read)

    def _whole(
        self, stage: str, key: str, read: Callable[[Path], tuple[Tensors, dict[str, Any]]], and_remove: bool = False
    ) -> tuple[Tensors, dict[str, Any]] | None:
        """What `read` makes of an entry's tensors, and its facts; None where it is missing or damaged."""
        place = self.place(stage, key)
        with suppress(OSError):
            if place.stat().st_mtime < time.time() - USED_AGAIN:
                os.utime(place)  # used now: what `store prune --older-than` goes by
        try:
            with sealed.reading(place):
                tensors, record = read(place)
                facts, made_with = record["facts"], record["made"]
        except FileNotFoundError:
            return None
        except sealed.Damaged as error:
            if (stage, key) not in self._named:
                self._named.add((stage, key))
                self.warn(f"{place} is damaged ({error}) and is made anew")
            if and_remove:
                try:
                    files.remove(place)
                except OSError as why:
                    self.warn(f"{place} is damaged and cannot be removed: {reason(why)}")
            return None
        self.differences.look((stage, key), made_with)
        return tensors, facts

    def make(self, stage: str, inputs: Mapping[str, Any], work: Callable[[], Made]) -> Entry:
        """The entry from the store, or from `work`, whose (tensors, facts) are stored with the seconds it took."""
        return self.resume(stage, inputs, lambda _checkpoint: work())

    def resume(self, stage: str, inputs: Mapping[str, Any], work: Making, of: str = "") -> Entry:
        """As `make`, for work that writes checkpoints and goes on from the last one after a kill.

        One process does the work; others that want the same entry wait for it. A lock is gone with its process. `of` says in
        words what the entry is made for first.
        """
        key = self.key(stage, inputs)
        if entry := self._read(stage, key):
            return entry
        if (stage, key) in self.failed:
            raise RunError(self.failed[stage, key])
        if key.startswith(UNKEPT):  # it could never be found again: this process alone has it
            self._unkept[stage, key] = entry = _in_memory(key, *_timed(work, Checkpoint(None)))
            return entry
        self._check_room()
        with self._lock(stage, key):
            if entry := self._read(stage, key, and_remove=True):  # made while we waited
                return entry
            checkpoint = Checkpoint(
                self.root / UNFINISHED / f"{stage}-{key}", self.checkpoint_every, self.warn, like=self.root
            )
            entry = self._write(stage, inputs, *_timed(work, checkpoint), of)
            checkpoint.clear()
            return entry

    def export(self, stage: str, key: str) -> bytes:
        """An entry as it lies in its file, for another store. RunError where it cannot be read."""
        place = self.place(stage, key)
        try:
            return place.read_bytes()
        except (OSError, MemoryError) as error:
            raise sealed.unread(place, error) from None

    def admit(self, stage: str, key: str, content: bytes) -> None:
        """An entry from another store, as `export` gave it. RunError where it is damaged or cannot be written."""
        if self.holds(stage, key):
            return
        try:
            with files.writing(self.place(stage, key), self.root, first=True) as beside:
                beside.write_bytes(content)
                sealed.check(beside)
            self.made.append((stage, key))
        except FileExistsError:
            pass
        except (OSError, sealed.Damaged) as error:
            raise RunError(f"stage {stage} came back but could not be stored: {reason(error)}") from None

    @contextmanager
    def _lock(self, stage: str, key: str) -> Iterator[None]:
        path = self.root / LOCKS / f"{stage}-{key}"

        def waiting() -> None:
            self.warn(f"another process is at this {stage}; waiting for it")

        with ExitStack() as holding:
            try:
                holding.enter_context(lock.held(path, self.root, waiting))
            except OSError as error:
                raise RunError(f"{path} cannot be locked: {reason(error)}") from None
            yield

    def _check_room(self) -> None:
        """RunError where the disk was full and still is: rather before hours of work than after."""
        if self._was_full and shutil.disk_usage(self.root).free < LITTLE_ROOM:
            raise RunError(f"the disk of the store {self.root} is full; {ROOM}")

    def _write(
        self, stage: str, inputs: Mapping[str, Any], tensors: Mapping[str, Tensor], facts: dict[str, Any], of: str
    ) -> Entry:
        key = self.key(stage, inputs)
        # What is read back is what a later run will read: JSON has turned tuples into lists.
        own = _in_memory(key, tensors, facts)
        record = {"stage": stage, "of": of, "inputs": inputs, "facts": facts, "made": made()}
        try:
            sealed.write(self.place(stage, key), own.tensors, record, self.root, first=True)
        except FileExistsError:  # where locks do not hold from one machine to another
            return self._read(stage, key) or own
        except (OSError, ValueError) as error:  # ValueError: of a type that no file holds
            advice = ""
            if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
                self._was_full, advice = True, f"; {ROOM}"
            place = self.place(stage, key)
            said = f"stage {stage} finished but could not be stored in {place}: {reason(error)}{advice}"
            raise RunError(said) from None
        self.made.append((stage, key))
        return own


def _in_memory(key: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Entry:
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return Entry(key, kept, json.loads(json.dumps(facts)), cached=False)


def _timed(work: Making, checkpoint: Checkpoint) -> Made:
    """What the work gives; among its facts the seconds that it took, with those that went into its last checkpoint."""
    began = time.perf_counter()
    tensors, facts = work(checkpoint)
    return tensors, {**facts, "seconds": time.perf_counter() - began + checkpoint.spent}
