"""Peak memory of loading a data set that is kept in memory: 110,000 images of 64 px, as Tiny-ImageNet lies.

    python benchmarks/loading.py [CLASSES]

Two processes load it, one after the other with one store: the first decodes, the second reads what was kept. The peak is the
process's resident memory; the ratio is that over what it was before loading, and over nothing, to the bytes of the pixels.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from PIL import Image

from delt_host import Services
from delt_host.store.store import Store
from delt_plugins.datasets.tiny_imagenet import TinyImageNet
from harness import high_water

SIZE, TRAINING, VALIDATION = 64, 500, 50


def make(root: Path, classes: int) -> None:
    """The layout of tiny-imagenet-200.zip; the pixels are noise of a few images, which lie there as links."""
    names = [f"n{number:08d}" for number in range(classes)]
    (root / "val/images").mkdir(parents=True)
    (root / "wnids.txt").write_text("\n".join(names), encoding="utf-8")
    pixels = torch.randint(256, (50, SIZE, SIZE, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    sources = []
    for number, each in enumerate(pixels):
        sources.append(root / f"{number}.jpg")
        Image.fromarray(each.numpy()).save(sources[-1])
    lines = []
    for label, name in enumerate(names):
        (root / "train" / name / "images").mkdir(parents=True)
        for number in range(TRAINING):
            (root / "train" / name / "images" / f"{name}_{number}.JPEG").hardlink_to(sources[(number + label) % 50])
        for number in range(VALIDATION):
            file = f"val_{label}_{number}.JPEG"
            (root / "val/images" / file).hardlink_to(sources[(number + label) % 50])
            lines.append(f"{file}\t{name}\t0\t0\t63\t63\n")
    (root / "val/val_annotations.txt").write_text("".join(lines), encoding="utf-8")


def load(root: Path, store: Path) -> None:
    """In this process: what it takes, as JSON."""
    before = high_water()
    data = TinyImageNet(root=str(root)).load(Services(Store(store)))
    pixels = (len(data.train) + len(data.test)) * 3 * SIZE**2
    print(json.dumps({"pixels": pixels, "before": before, "peak": high_water()}))


def main() -> None:
    if len(sys.argv) == 4:
        load(Path(sys.argv[2]), Path(sys.argv[3]))
        return
    with tempfile.TemporaryDirectory() as folder:
        root, store = Path(folder) / "set", Path(folder) / "store"
        make(root, int(sys.argv[1]) if len(sys.argv) > 1 else 200)
        for which in ("first", "again"):
            command = [sys.executable, __file__, "load", str(root), str(store)]
            found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            over = found["peak"] - found["before"]
            share, more = (found[name] / found["pixels"] for name in ("peak", "before"))
            print(
                f"{which}: {found['pixels']:,} bytes of pixels, {found['peak']:,} at the peak ({share:.2f}), "
                f"{over:,} over what it was before ({share - more:.2f})"
            )


if __name__ == "__main__":
    main()
