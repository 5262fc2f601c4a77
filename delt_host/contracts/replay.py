"""The views that students train on: drawn once an epoch from the protocol and the seed, the same for every method.

An epoch's views are plain tensors, so they can be stored with the labels that belong to them (SRe2L's FKD) and replayed
by any loader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from delt_host.basics import batching
from delt_host.contracts.problem import Problem
from delt_host.contracts.reader import ImageReader
from delt_host.contracts.relabeler import Batch
from delt_host.images import siamese
from delt_host.images.augment import (
    apply_view,
    beta,
    crop_matrix,
    cutmix_box,
    draw_crops,
    draw_offsets,
    mirror,
    shift_matrix,
    shuffle_strips,
)
from delt_host.images.normalization import Normalization
from delt_host.images.randaugment import Planned, apply_planned, parse_randaugment, planned


def draw_epoch(problem: Problem, epoch: int, count: int) -> dict[str, Tensor]:
    """The views of one epoch for N = `count` images in the batches of `delt_host.basics.batching`.

    `order` (N,) int32; `box` (N, 4) int16 (top, left, height, width), or offsets (dy, dx, 0, 0) for padded crops; `flip`
    (N,) bool; `partner` (N,) int32 positions in `order`; `mix` (steps, 5) float32 (own share, top, left, bottom, right);
    and, where the protocol asks, `operation`, `argument`, `resample` (N, n), `strips` (N, 2, k), and `siamese` (steps,)
    uint8 with `draws` (N, 3) float32.
    """
    protocol, size = problem.protocol, problem.image_size
    rng = problem.generator("views", epoch)
    batch = protocol.batch_for(problem.ipc, problem.num_classes)
    views = {"order": torch.randperm(count, generator=rng).int()}
    if protocol.crop == "resized":
        views["box"] = draw_crops(rng, count, size, (protocol.min_crop, 1.0)).to(torch.int16)
    elif protocol.crop == "pad":
        offsets = draw_offsets(rng, count, size)
        views["box"] = torch.cat([offsets, torch.zeros_like(offsets)]).T.to(torch.int16)
    flips = torch.rand(count, generator=rng) < 0.5
    views["flip"] = flips & protocol.flip
    partner, mix = torch.arange(count), []
    batches = [batching.places(count, batch, step) for step in range(batching.steps(count, batch))]
    for first, length in ((places.start, len(places)) for places in batches):
        if protocol.mix == "none":
            mix.append((1.0, 0, 0, 0, 0))
            continue
        partner[first : first + length] = first + torch.randperm(length, generator=rng)
        if protocol.mix == "cutmix":
            share, box = cutmix_box(rng, protocol.mix_alpha, size)
            mix.append((share, *box))
        else:
            mix.append((beta(rng, protocol.mix_alpha), 0, 0, 0, 0))
    views |= {"partner": partner.int(), "mix": torch.tensor(mix, dtype=torch.float32)}
    if protocol.randaugment:
        views |= parse_randaugment(protocol.randaugment).draw(rng, count, size)
    if protocol.shuffle_patches > 1:
        views["strips"] = torch.rand(count, 2, protocol.shuffle_patches, generator=rng).argsort(dim=2)
    if protocol.siamese:
        drawn = [siamese.draw(rng, len(places), protocol.siamese) for places in batches]
        views["siamese"] = torch.tensor([operation for operation, _ in drawn], dtype=torch.uint8)
        views["draws"] = torch.cat([draws for _, draws in drawn])
    return views


@dataclass(frozen=True)
class ViewSettings:
    """What must be known beside an epoch's drawn views to make them again."""

    batch: int
    crop: Literal["resized", "pad", "none"]
    mix: Literal["cutmix", "mixup", "none"]
    normalization: Normalization

    @classmethod
    def of(cls, problem: Problem) -> ViewSettings:
        protocol = problem.protocol
        batch = protocol.batch_for(problem.ipc, problem.num_classes)
        return cls(batch, protocol.crop, protocol.mix, problem.view_normalization)

    def steps(self, count: int) -> int:
        """Batches in an epoch of `count` images."""
        return batching.steps(count, self.batch)


Told = Callable[[Batch, range], "Tensor | None"]
"""What is answered (B, C), on the processor, to a batch whose views are not made yet, at these places of the epoch's order: its
images are the raw ones, uint8. None: nothing before the views are there."""


def replay_epoch(
    problem: Problem, reader: ImageReader, views: Mapping[str, Tensor], told: Told | None = None
) -> Iterator[Batch]:
    """The batches of an epoch drawn by `draw_epoch`, on the problem's device."""
    settings = ViewSettings.of(problem)
    for step in range(settings.steps(len(views["order"]))):
        yield replay_batch(settings, reader, views, step, problem.compute.device, told)


def replay_batch(
    settings: ViewSettings,
    reader: ImageReader,
    views: Mapping[str, Tensor],
    step: int,
    device: str = "cpu",
    told: Told | None = None,
) -> Batch:
    """Batch `step` of an epoch of N images; it depends on no other batch. All of it is copied to the device at once."""
    places = batching.places(len(views["order"]), settings.batch, step)
    positions = torch.arange(places.start, places.stop)
    index = views["order"][positions].long()
    within = views["partner"][positions].long() - places.start
    share, *box = views["mix"][step].tolist()
    classes, other = reader.targets[index], index[within]
    weight = None if reader.weights is None else reader.weights[index]
    shares = torch.full((len(index),), share)
    raw = Batch(reader.read(index), index, classes, other, classes[within], shares, weight=weight)
    if told is not None:
        raw = replace(raw, answers=told(raw, places))
    size = raw.images.shape[-1]
    operations = Planned([], positions - places.start)
    if "operation" in views:
        operation, argument, resample = (views[name][positions] for name in ("operation", "argument", "resample"))
        operations = planned(operation, argument, resample, size, device)
    draws = [views["draws"][positions]] if "siamese" in views else []
    batch, (within, rows, columns, *others) = raw.moved(
        device, within, *_matrices(settings, views, positions, size), *draws, *operations.tensors
    )
    chosen = batch.images
    if operations.rounds:
        chosen = apply_planned(chosen, operations.with_tensors(others[len(draws) :]))
    images = settings.normalization.normalize(apply_view(chosen.float() / 255, rows, columns))
    if settings.mix == "cutmix":
        top, left, bottom, right = (int(v) for v in box)
        images[:, :, top:bottom, left:right] = images[within, :, top:bottom, left:right]
    elif settings.mix == "mixup":
        images = share * images + (1 - share) * images[within]
    if draws:
        images = siamese.augment(images, int(views["siamese"][step]), others[0])
    return replace(batch, images=images.contiguous(memory_format=torch.channels_last))


def _matrices(
    settings: ViewSettings, views: Mapping[str, Tensor], positions: Tensor, size: int
) -> tuple[Tensor, Tensor]:
    box = views["box"][positions].long() if "box" in views else None
    if box is None:
        rows = columns = torch.eye(size).expand(len(positions), -1, -1)
    elif settings.crop == "pad":
        rows, columns = shift_matrix(box[:, 0], size), shift_matrix(box[:, 1], size)
    else:
        rows, columns = crop_matrix(box[:, 0], box[:, 2], size), crop_matrix(box[:, 1], box[:, 3], size)
    if "strips" in views:
        strips = views["strips"][positions]
        rows, columns = shuffle_strips(rows, strips[:, 0]), shuffle_strips(columns, strips[:, 1])
    return rows, mirror(columns, views["flip"][positions])
