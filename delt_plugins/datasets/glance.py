"""What a dry run is told of image files that nobody has looked at: how many there are, and how long looking at them takes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import torch

from delt_host import RealData, RunError, Services
from delt_host.toolbox import IMAGENET_MEAN, IMAGENET_STD, INDEX, UnreadSplit, digest
from delt_plugins.datasets.index import place_of, unknown

SAMPLE = 64  # files that are looked at to tell how long all of them take
UNSEEN = ""
"""In place of the name of a file that is taken to be there: its class was not listed."""


class TooLong(Exception):
    """Looking at files takes so many seconds, about, and a dry run does not wait for that."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


def listing_patience(split: Path, services: Services) -> float:
    """Seconds for which the folders of a split may be listed: all are where it is known what is in the files."""
    if services.store is not None and place_of(split, services.store.root / INDEX).is_file():
        return math.inf
    return services.patience / 2


def check_indexing(files: Sequence[str], others: Sequence[str], services: Services) -> None:
    """TooLong where nothing is remembered of the files of two folders, and looking at them takes too long."""
    if math.isinf(services.patience):
        return
    memory, new = services.store.root / INDEX if services.store is not None else None, list[str]()
    for each in (files, others):
        with suppress(RunError):  # the index says it
            new += unknown(each, memory)
    check(_read, new, services.patience)


def check(work: Callable[[str], object], files: Sequence[str], patience: float) -> None:
    """TooLong where it takes longer for all of these files, as a sample of them does, or where some were not listed."""
    if math.isinf(patience):
        return
    if (seconds := seconds_of(work, files)) > patience or UNSEEN in files:
        raise TooLong(seconds)


def seconds_of(work: Callable[[str], object], files: Sequence[str]) -> float:
    """How long it takes for so many files in as many threads as may compute, as a sample of them does."""
    listed = [file for file in files if file != UNSEEN]
    sample, began = listed[:: -(-len(listed) // SAMPLE) or 1], time.perf_counter()
    with ThreadPoolExecutor(max_workers=torch.get_num_threads()) as pool:
        list(pool.map(work, sample))
    return (time.perf_counter() - began) / max(len(sample), 1) * len(files)


def why(files: Sequence[str], seconds: float) -> str:
    """The sentence on data that are not indexed; without `UNSEEN` files, how many there are is known."""
    unseen, minutes = files.count(UNSEEN), round(seconds / 60)
    took = f"about {minutes} min" if minutes else "less than a minute"
    counted = (
        f"about {len(files):,} files, as many in each class as in those that were listed"
        if unseen
        else f"{len(files):,} files"
    )
    return (
        f"Not indexed: {counted}. That takes {took}, once; a run begins with it and keeps what it has done. "
        "Ask again then: what the store has is known by the content of images."
    )


def unread(
    name: str,
    class_names: Sequence[str],
    size: int,
    train: Sequence[int],
    test: Sequence[int],
    notes: Sequence[str],
    reason: str,
) -> RealData:
    """The data as far as their classes tell, of each image of either split."""
    key = f"unread {digest([name, list(class_names), size, len(train), len(test)])}"
    return RealData(
        name,
        tuple(class_names),
        size,
        IMAGENET_MEAN,
        IMAGENET_STD,
        UnreadSplit(torch.tensor(train)),
        UnreadSplit(torch.tensor(test)),
        key,
        tuple(notes),
        reason,
    )


def _read(file: str) -> None:
    with suppress(OSError):  # indexing says it
        Path(file).read_bytes()
