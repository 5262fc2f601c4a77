"""A dataset from outside: discs, squares and triangles of random colour, size and place, drawn by Pillow."""

import hashlib

import torch
from PIL import Image, ImageDraw
from pydantic import Field
from torchvision.transforms.functional import pil_to_tensor

from delt_host import Dataset, MemorySplit, RealData, Services, hookimpl

CLASSES = ("disc", "square", "triangle")


class Shapes(Dataset):
    """One bright shape on a dark ground."""

    per_class: int = Field(300, ge=1)
    """Training images of each class; a quarter as many for testing."""
    image_size: int = Field(16, ge=8)
    """Pixels a side."""

    def load(self, services: Services | None = None) -> RealData:
        rng = torch.Generator().manual_seed(0)
        train, test = (self._split(count, rng) for count in (self.per_class, max(self.per_class // 4, 1)))
        # The fingerprint must change when the images do: it is part of the store's keys.
        fingerprint = hashlib.sha256(train.images.numpy().tobytes() + test.images.numpy().tobytes()).hexdigest()
        return RealData("shapes", CLASSES, self.image_size, (0.3,) * 3, (0.25,) * 3, train, test, fingerprint)

    def _split(self, count: int, rng: torch.Generator) -> MemorySplit:
        images = [draw(shape, self.image_size, rng) for shape in CLASSES for _ in range(count)]
        return MemorySplit(torch.stack(images), torch.arange(len(CLASSES)).repeat_interleave(count))


def draw(shape: str, size: int, rng: torch.Generator) -> torch.Tensor:
    """(3, size, size) uint8."""
    dark, bright = (tuple(torch.randint(low, low + 100, (3,), generator=rng).tolist()) for low in (0, 150))
    side, left, top = torch.rand(3, generator=rng).tolist()
    side = (0.4 + 0.4 * side) * size
    left, top = left * (size - side), top * (size - side)
    picture = Image.new("RGB", (size, size), dark)
    pen, right, bottom = ImageDraw.Draw(picture), left + side, top + side
    if shape == "disc":
        pen.ellipse((left, top, right, bottom), fill=bright)
    elif shape == "square":
        pen.rectangle((left, top, right, bottom), fill=bright)
    else:
        pen.polygon(((left, bottom), (right, bottom), ((left + right) / 2, top)), fill=bright)
    return pil_to_tensor(picture)


@hookimpl
def delt_datasets() -> dict[str, type[Dataset]]:
    return {"shapes": Shapes}
