"""Every stage's output, kept under a key of everything it depends on, so that nothing is computed twice.

An entry (`entry.py`) is written beside its place and renamed, so it is there as a whole or not at all; a damaged one is
named, removed and made anew, and one that cannot be read is named and left. Everything has the permissions of the store's
folder, whatever the umask, so that several users may share one. Only safetensors and JSON are ever read.
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
from typing import Any

import safetensors.torch
from torch import Tensor

from delt_host import files, lock
from delt_host.entry import (
    CHOOSE,
    FACTS,
    INDEX,
    KEY_LENGTH,
    LOCKS,
    TENSORS,
    UNFINISHED,
    UNKEPT,
    Damaged,
    Name,
    digest,
    discard,
    file_digest,
    key_of,
    read_record,
    reading,
    reason,
    store_at,
    unread,
)
from delt_host.errors import InputError, RunError
from delt_host.made import Differences, made
from delt_host.resume import EVERY, Checkpoint

ROOM = "make room, for one with delt-host store prune; the same command goes on from what is kept"

STAGE = re.compile(r"[a-z][a-z0-9_-]*")  # not two that differ in case alone, which some file systems take for one
LITTLE_ROOM = 2**24  # bytes on the disk, with which nothing more is begun


@dataclass(frozen=True)
class Entry:
    key: str
    tensors: dict[str, Tensor]
    facts: dict[str, Any]
    cached: bool = True


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

    def folder(self, stage: str, key: str) -> Path:
        return self.root / stage / key

    def holds(self, stage: str, key: str) -> bool:
        """Whether there is a finished entry of this key, by its files being there; `read` checks them."""
        try:
            return (stage, key) in self._unkept or (self.folder(stage, key) / FACTS).is_file()
        except OSError as error:
            raise unread(self.folder(stage, key), error) from None

    def read(self, stage: str, inputs: Mapping[str, Any]) -> Entry | None:
        """The finished entry, or None; a damaged one is reported through `warn`, and None. RunError for one that cannot be
        read."""
        return self._read(stage, self.key(stage, inputs))

    def _read(self, stage: str, key: str, and_discard: bool = False) -> Entry | None:
        if found := self._unkept.get((stage, key)):
            return replace(found, cached=True)
        folder = self.folder(stage, key)
        try:
            with reading(folder):
                entry, made_with = _read_entry(folder, key)
        except FileNotFoundError:
            return None
        except Damaged as error:
            if (stage, key) not in self._named:
                self._named.add((stage, key))
                self.warn(f"{folder} is damaged ({error}) and is made anew")
            if and_discard:
                try:
                    discard(folder, self.root)
                except OSError as why:
                    self.warn(f"{folder} is damaged and cannot be removed: {reason(why)}")
            return None
        with suppress(OSError):
            os.utime(folder)  # used now: what `store prune --older-than` goes by
        self.differences.look((stage, key), made_with)
        return entry

    def make(
        self,
        stage: str,
        inputs: Mapping[str, Any],
        work: Callable[[], tuple[Mapping[str, Tensor], dict[str, Any]]],
    ) -> Entry:
        """The entry from the store, or from `work`, whose (tensors, facts) are stored with the seconds it took."""
        return self.resume(stage, inputs, lambda _checkpoint: work())

    def resume(
        self,
        stage: str,
        inputs: Mapping[str, Any],
        work: Callable[[Checkpoint], tuple[Mapping[str, Tensor], dict[str, Any]]],
        of: str = "",
    ) -> Entry:
        """As `make`, for work that writes checkpoints and goes on from the last one after a kill.

        One process does the work; others that want the same entry wait for it. A lock is gone with its process. `of` says in
        words what the entry is made for first.
        """
        key = self.key(stage, inputs)
        if key.startswith(UNKEPT):
            return self._in_memory(stage, key, work)
        if entry := self.read(stage, inputs):
            return entry
        if (stage, key) in self.failed:
            raise RunError(self.failed[stage, key])
        self._check_room()
        with self._lock(stage, key):
            if entry := self._read(stage, key, and_discard=True):  # made while we waited
                return entry
            place = self.root / UNFINISHED / f"{stage}-{key}"
            checkpoint = Checkpoint(place, self.checkpoint_every, self.warn, like=self.root)
            began = time.perf_counter()
            tensors, facts = work(checkpoint)
            facts = {**facts, "seconds": time.perf_counter() - began + checkpoint.spent}
            entry = self._write(stage, inputs, tensors, facts, of)
            checkpoint.clear()
            return entry

    def _in_memory(
        self, stage: str, key: str, work: Callable[[Checkpoint], tuple[Mapping[str, Tensor], dict[str, Any]]]
    ) -> Entry:
        """As `resume`, for what could never be found again: this process alone has it."""
        if found := self._unkept.get((stage, key)):
            return replace(found, cached=True)
        began = time.perf_counter()
        tensors, facts = work(Checkpoint(None))
        facts = json.loads(json.dumps({**facts, "seconds": time.perf_counter() - began}))
        kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        self._unkept[stage, key] = entry = Entry(key, kept, facts, cached=False)
        return entry

    def export(self, stage: str, key: str) -> tuple[bytes, bytes]:
        """An entry's facts and tensors as they lie in its files, for another store. RunError where it cannot be read."""
        folder = self.folder(stage, key)
        try:
            return (folder / FACTS).read_bytes(), (folder / TENSORS).read_bytes()
        except (OSError, MemoryError) as error:
            raise unread(folder, error) from None

    def admit(self, stage: str, key: str, facts: bytes, tensors: bytes) -> None:
        """An entry from another store, as `export` gave it. RunError where it is damaged or cannot be written."""

        def fill(folder: Path) -> None:
            files.write(folder / FACTS, facts, self.root)
            files.write(folder / TENSORS, tensors, self.root)
            with reading(folder):
                _read_entry(folder, key)

        if not self.holds(stage, key):
            try:
                self._place(stage, key, fill)
            except (OSError, Damaged) as error:
                raise RunError(f"stage {stage} came back but could not be stored: {reason(error)}") from None

    def _place(self, stage: str, key: str, fill: Callable[[Path], None]) -> bool:
        """Let `fill` write an entry's files, and put them into their place as a whole; False where another was there first.
        OSError."""
        place = self.folder(stage, key)
        try:
            with files.making_folder(place, within=self.root, like=self.root) as folder:
                fill(folder)
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY) and (place / FACTS).is_file():
                return False
            raise
        self.made.append((stage, key))
        return True

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
        contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}

        def fill(folder: Path) -> None:
            files.write_tensors(folder / TENSORS, contiguous, like=self.root)
            record = {"stage": stage, "of": of, "inputs": inputs, "facts": facts, "made": made()}
            record["tensors"] = file_digest(folder / TENSORS)
            record["checksum"] = digest(record)
            files.write(folder / FACTS, json.dumps(record, indent=1), self.root)

        try:
            first = self._place(stage, key, fill)
        except (OSError, RuntimeError) as error:  # RuntimeError: two tensors of one memory
            advice = ""
            if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
                self._was_full, advice = True, f"; {ROOM}"
            place = self.folder(stage, key)
            raise RunError(
                f"stage {stage} finished but could not be stored in {place}: {reason(error)}{advice}"
            ) from None
        # What is read back is what a later run will read: JSON has turned tuples into lists.
        own = Entry(key, contiguous, json.loads(json.dumps(facts)), cached=False)
        return own if first else self._read(stage, key) or own


def _read_entry(folder: Path, key: str) -> tuple[Entry, dict[str, Any]]:
    """The entry, and what it was made with; to be called inside of `reading`."""
    record = read_record(folder)
    return Entry(key, safetensors.torch.load_file(folder / TENSORS), record["facts"]), record["made"]
