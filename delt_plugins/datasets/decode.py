"""Image files to uint8 RGB tensors: which formats, what is converted, what is refused."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Condition, Lock
from typing import BinaryIO, TypeVar

import numpy as np
import torch
from PIL import ExifTags, Image
from torch import Tensor

from delt_host import InputError
from delt_host.toolbox import zoom
from delt_plugins.datasets.levels import Levels, of_16_bits
from delt_plugins.datasets.reading import ReadingReport

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
KINDS = {
    "L": "grey",
    "1": "black-and-white",
    "P": "palette",
    "PA": "palette",
    "LA": "alpha",
    "RGBA": "alpha",
    "RGBa": "alpha",
    "CMYK": "CMYK",
    "YCbCr": "YCbCr",
    "LAB": "LAB",
}
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings an image upright, by its EXIF orientation."""
SEVERAL = "of several pictures, the first taken"
TOLD = 64  # images between two words on progress
LONGEST = 64  # times the short side, of what is brought to another size
ROOM = 2**30  # bytes of the images that are being decoded at one time
BYTES_A_PIXEL = 16  # while one is decoded: as it is in the file, as RGB, as an array
WAITING = 4096  # images that are given to threads at a time
_counting = Lock()

Made = TypeVar("Made")


class BadImage(InputError):
    """A file that is damaged, or no image of a format that is read; what `skip_bad_images` leaves out."""


def decode(path: Path | str, report: ReadingReport | None = None, size: int = 0) -> Tensor:
    """One image as uint8 RGB (3, H, W), or fitted into (3, size, size); what had to be converted is counted in `report`.

    Transparent pixels are laid on white, values of more than 8 bits are scaled as the report's `levels` say, of several
    pictures the first is taken, EXIF orientation is applied where the report says `upright`, colour profiles never.
    BadImage names a file that is no image, truncated or corrupt, or far too thin to be fitted; InputError one that the system
    does not give, or whose range of values nobody knows.
    """
    way_out = "repair or remove it, or go on without: --skip-bad-images"
    with _file(path) as file, _opened(file, f"image {path} cannot be read", way_out) as image:
        if size:
            _check_fits(image, size)
        with _room.of(BYTES_A_PIXEL * image.width * image.height):
            picture = torch.from_numpy(np.array(_rgb(image, str(path), report))).permute(2, 0, 1)
            if size and report is not None and picture.shape[1:] != (size, size):
                with _counting:
                    report.resized += 1
            return fit(picture, size) if size else picture


def decode_exact(content: bytes, name: str, size: int, report: ReadingReport | None = None) -> Tensor:
    """The content of an image file as uint8 RGB (3, size, size), converted as `decode` does.

    InputError for another size, before anything larger is decoded, and for what is no image.
    """
    with _opened(io.BytesIO(content), f"image {name} cannot be taken") as image:
        if image.size != (size, size):
            raise ValueError(f"it is {image.width} x {image.height} px, not {size} x {size}")
        return torch.from_numpy(np.array(_rgb(image, name, report))).permute(2, 0, 1)


def size_of(path: Path | str) -> tuple[int, int] | None:
    """Width and height that an image file says it has; None for a bad one, which decoding names or counts."""
    try:
        with _file(path) as file, _opened(file, "") as image:
            return None if _too_thin(image) else image.size
    except BadImage:
        return None


@contextmanager
def _file(path: Path | str) -> Iterator[BinaryIO]:
    """The file open; InputError, which is no BadImage, where the system does not give it."""
    try:
        with Path(path).open("rb") as file:
            yield file
    except OSError as error:
        raise InputError(f"the file of image {path} cannot be read: {error.strerror or error}") from None


@contextmanager
def _opened(file: BinaryIO, says: str, way_out: str = "") -> Iterator[Image.Image]:
    """An image open, its pixels not yet read. Whatever is wrong with the content, in whatever words, is a BadImage."""
    try:
        with Image.open(file, formats=FORMATS) as image:
            yield image
    except InputError:
        raise
    except (
        Exception
    ) as error:  # Pillow's plugins raise what they stumble over: struct.error, zlib.error, MemoryError, …
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system's: the file may be whole
        reason = _known(file) or str(error).partition(" <_io.")[0] or type(error).__name__
        raise BadImage(f"{says}: {reason}{'; ' if way_out else ''}{way_out}") from None


def _known(file: BinaryIO) -> str:
    """What a file is that Pillow does not know, where that is plain."""
    with suppress(OSError, ValueError):
        file.seek(0)
        start = file.read(64)
        if not start:
            return "it is empty"
        if start.startswith(b"version https://git-lfs"):
            return "it is a pointer of Git LFS, and the image is not here: git lfs pull"
        if start.lstrip().lower().startswith((b"<!doctype html", b"<html")):
            return "it is an HTML page"
    return ""


def _rgb(image: Image.Image, name: str, report: ReadingReport | None) -> Image.Image:
    """The image loaded, as RGB; what it was where it was something else is counted."""
    several, deep = False, of_16_bits(image)
    image.load()
    with suppress(Exception):  # whatever is wrong with the second picture
        several = bool(getattr(image, "is_animated", False))
    turn = _turn(image) if report is not None and report.upright else None
    picture, kind = _to_rgb(image, name, deep, Levels() if report is None else report.levels)
    if turn is not None:
        picture = picture.transpose(turn)
    if report is not None:
        with _counting:
            report.turned += turn is not None
            for each in (kind, SEVERAL if several else ""):
                if each:
                    report.converted[each] = report.converted.get(each, 0) + 1
    return picture


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What brings a photograph upright; None where it is, or says nothing that can be read."""
    with suppress(Exception):  # cameras and editors write EXIF of all kinds
        return UPRIGHT.get(int(image.getexif().get(ExifTags.Base.Orientation, 1)))
    return None


def _to_rgb(image: Image.Image, name: str, deep: bool, levels: Levels) -> tuple[Image.Image, str]:
    """The image as RGB, and what it was where it was something else."""
    if image.mode.startswith("I") or image.mode == "F":
        return levels.to_8_bits(image, name).convert("RGB"), "16-bit" if image.mode != "F" else "floating-point"
    if deep:
        levels.colour(image, name)
    if image.mode == "RGB":
        return image, "16-bit colour" if deep else ""
    kind = KINDS.get(image.mode, image.mode)
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        layer = image.convert("RGBA")
        ground = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(ground, layer).convert("RGB"), kind
    return image.convert("RGB"), kind


def _check_fits(image: Image.Image, size: int) -> None:
    if image.size != (size, size) and _too_thin(image):
        raise ValueError(f"it is {image.width} x {image.height} px: one side is more than {LONGEST} times the other")


def _too_thin(image: Image.Image) -> bool:
    """Whether its other side would be beyond all measure where the short one is brought to a size."""
    return max(image.size) > LONGEST * min(image.size)


class _Room:
    """Bytes for what is decoded at one time, in as many threads as there are; an image larger than all of it is alone."""

    def __init__(self, size: int) -> None:
        self.size = self.free = size
        self.changed = Condition()

    @contextmanager
    def of(self, wanted: int) -> Iterator[None]:
        wanted = min(wanted, self.size)
        with self.changed:
            self.changed.wait_for(lambda: self.free >= wanted)
            self.free -= wanted
        try:
            yield
        finally:
            with self.changed:
                self.free += wanted
                self.changed.notify_all()


_room = _Room(ROOM)


def fit(image: Tensor, size: int) -> Tensor:
    """uint8 (3, H, W) to (3, size, size): the short side to size // 7 * 8, then the centre (224 from 256, 64 from 72), as
    RDED's and DELT's code reads images.

    An image of the size asked for stays as it is, where theirs is enlarged, too: options `zoom` of `ranked` and `test_zoom` of
    protocols do as theirs.
    """
    return image if image.shape[1:] == (size, size) else zoom(image, size)


def decode_all(
    paths: Sequence[Path | str],
    size: int,
    report: ReadingReport | None = None,
    skip_bad_images: bool = False,
    progress: Callable[[int], None] = lambda _images: None,
) -> tuple[Tensor, Tensor]:
    """All images as uint8 (N, 3, size, size), and the positions (N,) in `paths` that could be read.

    Each goes to its place in the tensor as it is decoded, by as many threads as may compute; a bad one leaves its place to the
    next. `progress` is told how many more are done.
    """
    images, kept = torch.empty(len(paths), 3, size, size, dtype=torch.uint8), list[int]()
    into = images.numpy()  # threads of their own write where the caller may be in inference mode

    def one(place: int) -> BadImage | None:
        try:
            into[place] = decode(paths[place], report, size).numpy()
        except BadImage as error:
            if not skip_bad_images:
                raise
            return error
        return None

    with ThreadPoolExecutor(max_workers=torch.get_num_threads()) as pool:
        for place, bad in enumerate(_in_order(pool, one, len(paths))):
            if place % TOLD == TOLD - 1 or place == len(paths) - 1:
                progress(place % TOLD + 1)
            if bad is not None:
                if report is not None:
                    report.skipped.append(str(paths[place]))
                continue
            if len(kept) != place:
                into[len(kept)] = into[place]
            kept.append(place)
    return images[: len(kept)], torch.tensor(kept, dtype=torch.int64)


def _in_order(pool: ThreadPoolExecutor, work: Callable[[int], Made], count: int) -> Iterator[Made]:
    """What `work` makes of 0, 1, …, of which few wait for a thread at one time: a million of them would be a gigabyte."""
    for start in range(0, count, WAITING):
        yield from pool.map(work, range(start, min(start + WAITING, count)))
