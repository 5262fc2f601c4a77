"""A distilled set as everybody reads it: packed in its form, memory-mapped, decoded a slice at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from delt_host.basics.brief import Brief
from delt_host.basics.errors import RunError
from delt_host.contracts.form import Form, Pixels
from delt_host.contracts.reader import ImageReader

LEARNED = ("labels", "learning_rate", "weights")
"""What is kept beside what the form packs, where it was learned."""
RESERVED = ("targets", *LEARNED)
READ_AT_ONCE = 256
"""Images that are decoded together where a whole set is gone through."""


@dataclass(frozen=True)
class Cost:
    """What recovering a distilled set took."""

    image_iterations: int = 0
    """By the plan: the sum over iterations of the number of units optimised."""
    multiply_adds: float = 0.0
    """Of the whole plan, forward and backward; they are counted, not timed."""
    seconds: float = 0.0
    """Measured when it was computed."""
    peak_bytes: float = 0.0
    """The most memory in use meanwhile; NaN where the system does not tell."""


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Distilled(ImageReader, Brief):
    """A distilled set: what recovery leaves and what students are trained on. Image i is cell ``i % form.cells`` of unit
    ``i // form.cells``."""

    form: Form
    """How its images are stored."""
    packed: Mapping[str, Tensor]
    """What the form stores, of U units each; memory-mapped where it comes from a file."""
    targets: Tensor
    """(N,) int64 class indices."""
    fingerprint: str
    """SHA-256 over all that the set is, `fingerprint_of`; worked out once, when it is finished."""
    labels: Tensor | None = None
    """(U, C) float32 logits, one for each unit, where they were learned with the images."""
    learning_rate: Tensor | None = None
    """() float32: the rate that students are to take, where it was learned with the images."""
    weights: Tensor | None = None
    """(N,) float32: how much each image counts, where that was learned; None: all alike."""
    cost: Cost | None = None
    """What it took to make them, where that is known."""
    reader: ImageReader | None = None
    """What reads the images in place of the form, where nothing is packed."""

    @classmethod
    def of(
        cls,
        pixels: Tensor,
        targets: Tensor,
        cost: Cost | None = None,
        labels: Tensor | None = None,
        learning_rate: Tensor | None = None,
    ) -> Distilled:
        """A set of images in memory: `pixels` (N, 3, S, S) uint8 RGB, `targets` (N,) int64, and what was learned beside them:
        `labels` (N, C) float32 logits, `learning_rate` () float32."""
        form, packed = Pixels(), {"images": pixels}
        learned = {"labels": labels, "learning_rate": learning_rate}
        kept = {name: each for name, each in learned.items() if each is not None}
        return cls(
            form=form,
            packed=packed,
            targets=targets,
            fingerprint=fingerprint_of(form, packed, targets, kept),
            labels=labels,
            learning_rate=learning_rate,
            cost=cost,
        )

    @classmethod
    def of_reader(cls, reader: ImageReader, fingerprint: str, cost: Cost | None = None) -> Distilled:
        """A set whose images are read from elsewhere, a real split for one; it holds nothing itself."""
        return cls(form=Pixels(), packed={}, targets=reader.targets, fingerprint=fingerprint, cost=cost, reader=reader)

    @property
    def size_bytes(self) -> int:
        """Of what is packed; where nothing is, of as many raw images."""
        if self.reader is None:
            return packed_bytes(self.packed)
        return len(self) * self.read(torch.tensor([0])).nbytes

    def read(self, indices: Tensor) -> Tensor:
        """The images at `indices` (B,), as uint8 RGB (B, 3, S, S)."""
        return self.form.read(self.packed, indices) if self.reader is None else self.reader.read(indices)

    def slices(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The whole set, a few images at a time: their places (B,), and the images (B, 3, S, S) uint8."""
        for indices in torch.arange(len(self)).split(READ_AT_ONCE):
            yield indices, self.read(indices)


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
    return sum(tensor.nbytes for tensor in packed.values())


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
