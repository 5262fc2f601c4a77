"""Indexing ImageNet-1K's layout: 1,000 classes of 1,280 training and 50 validation images of 224 px, in files.

    python benchmarks/indexing.py FOLDER [CLASSES]

FOLDER is made where it is not there: a few thousand distinct images, which lie there as hard links, so that the system has
their contents in memory and what is measured is not the disk's reading. Two processes load the set, one after the other
with one new store: the first looks into every file, the second remembers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from delt_host import Services
from delt_host.store import sealed
from delt_host.store.store import Store
from delt_plugins.datasets import files, folder, index
from delt_plugins.datasets.folder import ImageFolder
from harness import high_water

SIZE, TRAINING, VALIDATION = 224, 1280, 50
DISTINCT = 4000
"""A file system has tens of thousands of links to a file."""
QUALITY = 90
"""What gives noise of 224 px about as many bytes as ImageNet's photographs have."""

PARTS: tuple[tuple[str, Any, str], ...] = (
    ("which splits there are", folder, "layout_of"),
    ("names of the files", folder, "class_files"),
    ("sizes of a sample", folder, "_own_size"),
    ("what lies in the files", files, "index"),
    ("mean and std of a sample", files, "mean_and_std"),
    ("  of what lies in the files: the memory written", sealed, "write"),
    ("  of what lies in the files: the memory read", sealed, "read"),
    ("  of what lies in the files: what is remembered", index._Memory, "recall"),
)
"""What is timed: functions where they are called from."""


def make(root: Path, classes: int) -> None:
    """The layout of an unpacked ImageNet-1K."""
    sources = root / ".sources"
    sources.mkdir(parents=True)
    rng = torch.Generator().manual_seed(0)
    for number in range(min(DISTINCT, classes * VALIDATION)):
        pixels = torch.randint(256, (SIZE, SIZE, 3), generator=rng, dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(sources / f"{number}.jpg", quality=QUALITY, subsampling=0)
    names = sorted(path.name for path in sources.iterdir())
    taken = 0
    for split, count in (("train", TRAINING), ("val", VALIDATION)):
        for label in range(classes):
            into = root / split / f"n{label:08d}"
            into.mkdir(parents=True)
            for number in range(count):
                os.link(sources / names[taken % len(names)], into / f"n{label:08d}_{number}.JPEG")
                taken += 1


def load(root: Path, store: Path) -> None:
    """In this process: what it takes, as JSON."""
    before, spent = high_water(), dict[str, float]()
    for part, where, called in PARTS:
        setattr(where, called, timed(getattr(where, called), part, spent))
    began = time.perf_counter()
    data = ImageFolder(path=str(root)).load(Services(Store(store)))
    seconds = time.perf_counter() - began
    found = {"images": len(data.train) + len(data.test), "seconds": seconds, "fingerprint": data.fingerprint}
    print(json.dumps({**found, "before": before, "peak": high_water(), "spent": spent}))


def timed(work: Callable[..., Any], part: str, spent: dict[str, float]) -> Callable[..., Any]:
    def measured(*arguments: Any, **options: Any) -> Any:
        with counted(part, spent):
            return work(*arguments, **options)

    return measured


@contextmanager
def counted(part: str, spent: dict[str, float]) -> Iterator[None]:
    began = time.perf_counter()
    try:
        yield
    finally:
        spent[part] = spent.get(part, 0.0) + time.perf_counter() - began


def main() -> None:
    if sys.argv[1] == "load":
        load(Path(sys.argv[2]), Path(sys.argv[3]))
        return
    root, classes = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    if not root.exists():
        began = time.perf_counter()
        make(root, classes)
        print(f"made in {time.perf_counter() - began:.0f} s", flush=True)
        time.sleep(index.RECENT + 1)  # what was made just now is not remembered
    with tempfile.TemporaryDirectory(dir=root.parent) as store:
        for which in ("first", "again"):
            command = [sys.executable, __file__, "load", str(root), store]
            found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            print(
                f"{which}: {found['images']:,} images in {found['seconds']:.1f} s; {found['peak'] / 2**20:,.0f} MiB at the "
                f"peak, {found['before'] / 2**20:,.0f} before; data {found['fingerprint'][:12]}"
            )
            for part, seconds in found["spent"].items():
                print(f"  {part}: {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    main()
