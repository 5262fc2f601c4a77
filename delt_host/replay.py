"""The views that students train on: drawn once an epoch from the protocol and the seed, the same for every method.

An epoch's views are plain tensors, so they can be stored with the labels that belong to them (SRe2L's FKD) and replayed
by any loader.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from delt_host.augment import (
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
from delt_host.components import Distilled
from delt_host.normalization import Normalization
from delt_host.problem import Problem
from delt_host.protocols import parse_randaugment
from delt_host.randaugment import apply_operations, draw_operations
from delt_host.reader import ImageReader


@dataclass(frozen=True)
class ViewBatch:
    """One training batch as students see it."""

    images: Tensor
    """(B, 3, S, S) float32, normalised, mixed."""
    targets: Tensor
    """(B,) int64: the class of the image itself."""
    partner_targets: Tensor
    """(B,) int64: the class of the image mixed in."""
    share: float
    """The image's own share of the mixture; 1 where nothing is mixed."""
    index: Tensor
    """(B,) int64: the image's place in the set."""
    partner_index: Tensor
    """(B,) int64: the place of the image mixed in."""


def draw_epoch(problem: Problem, epoch: int, count: int) -> dict[str, Tensor]:
    """The views of one epoch for N = `count` images in batches of B, steps = ceil(N / B).

    `order` (N,) int32; `box` (N, 4) int16 (top, left, height, width), or offsets (dy, dx, 0, 0) for padded crops; `flip`
    (N,) bool; `partner` (N,) int32 positions in `order`; `mix` (steps, 5) float32 (own share, top, left, bottom, right);
    and, where the protocol asks, `operation`, `level`, `sign` (N, n) and `strips` (N, 2, k).
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
    for first in range(0, count, batch):
        length = min(batch, count - first)
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
        views |= draw_operations(rng, count, *parse_randaugment(protocol.randaugment))
    if protocol.shuffle_patches > 1:
        views["strips"] = torch.rand(count, 2, protocol.shuffle_patches, generator=rng).argsort(dim=2)
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
        return math.ceil(count / self.batch)


def replay_epoch(problem: Problem, distilled: Distilled, views: Mapping[str, Tensor]) -> Iterator[ViewBatch]:
    """The batches of an epoch drawn by `draw_epoch`."""
    settings = ViewSettings.of(problem)
    for step in range(settings.steps(len(views["order"]))):
        yield replay_batch(settings, distilled, views, step, problem.compute.device)


def replay_batch(
    settings: ViewSettings,
    distilled: ImageReader,
    views: Mapping[str, Tensor],
    step: int,
    device: str = "cpu",
) -> ViewBatch:
    """Batch `step` of an epoch of a set; it depends on no other batch."""
    positions = torch.arange(len(views["order"]))[step * settings.batch : (step + 1) * settings.batch]
    index = views["order"][positions].long()
    chosen, targets = distilled.read(index), distilled.targets
    if "operation" in views:
        drawn = (views[name][positions] for name in ("operation", "level", "sign"))
        chosen = apply_operations(chosen, *drawn)
    unit = chosen.to(device).float() / 255
    matrices = _matrices(settings, views, positions, chosen.shape[-1])
    images = settings.normalization.normalize(apply_view(unit, *matrices))
    share, *box = views["mix"][step].tolist()
    partner = views["partner"][positions].long() - int(positions[0])
    if settings.mix == "cutmix":
        top, left, bottom, right = (int(v) for v in box)
        images[:, :, top:bottom, left:right] = images[partner, :, top:bottom, left:right]
    elif settings.mix == "mixup":
        images = share * images + (1 - share) * images[partner]
    images = images.contiguous(memory_format=torch.channels_last)
    return ViewBatch(images, targets[index], targets[index[partner]], share, index, index[partner])


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
