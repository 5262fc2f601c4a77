"""A distilled set as everybody reads it: packed in its form, memory-mapped, decoded a slice at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from delt_host.errors import RunError
from delt_host.form import Form, Pixels
from delt_host.reader import ImageReader

if TYPE_CHECKING:
    from delt_host.components import Cost

LEARNED = ("labels", "learning_rate", "weights")
"""What is kept beside what the form packs, where it was learned."""
RESERVED = ("targets", *LEARNED)
READ_AT_ONCE = 256
"""Images that are decoded together where a whole set is gone through."""


@dataclass(frozen=True, eq=False)
class Part:
    """Some of a set's units, as they lie in a file."""

    packed: Mapping[str, Tensor]
    """What the form stores, of u units each; memory-mapped where it comes from a file."""
    units: Tensor
    """(u,) int64: the places of these units in the set."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Distilled(ImageReader):
    """A distilled set: what recovery leaves and what students are trained on. Image i is cell ``i % form.cells`` of unit
    ``i // form.cells``."""

    form: Form
    parts: tuple[Part, ...]
    """Every unit is in one of them."""
    targets: Tensor
    """(N,) int64 class indices."""
    fingerprint: str
    """SHA-256 over all that the set is, `fingerprint_of`; worked out once, when it is finished."""
    size_bytes: int
    """Of what is packed."""
    labels: Tensor | None = None
    """(U, C) float32 logits, one for each unit, where they were learned with the images."""
    learning_rate: Tensor | None = None
    """() float32: the rate that students are to take, where it was learned with the images."""
    weights: Tensor | None = None
    """(N,) float32: how much each image counts, where that was learned; None: all alike."""
    cost: Cost | None = None
    """What it took to make them, where that is known."""

    def __new__(cls, *former: object, **_named: object) -> Distilled:
        if former:
            raise TypeError("a set of images in memory is Distilled.of(pixels, targets) now")
        return super().__new__(cls)

    def __getattr__(self, name: str) -> Any:
        if name == "pixels":
            raise AttributeError("a set has no pixels: read(indices) gives those images, slices() all of them in turn")
        raise AttributeError(f"a set has no {name}")

    @classmethod
    def of(cls, pixels: Tensor, targets: Tensor, cost: Cost | None = None) -> Distilled:
        """A set of images in memory: `pixels` (N, 3, S, S) uint8 RGB, `targets` (N,) int64."""
        form, packed = Pixels(), {"images": pixels}
        return cls(
            form=form,
            parts=(Part(packed, torch.arange(len(pixels))),),
            targets=targets,
            fingerprint=fingerprint_of(form, packed, targets),
            size_bytes=packed_bytes(packed),
            cost=cost,
        )

    @staticmethod
    def of_reader(images: ImageReader, fingerprint: str, size_bytes: int, cost: Cost | None = None) -> Distilled:
        """A set whose images are read from elsewhere, a real split for one; it holds nothing itself."""
        return _Elsewhere(
            form=Pixels(),
            parts=(),
            targets=images.targets,
            fingerprint=fingerprint,
            size_bytes=size_bytes,
            cost=cost,
            images=images,
        )

    def read(self, indices: Tensor) -> Tensor:
        """The images at `indices` (B,), as uint8 RGB (B, 3, S, S)."""
        if len(self.parts) == 1:
            return self.form.read(self.parts[0].packed, self._images(0, indices))
        found: Tensor | None = None
        part_of = self._part[indices // self.form.cells]
        for number in part_of.unique().tolist():
            mine = (part_of == number).nonzero().flatten()
            images = self.form.read(self.parts[number].packed, self._images(number, indices[mine]))
            found = images.new_empty(len(indices), *images.shape[1:]) if found is None else found
            found[mine] = images
        return self.form.read(self.parts[0].packed, indices[:0]) if found is None else found

    def slices(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The whole set, a few images at a time: their places (B,), and the images (B, 3, S, S) uint8."""
        for indices in torch.arange(len(self)).split(READ_AT_ONCE):
            yield indices, self.read(indices)

    def _images(self, number: int, indices: Tensor) -> Tensor:
        """The places within a part of images of the set that are in it."""
        units = self._place[indices // self.form.cells]
        return units * self.form.cells + indices % self.form.cells

    @cached_property
    def _part(self) -> Tensor:
        """(U,): which part each unit is in."""
        return self._scattered([torch.full_like(part.units, number) for number, part in enumerate(self.parts)])

    @cached_property
    def _place(self) -> Tensor:
        """(U,): and where in it."""
        return self._scattered([torch.arange(len(part.units)) for part in self.parts])

    def _scattered(self, values: list[Tensor]) -> Tensor:
        found = torch.empty(sum(len(part.units) for part in self.parts), dtype=torch.int64)
        for part, own in zip(self.parts, values, strict=True):
            found[part.units] = own
        return found


@dataclass(frozen=True, eq=False, kw_only=True)
class _Elsewhere(Distilled):
    images: ImageReader

    def read(self, indices: Tensor) -> Tensor:
        return self.images.read(indices)


def fingerprint_of(
    form: Form, packed: Mapping[str, Tensor], targets: Tensor, learned: Mapping[str, Tensor] | None = None
) -> str:
    """SHA-256, in hexadecimal digits, over what a form has packed, its class and options, the targets, and what was learned
    beside the images; one tensor at a time, without a copy."""
    content = hashlib.sha256(f"{type(form).__name__} {form.model_dump_json()}".encode())
    for name, tensor in (*sorted(packed.items()), ("targets", targets), *sorted((learned or {}).items())):
        content.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        content.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return content.hexdigest()


def packed_bytes(packed: Mapping[str, Tensor]) -> int:
    """The bytes of what a form has packed."""
    return sum(tensor.numel() * tensor.element_size() for tensor in packed.values())


def check_packed(form: Form, packed: Mapping[str, Tensor], units: int, size: int) -> None:
    """RunError where a form breaks its contract."""
    if not packed:
        raise RunError("it packed nothing; give tensors of a unit each along their first dimension")
    for name, tensor in packed.items():
        if name in RESERVED:
            raise RunError(f"it packed a tensor {name!r}, a name that the host uses itself; choose another")
        if tensor.ndim < 1 or len(tensor) != units:
            raise RunError(
                f"it packed {name!r} of shape {tuple(tensor.shape)}, whose first dimension must be {units} units"
            )
    last = torch.tensor([units * form.cells - 1])
    image = form.read(packed, last)
    if image.dtype != torch.uint8 or tuple(image.shape) != (1, 3, size, size):
        raise RunError(f"it read an image as {image.dtype} {tuple(image.shape)}, not uint8 (1, 3, {size}, {size})")
