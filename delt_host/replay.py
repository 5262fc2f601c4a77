"""The views that students train on: drawn once an epoch from the protocol and the seed, the same for every method.

An epoch's views are plain tensors, so they can be stored with the labels that belong to them (SRe2L's FKD) and replayed
by any loader.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

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
from delt_host.problem import Problem
from delt_host.protocols import parse_randaugment
from delt_host.randaugment import apply_operations, draw_operations


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


def replay_epoch(problem: Problem, distilled: Distilled, views: Mapping[str, Tensor]) -> Iterator[ViewBatch]:
    """The batches of an epoch drawn by `draw_epoch`."""
    batch = problem.protocol.batch_for(problem.ipc, problem.num_classes)
    for step, positions in enumerate(torch.arange(len(views["order"])).split(batch)):
        index = views["order"][positions].long()
        pixels = distilled.pixels[index]
        if "operation" in views:
            drawn = (views[name][positions] for name in ("operation", "level", "sign"))
            pixels = apply_operations(pixels, *drawn)
        unit = pixels.to(problem.compute.device).float() / 255
        images = problem.view_normalization.normalize(apply_view(unit, *_matrices(problem, views, positions)))
        share, *box = views["mix"][step].tolist()
        partner = views["partner"][positions].long() - int(positions[0])
        if problem.protocol.mix == "cutmix":
            top, left, bottom, right = (int(v) for v in box)
            images[:, :, top:bottom, left:right] = images[partner, :, top:bottom, left:right]
        elif problem.protocol.mix == "mixup":
            images = share * images + (1 - share) * images[partner]
        yield ViewBatch(
            images.contiguous(memory_format=torch.channels_last),
            distilled.targets[index],
            distilled.targets[index[partner]],
            share,
        )


def _matrices(problem: Problem, views: Mapping[str, Tensor], positions: Tensor) -> tuple[Tensor, Tensor]:
    size, protocol = problem.image_size, problem.protocol
    box = views["box"][positions].long() if "box" in views else None
    if box is None:
        rows = columns = torch.eye(size).expand(len(positions), -1, -1)
    elif protocol.crop == "pad":
        rows, columns = shift_matrix(box[:, 0], size), shift_matrix(box[:, 1], size)
    else:
        rows, columns = crop_matrix(box[:, 0], box[:, 2], size), crop_matrix(box[:, 1], box[:, 3], size)
    if "strips" in views:
        strips = views["strips"][positions]
        rows, columns = shuffle_strips(rows, strips[:, 0]), shuffle_strips(columns, strips[:, 1])
    return rows, mirror(columns, views["flip"][positions])
