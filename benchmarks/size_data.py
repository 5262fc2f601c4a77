"""1,000 classes of photographs' size for `size.py`: ``python benchmarks/size_data.py FOLDER`` writes 52,000 JPEGs of 224 px.

Each class has a tint of its own under a texture of each image's own, so that a small network tells the classes apart soon.
"""

from __future__ import annotations

import argparse
import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES, SIDE, TRAIN, TEST = 1000, 224, 50, 2
LEVELS = np.linspace(28, 228, 10)
"""Of each channel: ten to the third are 1,000 tints."""
TEXTURES, CONTRAST = 16, 24.0  # of zero mean, in levels


def textures(count: int = TEXTURES) -> np.ndarray:
    """Textures (count, SIDE, SIDE, 3) float32 of zero mean, coarse and fine."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (14, 14, 3), dtype=np.uint8)).resize(
            (SIDE, SIDE), Image.Resampling.BICUBIC
        )
        both = np.asarray(coarse, np.float32) + 0.3 * rng.integers(0, 256, (SIDE, SIDE, 3)).astype(np.float32)
        both -= both.mean(axis=(0, 1))
        made.append(CONTRAST * both / both.std())
    return np.stack(made)


def write(folder: Path, classes: int = CLASSES, train: int = TRAIN, test: int = TEST) -> None:
    """Class folders under `train` and `val`; what is there already stays."""
    tints, patterns = list(itertools.product(LEVELS, LEVELS, LEVELS)), textures()

    def one(label: int) -> None:
        rng = np.random.default_rng(label)
        for split, count in (("train", train), ("val", test)):
            place = folder / split / f"{label:04}"
            place.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                pattern = np.roll(patterns[rng.integers(TEXTURES)], tuple(rng.integers(SIDE, size=2)), axis=(0, 1))
                pixels = np.clip(np.asarray(tints[label % len(tints)], np.float32) + pattern, 0, 255).astype(np.uint8)
                if not (file := place / f"{number:02}.jpg").exists():
                    Image.fromarray(pixels).save(file, quality=75)

    with ThreadPoolExecutor() as pool:
        list(pool.map(one, range(classes)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--classes", type=int, default=CLASSES)
    arguments = parser.parse_args()
    write(arguments.folder, arguments.classes)
