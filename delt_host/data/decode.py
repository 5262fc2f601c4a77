"""Image files to uint8 RGB tensors: which formats, what is converted, what is refused."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from delt_host.data.base import ReadingReport
from delt_host.errors import InputError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
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
TOLD = 64  # images between two words on progress
_counting = Lock()


def decode(path: Path, report: ReadingReport | None = None) -> Tensor:
    """One image as uint8 RGB (3, H, W); what had to be converted is counted in `report`.

    Transparent pixels are laid on white, 16-bit grey is scaled to 8 bits, EXIF orientation is not applied (as
    torchvision's ImageFolder). InputError names a file that is no image, truncated or corrupt.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            image.load()
            picture, kind = _to_rgb(image)
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise InputError(
            f"image {path} cannot be read: {error}; repair or remove it, or go on without: --skip-bad-images"
        ) from None
    if kind and report is not None:
        with _counting:
            report.converted[kind] = report.converted.get(kind, 0) + 1
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def decode_exact(content: bytes, name: str, size: int, report: ReadingReport | None = None) -> Tensor:
    """The content of an image file as uint8 RGB (3, size, size), converted as `decode` does.

    InputError for another size, before anything larger is decoded, and for what is no image.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.size != (size, size):
                raise ValueError(f"it is {image.width} x {image.height} px, not {size} x {size}")
            image.load()
            picture, kind = _to_rgb(image)
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise InputError(f"image {name} cannot be taken: {error}") from None
    if kind and report is not None:
        report.converted[kind] = report.converted.get(kind, 0) + 1
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def _to_rgb(image: Image.Image) -> tuple[Image.Image, str]:
    """The image as RGB, and what it was where it was something else."""
    if image.mode == "RGB":
        return image, ""
    if image.mode.startswith("I") or image.mode == "F":
        # Pillow clips at 255 when it converts these; 65535 is white.
        levels = np.asarray(image, dtype=np.float64) / 257
        return Image.fromarray(levels.round().clip(0, 255).astype(np.uint8)).convert("RGB"), "16-bit"
    kind = KINDS.get(image.mode, image.mode)
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        layer = image.convert("RGBA")
        ground = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(ground, layer).convert("RGB"), kind
    return image.convert("RGB"), kind


def fit(image: Tensor, size: int) -> Tensor:
    """uint8 (3, H, W) to (3, size, size): the short side to size // 7 * 8, then the centre (224 from 256, 64 from 72).

    An image of the size asked for stays as it is. Antialiased bilinear; RDED's and DELT's validation transform.
    """
    if image.shape[1:] == (size, size):
        return image
    resized = transforms.resize(image, [max(size // 7 * 8, size)], antialias=True)
    return transforms.center_crop(resized, [size, size])


def decode_all(
    paths: Sequence[Path],
    size: int,
    report: ReadingReport | None = None,
    skip_bad_images: bool = False,
    progress: Callable[[int], None] = lambda _images: None,
) -> tuple[Tensor, Tensor]:
    """All images as uint8 (N, 3, size, size), and the positions (N,) in `paths` that could be read.

    `progress` is told how many more are done.
    """

    def one(path: Path) -> Tensor | InputError:
        try:
            image = decode(path, report)
            if report is not None and image.shape[1:] != (size, size):
                with _counting:
                    report.resized += 1
            return fit(image, size)
        except InputError as error:
            if not skip_bad_images:
                raise
            return error

    images, kept = [], []
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for place, result in enumerate(pool.map(one, paths)):
            if place % TOLD == TOLD - 1 or place == len(paths) - 1:
                progress(place % TOLD + 1)
            if isinstance(result, InputError):
                if report is not None:
                    report.skipped.append(str(paths[place]))
                continue
            images.append(result)
            kept.append(place)
    stacked = torch.stack(images) if images else torch.empty(0, 3, size, size, dtype=torch.uint8)
    return stacked, torch.tensor(kept, dtype=torch.int64)


def image_files(folder: Path) -> list[Path]:
    """The image files directly in a folder, by name."""
    return sorted(entry for entry in folder.iterdir() if entry.suffix.lower() in SUFFIXES and entry.is_file())
