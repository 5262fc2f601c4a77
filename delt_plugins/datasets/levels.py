"""Which value is white: images of more than 8 bits a value are scaled by a range that the data set shows or the user says.

One image of a series may be dark, so that the range is decided for all of them; and where it is not plain, nothing is guessed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from threading import Lock

import numpy as np
from PIL import Image

from delt_host import InputError

FULL = 65535.0
"""White of 16 bits, where they are used to the full."""
LEAST_OF_FULL = 2**15
"""A data set whose brightest value is below this uses half of 16 bits at most: it may hold 12 bits, or 10, or 8."""
FAIR_SHARE = 10
"""One image in so many has to use the upper half, and two where there are several: one pixel of one image decides nothing."""
SET = "--set dataset.white="
CONVERT = f"convert them to 8 bits, or {SET}65535 if they are dark"
"""Of colours only the upper 8 bits can be had."""
NOTHING = (-1.0, "")
HALF_A_LEVEL = 1 + 1 / 510
_noting = Lock()


class RangeUnknown(InputError):
    """An image whose values mean nothing until somebody says which of them is white. It is not a bad image."""


@dataclass
class Levels:
    """The value that is white in the images of a data set that have more than 8 bits a value."""

    white: float = 0.0
    """0: 16 bits to the full, as far as `check` finds the data to say so."""
    images: int = 0
    """Images of 16 bits that were seen."""
    bright: int = 0
    """Those among them that use the upper half."""
    colours: bool = False
    """Whether some of them have colours."""
    brightest: tuple[float, str] = NOTHING
    """The largest value of all, and the first image by name that has it."""
    dimmest: tuple[float, str] = NOTHING
    """Likewise of those images that use the lower half alone."""
    settled: bool = False
    """Whether the range was decided already, so that an image of a kind that was not among those looked at is refused."""

    def to_8_bits(self, image: Image.Image, name: str) -> Image.Image:
        """A grey image (modes I, I;16 and F) as L. RangeUnknown where nothing says which value is white."""
        values = np.asarray(image)
        low, high = float(values.min()), float(values.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError("some of its values are not numbers")
        deep = image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PPM", "PNG"))
        kind = "16-bit" if deep else "floating-point" if image.mode == "F" else "32-bit"
        found = f"image {name} is {kind} grey (mode {image.mode}) with values from {low:.6g} to {high:.6g}"
        if low < 0:
            raise RangeUnknown(f"{found}: 0 has to be black; convert it to 8 bits")
        if not self.white and not deep:
            raise RangeUnknown(f"{found}, and nothing says which of them is white: --set dataset.white=VALUE")
        if self.white and high > self.white * HALF_A_LEVEL:
            raise RangeUnknown(f"{found}, and dataset.white={self.white:g} says that none is larger")
        self._seen(high, name)
        scaled = values.astype(np.float32) * np.float32(255 / (self.white or FULL))
        return Image.fromarray(np.rint(scaled, out=scaled).clip(0, 255, out=scaled).astype(np.uint8))

    def colour(self, image: Image.Image, name: str) -> None:
        """Note a colour image of 16 bits a channel, of which Pillow gives the upper 8."""
        high = _brightest(image)
        if self.white not in (0.0, FULL):
            raise RangeUnknown(
                f"image {name} has colours of 16 bits, of which only the upper 8 can be read: "
                f"dataset.white={self.white:g} cannot be had; convert it to 8 bits"
            )
        self._seen(high * 257.0, name, colours=True)

    def _seen(self, high: float, name: str, colours: bool = False) -> None:
        if self.settled and not self.white:
            raise RangeUnknown(
                f"image {name} has 16 bits a value, as none had of those that were looked at: "
                + (CONVERT if colours else f"say which value is white: {SET}65535, or 4095 for 12 bits")
            )
        with _noting:
            self.images += 1
            self.colours |= colours
            self.brightest = _brighter(self.brightest, (high, name))
            if high >= LEAST_OF_FULL:
                self.bright += 1
            else:
                self.dimmest = _brighter(self.dimmest, (high, name))

    def check(self) -> None:
        """RangeUnknown where too few of the images of 16 bits use the upper half of them."""
        if self.white or self.bright >= max(self.images / FAIR_SHARE, min(self.images, 2)):
            return
        (high, example), (low, dim) = self.brightest, self.dimmest
        seen = f"no image of 16 bits a value is brighter than {high:.0f} of 65535 (image {example})"
        if self.bright:
            seen = (
                f"of {self.images} images of 16 bits a value {self.bright} uses the upper half of them (image {example}, up to "
                f"{high:.0f}), the others are no brighter than {low:.0f} (image {dim})"
            )
            seen = seen.replace(" uses ", " use ") if self.bright > 1 else seen
        mended = " and the brighter images are mended or removed" if self.bright else ""
        ways = f"{SET}{_next(low)} if it is that many bits{mended}, 65535 if the images are dark"
        raise RangeUnknown(f"{seen}, and nothing says which value is white: {CONVERT if self.colours else ways}")

    def settle(self) -> Levels:
        """What holds from now on for images that are read one at a time."""
        self.check()
        return Levels(FULL if not self.white and self.images else self.white, settled=True)


def of_16_bits(image: Image.Image) -> bool:
    """Whether an open colour image had 16 bits a channel; to be asked before it is loaded."""
    if image.mode.startswith("I") or image.mode == "F":
        return False
    for tile in getattr(image, "tile", ()):
        given = tile[3]
        form = given[0] if isinstance(given, tuple) and given else given
        if isinstance(form, str) and ";16" in form:
            return True
        if image.format == "PPM" and isinstance(form, int) and form > 255:
            return True
    return False


def _brightest(image: Image.Image) -> float:
    """The largest value of a loaded image's colours."""
    found = np.asarray(image)
    return float(found[..., :3].max())


def _brighter(one: tuple[float, str], other: tuple[float, str]) -> tuple[float, str]:
    """The one with the larger value; of equals the first by name, whichever was read first."""
    return min(one, other, key=lambda each: (-each[0], each[1]))


def _next(brightest: float) -> int:
    """The largest value of as many bits as hold this one."""
    return int(2 ** math.ceil(math.log2(brightest + 1)) - 1) if brightest >= 1 else 255
