"""A distilled set as everybody reads it: packed in its form, read from where it lies, decoded a slice at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from delt_host.basics.brief import Brief
from delt_host.contracts.form import Form, Pixels
from delt_host.contracts.packed import READ_AT_ONCE, Packed
from delt_host.contracts.reader import ImageReader


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
    packed: Packed | None
    """What the form stores, of U units each; None where nothing is packed."""
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
        form, packed = Pixels(), Packed.of({"images": pixels})
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
        return cls(
            form=Pixels(), packed=None, targets=reader.targets, fingerprint=fingerprint, cost=cost, reader=reader
        )

    @property
    def size_bytes(self) -> int:
        """Of what is packed; where nothing is, of as many raw images."""
        return len(self) * self.read(torch.tensor([0])).nbytes if self.packed is None else self.packed.nbytes

    def read(self, indices: Tensor) -> Tensor:
        """The images at `indices` (B,), as uint8 RGB (B, 3, S, S). RunError where the file that they are in is gone or damaged
        since."""
        if self.packed is not None:
            return self.packed.images(self.form, indices)
        assert self.reader is not None
        return self.reader.read(indices)

    def slices(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The whole set, a few images at a time: their places (B,), and the images (B, 3, S, S) uint8."""
        for indices in torch.arange(len(self)).split(READ_AT_ONCE):
            yield indices, self.read(indices)


def fingerprint_of(form: Form, packed: Packed, targets: Tensor, learned: Mapping[str, Tensor] | None = None) -> str:
    """SHA-256, in hexadecimal digits, over what a form has packed, its class and options, the targets, and what was learned
    beside the images; a few units at a time, in whatever pieces they lie."""
    content = hashlib.sha256(f"{type(form).__name__} {form.model_dump_json()}".encode())

    def add(name: str, dtype: torch.dtype, shape: Sequence[int], pieces: Iterable[Tensor]) -> None:
        content.update(f"{name} {dtype} {list(shape)}".encode())
        for piece in pieces:
            content.update(piece.contiguous().flatten().view(torch.uint8).numpy().data)

    for name in packed.names:
        add(name, packed.dtype(name), packed.shape(name), packed.slices(name))
    for name, tensor in (("targets", targets), *sorted((learned or {}).items())):
        add(name, tensor.dtype, tensor.shape, [tensor])
    return content.hexdigest()
