"""The distilled images as the page holds them: encoded alike within a budget of bytes, in the order of optimisation."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image

if TYPE_CHECKING:
    from torch import Tensor

    from delt_host import DistilledSet
    from delt_host.workshop import History

CLASSES, PER_CLASS = 10, 10
SAMPLE = 24  # images that tell how large an encoding is


class Encoding(NamedTuple):
    side: int
    """Pixels along a side; 0: as the image is."""
    quality: int
    """Of JPEG; 0: lossless WebP."""

    @property
    def words(self) -> str:
        how = f"as JPEG of quality {self.quality}" if self.quality else "without loss"
        return f"at {self.side} px, {how}" if self.side else how


# Exact pixels where they fit, then JPEG with full colour, then smaller.
ENCODINGS = (Encoding(0, 0), Encoding(0, 90), Encoding(0, 75), Encoding(128, 75), Encoding(96, 75), Encoding(64, 75))


@dataclass(frozen=True)
class Picture:
    """One image of the page."""

    pixels: Tensor
    """(3, S, S) uint8."""
    alt: str
    """What it is of, for those who do not see it, and under it when it is enlarged."""
    iterations: int = 0


@dataclass(frozen=True)
class Strip:
    """One row's images of one class, from the one optimised longest to the one optimised shortest."""

    label: str
    number: int
    note: str
    pictures: list[Picture]
    pairs: list[tuple[Picture, Picture]] = field(default_factory=list)
    """Images as they started, and as they became."""


def strips(label: str, number: int, made: DistilledSet, history: History | None) -> dict[str, Strip]:
    """A row's strips by the name of the class: its first ten classes, and of each at most ten images, evenly chosen."""
    found = {}
    for target, name in enumerate(made.class_names[:CLASSES]):
        own = (made.targets == target).nonzero().flatten()
        if not len(own):
            continue
        if history is not None:
            own = own[history.iterations[own].argsort(descending=True, stable=True)]
        ranks = evenly(len(own), PER_CLASS)
        pictures = {}
        for rank in ranks:
            index = int(own[rank])
            alt = f"{label}, {name}, image {rank + 1} of {len(own)}{_length(history, index)}"
            pixels = made.read(own[rank : rank + 1])[0]
            pictures[index] = Picture(pixels, alt, int(history.iterations[index]) if history else 0)
        found[name] = Strip(label, number, _note(history, own), list(pictures.values()), _pairs(pictures, history))
    return found


def encode(pictures: Sequence[Picture], budget: int) -> tuple[list[str], Encoding]:
    """The pictures as `data:` addresses, all encoded alike, by the first encoding whose bytes are within the budget."""
    sample = [pictures[place] for place in evenly(len(pictures), SAMPLE)]
    chosen = ENCODINGS[-1]
    for encoding in ENCODINGS:
        if sum(len(_bytes(picture, encoding)) for picture in sample) / len(sample) * len(pictures) <= budget:
            chosen = encoding
            break
    kind = "jpeg" if chosen.quality else "webp"
    coded = (base64.b64encode(_bytes(picture, chosen)).decode() for picture in pictures)
    return [f"data:image/{kind};base64,{each}" for each in coded], chosen


def _bytes(picture: Picture, encoding: Encoding) -> bytes:
    image = Image.fromarray(picture.pixels.permute(1, 2, 0).contiguous().numpy())
    if encoding.side and image.width > encoding.side:
        image = image.resize((encoding.side, encoding.side), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    if encoding.quality:
        # Not optimize=True: Pillow's buffer for it is too small for noise at 4:4:4, which distilled images can be.
        image.save(file, "JPEG", quality=encoding.quality, subsampling=0)
    else:
        image.save(file, "WEBP", lossless=True)
    return file.getvalue()


def _pairs(pictures: dict[int, Picture], history: History | None) -> list[tuple[Picture, Picture]]:
    if history is None:
        return []
    return [
        (Picture(start, f"{pictures[index].alt}: as it started"), pictures[index])
        for index, start in zip(history.images.tolist(), history.start, strict=True)
        if index in pictures and int(history.iterations[index])
    ]


def _length(history: History | None, index: int) -> str:
    if history is None:
        return ""
    count = int(history.iterations[index])
    return f", {count:,} iterations" if count else ", not optimised"


def _note(history: History | None, own: Tensor) -> str:
    if history is None:
        return ""
    most, fewest = int(history.iterations[own[0]]), int(history.iterations[own[-1]])
    if not most:
        return "not optimised"
    return f"{most:,} iterations" if most == fewest else f"{most:,} → {fewest:,} iterations"


def evenly(count: int, most: int) -> list[int]:
    """At most so many places of 0..count-1, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return [round(place * (count - 1) / (most - 1)) for place in range(most)]
