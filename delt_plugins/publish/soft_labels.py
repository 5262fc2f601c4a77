"""Soft labels beside a distilled set: files with every epoch's views and answers, which replay without a teacher.

The files ``labels-0000.safetensors``, … hold whole epochs, their tensors' first dimension; an epoch is read at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, FiniteFloat, PositiveFloat
from torch import Tensor
from torch.utils.data import Dataset, Subset

from delt_host import Batch, Distilled, ImageReader, InputError, Labels, Normalization, Problem, Protocol
from delt_host.workshop import (
    SOFT,
    FileKind,
    ViewSettings,
    build,
    distillation_loss,
    draw_epoch,
    replay_batch,
)
from delt_host.workshop import Header as AnyHeader
from delt_plugins.labels.packing import KEPT, unpack

BLOCK_BYTES = 256 * 2**20  # of a file, but for one epoch that is larger: what writing holds in memory
ALWAYS = ("order", "flip", "partner", "mix")
VIEWS = (*ALWAYS, "box", "operation", "argument", "resample", "strips", "siamese", "draws")
PATTERN = "labels-*.safetensors"


class Header(AnyHeader):
    """What a file of labels says beside its tensors."""

    images: str
    """SHA-256 of the images and classes that the labels belong to."""
    kind: Literal["logits", "probabilities"]
    classes: int = Field(ge=1)
    epochs: int = Field(ge=1)
    """Of all files together."""
    first: int = Field(ge=0)
    """The number of this file's first epoch."""
    count: int = Field(ge=1)
    """How many epochs it holds."""
    batch: int = Field(ge=1)
    crop: Literal["resized", "pad", "none"]
    mix: Literal["cutmix", "mixup", "none"]
    mean: tuple[FiniteFloat, FiniteFloat, FiniteFloat]
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    relabeler: dict[str, Any] = Field(default_factory=dict)
    protocol: dict[str, Any] = Field(default_factory=dict)
    """The settings that the labels were made for: loss, temperature, learning rate and all others."""


FILE = FileKind("labels", "delt_host.labels", Header, "{path} is a safetensors file, but not of labels", ALWAYS)


@dataclass(frozen=True)
class Block:
    """One file."""

    path: Path
    header: Header


class SoftLabels(Dataset[Batch]):
    """The training batches of all epochs, one after another: item i is batch ``i % steps`` of epoch ``i // steps``.

    The images are views: cropped, mirrored and mixed as they were when the teacher answered, in the same batches. Drive
    it with ``DataLoader(soft_labels.epoch(number), batch_size=None)``, with as many workers as you like.
    """

    def __init__(self, blocks: Sequence[Block], images: ImageReader) -> None:
        self.blocks, self.images = list(blocks), images
        header = blocks[0].header
        self.kind, self.classes, self.epochs = header.kind, header.classes, header.epochs
        self.relabeler, self.protocol = header.relabeler, header.protocol
        self.settings = ViewSettings(header.batch, header.crop, header.mix, Normalization(header.mean, header.std))
        self.steps = self.settings.steps(len(images))
        self.held: tuple[int, dict[str, Tensor]] = (-1, {})

    def __len__(self) -> int:
        return self.epochs * self.steps

    def __getitem__(self, item: int) -> Batch:
        if not 0 <= item < len(self):
            raise IndexError(item)
        number, step = divmod(item, self.steps)
        if self.held[0] != number:
            self.held = (number, self.read(number))
        stored = self.held[1]
        batch = replay_batch(self.settings, self.images, stored, step)
        return replace(batch, answers=answers(stored, batch, step * self.settings.batch, self.classes))

    def epoch(self, number: int) -> Subset[Batch]:
        """The batches of one epoch, counted from 0; past the last one it goes on with the first again."""
        first = number % self.epochs * self.steps
        return Subset(self, range(first, first + self.steps))

    def read(self, number: int) -> dict[str, Tensor]:
        """The tensors of one epoch."""
        block = next(b for b in self.blocks if b.header.first <= number < b.header.first + b.header.count)
        header, tensors = _read(block.path)
        if header != block.header:
            raise InputError(f"the labels {block.path} have been written anew; read the set again")
        # Copied out of the mapped file: workers are sent what is held, and a part of a tensor takes all of it along.
        stored = {
            name: tensor[number - header.first].clone() for name, tensor in tensors.items() if name in (*VIEWS, *KEPT)
        }
        if SOFT in tensors:
            stored[SOFT] = tensors[SOFT]
        for name in ("order", "partner"):
            places = stored[name]
            if len(places) != len(self.images) or not 0 <= int(places.min()) <= int(places.max()) < len(places):
                raise InputError(f"the labels {block.path}: {name} must be places of {len(self.images)} images")
        return stored

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """The loss that the labels were made for, of a student's float logits (B, C) for a batch."""
        protocol = build(Protocol, self.protocol, f"the protocol of {self.blocks[0].path}")
        return distillation_loss(logits, batch, self.kind, protocol)

    @property
    def size_bytes(self) -> int:
        return sum(block.path.stat().st_size for block in self.blocks)


def read_labels(folder: Path, distilled: Distilled, classes: int) -> SoftLabels | None:
    """The labels beside a distilled set; None where there are none. InputError where they are damaged, incomplete, or
    another set's."""
    blocks = [Block(path, _read(path)[0]) for path in sorted(folder.glob(PATTERN))]
    if not blocks:
        return None
    blocks.sort(key=lambda block: block.header.first)
    expected = 0
    for block in blocks:
        header = block.header
        if header.images != distilled.fingerprint or header.classes != classes:
            raise InputError(f"the labels {block.path} belong to other images than the distilled set beside them")
        if header.first != expected or header.epochs != blocks[0].header.epochs:
            raise InputError(f"the labels in {folder} are incomplete: epoch {expected} is in none of the files")
        expected += header.count
    if expected != blocks[0].header.epochs:
        raise InputError(f"the labels in {folder} are incomplete: epoch {expected} is in none of the files")
    return SoftLabels(blocks, distilled)


def _read(path: Path) -> tuple[Header, dict[str, Tensor]]:
    header, tensors = FILE.read(path)
    if "operation" in tensors and "argument" not in tensors:
        raise InputError(
            f"the labels {path} have RandAugment's views in a form that is no longer read: export the set again"
        )
    for name, tensor in tensors.items():
        if name in (*VIEWS, *KEPT) and tensor.shape[:1] != (header.count,):
            raise InputError(f"the labels {path}: {name} must have {header.count} epochs, not {list(tensor.shape[:1])}")
    return header, tensors


def write_labels(
    folder: Path, problem: Problem, distilled: Distilled, labels: Labels, relabeler: Mapping[str, Any]
) -> list[Path]:
    """Write every epoch of the labels; the files.

    What the relabeler keeps is written as it is kept, where it reads the same; else what it gives, in float16 if that
    loses nothing.
    """
    settings = ViewSettings.of(problem)
    as_stored = _reads_the_same(problem, distilled, labels)
    written: list[Path] = []
    waiting: list[Mapping[str, Tensor]] = []
    first = 0
    for number in range(labels.epochs):
        stored = labels.stored(number) if as_stored else None
        waiting.append(stored or _written_down(problem, distilled, labels, number))
        problem.advance(1)
        one = sum(tensor.nbytes for tensor in waiting[0].values())
        if number < labels.epochs - 1 and (len(waiting) + 1) * one <= BLOCK_BYTES:
            continue
        header = Header(
            images=distilled.fingerprint,
            kind=labels.kind,
            classes=problem.num_classes,
            epochs=labels.epochs,
            first=first,
            count=len(waiting),
            batch=settings.batch,
            crop=settings.crop,
            mix=settings.mix,
            mean=settings.normalization.mean,
            std=settings.normalization.std,
            relabeler=dict(relabeler),
            protocol=problem.protocol.model_dump(mode="json", include=set(Protocol.model_fields)),
        )
        written.append(_write_block(folder / f"labels-{len(written):04d}.safetensors", header, waiting))
        first, waiting = number + 1, []
    return written


def _write_block(path: Path, header: Header, epochs: Sequence[Mapping[str, Tensor]]) -> Path:
    tensors = {name: torch.stack([epoch[name] for epoch in epochs]) for name in epochs[0] if name != SOFT}
    if SOFT in epochs[0]:
        tensors[SOFT] = _in_half(epochs[0][SOFT])
    FILE.write(path, header.model_dump(mode="json", exclude={"format"}), tensors)
    return path


def answers(stored: Mapping[str, Tensor], batch: Batch, first: int, classes: int) -> Tensor:
    """The answers (B, C) to a batch whose views begin at place `first` of the epoch that `stored` keeps."""
    if SOFT in stored:
        return batch.mixed(stored[SOFT])
    kept = {name: stored[name][first : first + len(batch.images)] for name in KEPT if name in stored}
    return unpack(kept, classes) if kept else batch.one_hot(classes)


def _reads_the_same(problem: Problem, distilled: Distilled, labels: Labels) -> bool:
    """Whether what is kept of epoch 0 is in a form that is read here, and gives what students see."""
    stored = labels.stored(0)
    if stored is None or set(stored) - {*VIEWS, *KEPT, SOFT}:
        return False
    try:
        return all(
            torch.equal(replayed, _answers(seen))
            for replayed, seen in zip(_replayed(problem, distilled, stored), labels.epoch(0), strict=True)
        )
    except (ValueError, KeyError):
        return False


def _replayed(problem: Problem, distilled: Distilled, stored: Mapping[str, Tensor]) -> Iterator[Tensor]:
    """The answers to the batches of an epoch, as a reader finds them."""
    settings, first = ViewSettings.of(problem), 0
    for step in range(settings.steps(len(distilled))):
        batch = replay_batch(settings, distilled, stored, step)
        yield answers(stored, batch, first, problem.num_classes)
        first += len(batch.index)


def _written_down(problem: Problem, distilled: Distilled, labels: Labels, number: int) -> Mapping[str, Tensor]:
    """The views of an epoch with the answers that the labels give."""
    given = torch.cat([_answers(batch) for batch in labels.epoch(number)])
    return draw_epoch(problem, number, len(distilled)) | {labels.kind: _in_half(given)}


def _answers(batch: Batch) -> Tensor:
    assert batch.answers is not None
    return batch.answers.float().cpu()


def _in_half(given: Tensor) -> Tensor:
    """float16 where that loses nothing, else as it is."""
    half = given.half()
    return half if torch.equal(half.float(), given.float()) else given
