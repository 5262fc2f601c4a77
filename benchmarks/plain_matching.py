"""Batch matching as published scripts do it, written from the formulas: contiguous float32, torch's own layers, one class after
the other."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from delt_host.networks.build import build_model
from harness import models

SIZE, CLASSES, IPC = 32, 10, 10
NETWORK = "convnet3_in"


@dataclass(frozen=True)
class Loop:
    """A method's loop at CIFAR-10's settings of IPC 10."""

    match: Literal["gradients", "means", "characteristic", "pairs"]
    real_batch: int = 256
    siamese: str = ""
    mosaic: bool = False
    together: bool = False
    distance: Literal["rows", "squared"] = "rows"
    summed: bool = False
    """Whether gradients are summed over classes before they are compared (DCC). The host takes synthetic images once more,
    class by class, for the memory of one class."""
    classify: Literal["", "network", "expert"] = ""
    """Who tells the synthetic images' classes, if anybody does."""
    frequencies: int = 4096
    train_batch: int = 256
    train_on: Literal["real", "current"] = "current"
    train_siamese: str = ""
    cutmix: float = 0.0
    momentum: float = 0.0


@functools.cache
def real(count: int) -> tuple[Tensor, Tensor]:
    """Noise (count, 3, 32, 32) as real images, normalised as scripts keep them, and classes."""
    rng = torch.Generator().manual_seed(0)
    return torch.randn(count, 3, SIZE, SIZE, generator=rng), torch.arange(count) % CLASSES


def drawn() -> nn.Module:
    return build_model(NETWORK, CLASSES, SIZE, models()).train()


def real_of(label: int, count: int, of: int) -> Tensor:
    images, classes = real(of)
    members = torch.nonzero(classes == label).flatten()
    return images[members[torch.randperm(len(members))[:count]]]


def decode(units: Tensor, mosaic: bool) -> Tensor:
    """IDC's multi-formation: each quarter enlarged."""
    if not mosaic:
        return units
    half = SIZE // 2
    cells = [units[:, :, y : y + half, x : x + half] for y in (0, half) for x in (0, half)]
    return F.interpolate(torch.stack(cells, dim=1).flatten(0, 1), size=SIZE, mode="bilinear", align_corners=False)


def augment(images: Tensor, strategy: str, seed: int) -> Tensor:
    """DSA: one operation, with one draw for all images."""
    if not strategy:
        return images
    rng = torch.Generator().manual_seed(seed)
    names = strategy.split("_")
    name, (a, b, c) = names[int(torch.randint(len(names), (1,), generator=rng))], torch.rand(3, generator=rng).tolist()
    if name == "color":
        images = images + a - 0.5
        grey = images.mean(1, keepdim=True)
        images = (images - grey) * 2 * b + grey
        mean = images.mean((1, 2, 3), keepdim=True)
        return (images - mean) * (c + 0.5) + mean
    if name == "crop":
        reach = SIZE // 8
        y, x = (min(int(u * (2 * reach + 1)), 2 * reach) for u in (a, b))
        return F.pad(images, (reach,) * 4)[:, :, y : y + SIZE, x : x + SIZE]
    if name == "cutout":
        mask, (y, x) = torch.ones(SIZE, SIZE), (int(u * (SIZE + 1)) - SIZE // 4 for u in (a, b))
        mask[max(y, 0) : max(y + SIZE // 2, 0), max(x, 0) : max(x + SIZE // 2, 0)] = 0
        return images * mask
    if name == "flip":
        return images.flip(3) if a < 0.5 else images
    angle = (a - 0.5) * 2 * math.radians(15)
    wide, high = (u * (1.2 - 1 / 1.2) + 1 / 1.2 for u in (a, b))
    turned = [[math.cos(angle), -math.sin(angle), 0.0], [math.sin(angle), math.cos(angle), 0.0]]
    matrix = torch.tensor([[wide, 0.0, 0.0], [0.0, high, 0.0]] if name == "scale" else turned)
    grid = F.affine_grid(matrix.expand(len(images), 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def apart(loop: Loop, given: list[Tensor], wanted: list[Tensor]) -> Tensor:
    if loop.distance == "squared":
        return torch.stack([(g - w).pow(2).sum() for g, w in zip(given, wanted, strict=True)]).sum()
    rows = [(g.flatten(1), w.flatten(1)) for g, w in zip(given, wanted, strict=True)]
    cosines = [1 - (g * w).sum(1) / (g.norm(dim=1) * w.norm(dim=1) + 1e-6) for g, w in rows]
    return torch.stack([each.sum() for each in cosines]).sum()


def gradients(loop: Loop, network: nn.Module, pixels: Tensor, labels: list[int], of: int) -> Tensor:
    weights = [p for p in network.parameters() if p.ndim >= (4 if loop.distance == "squared" else 2)]
    seed, totals, losses = int(torch.randint(2**31, (1,))), [], []
    for label in labels:
        images = augment(real_of(label, loop.real_batch, of), loop.siamese, seed)
        loss = F.cross_entropy(network(images), torch.full((len(images),), label))
        wanted = [g.detach() for g in torch.autograd.grad(loss, weights)]
        if loop.summed:
            totals.append(wanted)
        else:
            own = augment(decode(pixels[label * IPC : (label + 1) * IPC], loop.mosaic), loop.siamese, seed)
            loss = F.cross_entropy(network(own), torch.full((len(own),), label))
            losses.append(apart(loop, list(torch.autograd.grad(loss, weights, create_graph=True)), wanted))
    if loop.summed:
        wanted = [torch.stack(each).mean(0) for each in zip(*totals, strict=True)]
        own = augment(decode(pixels, loop.mosaic), loop.siamese, seed)
        loss = F.cross_entropy(network(own), torch.arange(CLASSES).repeat_interleave(len(own) // CLASSES))
        losses.append(apart(loop, list(torch.autograd.grad(loss, weights, create_graph=True)), wanted))
    return torch.stack(losses).sum()


def of_features(
    loop: Loop, network: nn.Module, pixels: Tensor, labels: list[int], of: int, expert: nn.Module
) -> Tensor:
    """The distance of means (DM, IDM, DANCE), of characteristic functions (NCFM) or of pairs (CIM), and of classes."""
    seed, losses = int(torch.randint(2**31, (1,))), []
    for label in labels:
        own = augment(decode(pixels[label * IPC : (label + 1) * IPC], loop.mosaic), loop.siamese, seed)
        images = augment(real_of(label, len(own) if loop.match == "pairs" else loop.real_batch, of), loop.siamese, seed)
        with torch.no_grad():
            theirs = network.features(images).flatten(1)
            right = (network.classifier(theirs).argmax(1) == label).float().mean()
        found = network.features(own).flatten(1)
        if loop.match == "means":
            losses.append((theirs.mean(0) - found.mean(0)).pow(2).sum())
        elif loop.match == "pairs":
            losses.append((theirs - found).abs().mean(1).sum())
        else:
            losses.append(300 * characteristic(loop, F.normalize(theirs, dim=1), F.normalize(found, dim=1)))
        if loop.classify:
            told = expert(own) if loop.classify == "expert" else network.classifier(found)
            losses.append(right * F.cross_entropy(told, torch.full((len(own),), label)))
    return torch.stack(losses).sum()


def characteristic(loop: Loop, theirs: Tensor, own: Tensor) -> Tensor:
    at = torch.randn(loop.frequencies, own.shape[1])
    p_cos, p_sin = torch.cos(theirs @ at.T).mean(0), torch.sin(theirs @ at.T).mean(0)
    q_cos, q_sin = torch.cos(own @ at.T).mean(0), torch.sin(own @ at.T).mean(0)
    p, q = torch.sqrt(p_cos**2 + p_sin**2 + 1e-12), torch.sqrt(q_cos**2 + q_sin**2 + 1e-12)
    phase = 2 * (p * q - p_cos * q_cos - p_sin * q_sin)
    return torch.sqrt((0.5 * (p - q) ** 2 + 0.5 * phase).clamp_min(0) + 1e-12).mean()


def matching(loop: Loop, iterations: int, of: int) -> None:
    """So many iterations of the set, each at a new network, which nobody trains here."""
    pixels = torch.randn(CLASSES * IPC, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1)).requires_grad_(True)
    optimizer, expert = torch.optim.SGD([pixels], lr=0.1, momentum=0.5), drawn().requires_grad_(False)
    every = list(range(CLASSES))
    for _ in range(iterations):
        network = drawn().requires_grad_(loop.match == "gradients")
        for labels in [every] if loop.together else [[label] for label in every]:
            if loop.match == "gradients":
                loss = gradients(loop, network, pixels, labels, of)
            else:
                loss = of_features(loop, network, pixels, labels, of, expert)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                pixels.clamp_(-2.0, 2.0)


def batches(loop: Loop, steps: int, of: int) -> Iterator[tuple[Tensor, Tensor]]:
    units = torch.randn(CLASSES * IPC, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    for _ in range(steps):
        if loop.train_on == "real":
            images, labels = real(of)
        else:
            images = decode(units, loop.mosaic)
            labels = torch.arange(CLASSES).repeat_interleave(len(images) // CLASSES)
        chosen = torch.randperm(len(images))[: loop.train_batch]
        yield images[chosen], labels[chosen]


def training(loop: Loop, steps: int, of: int) -> None:
    """So many steps of a network between two matches, or of an expert."""
    network = drawn()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=loop.momentum, weight_decay=5e-4)
    for images, labels in batches(loop, steps, of):
        images, other, share = augment(images, loop.train_siamese, int(torch.randint(2**31, (1,)))), labels, 1.0
        if loop.cutmix and float(torch.rand(1)) < loop.cutmix:
            share = float(torch.rand(1))
            side, order = int(SIZE * math.sqrt(1 - share)), torch.randperm(len(images))
            y, x = torch.randint(SIZE - side + 1, (2,)).tolist()
            images, other = images.clone(), labels[order]
            images[:, :, y : y + side, x : x + side] = images[order, :, y : y + side, x : x + side]
        told = network(images)
        loss = share * F.cross_entropy(told, labels) + (1 - share) * F.cross_entropy(told, other)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def choosing(loop: Loop, of: int) -> None:
    """DREAM: for each class the real images nearest to the centres of its clusters in a network's features."""
    from sklearn.cluster import KMeans

    network, (images, classes) = drawn(), real(of)
    for label in range(CLASSES):
        members = images[classes == label]
        with torch.no_grad():
            found = torch.cat([network.features(chunk).flatten(1) for chunk in members.split(500)])
        centres = KMeans(min(loop.real_batch, len(found)), n_init=1, max_iter=20, random_state=0).fit(found.numpy())
        torch.cdist(torch.from_numpy(centres.cluster_centers_).float(), found).argmin(1)
