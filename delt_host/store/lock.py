"""One process at a time: a lock is gone with the process that held it, and its file with the work, unless that was killed."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from delt_host.store.files import make_folders


@contextmanager
def held(path: Path, like: Path, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock of this name, its file with the permissions of the folder `like`.

    Where another process has it, `waiting` is called and that one waited for; without `waiting`, filelock.Timeout. OSError.
    """
    if not path.parent.is_dir():
        make_folders(path.parent, like)
        # In a sticky folder nobody could take, or remove, what another user's killed process left.
        with suppress(OSError):
            path.parent.chmod(stat.S_IMODE(path.parent.stat().st_mode) & ~stat.S_ISVTX)
    lock = FileLock(path, mode=stat.S_IMODE(like.stat().st_mode) & 0o666)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if waiting is None:
            raise
        waiting()
        lock.acquire()
    try:
        yield
    finally:
        with suppress(OSError):  # while it is held: who waits for it sees that the file is gone, and takes a new one
            path.unlink()
        lock.release()
