"""The same work as published scripts do it, short and plain: contiguous float32, one thing after the other."""

from __future__ import annotations

import functools
from pathlib import Path

import torch
import torch.nn.functional as F
from timm.data.auto_augment import rand_augment_transform
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2
from torchvision.transforms.v2.functional import pil_to_tensor, to_pil_image

from delt_host.networks.build import build_model
from harness import models


@functools.cache
def frozen(model: str, classes: int, size: int) -> nn.Module:
    """A teacher of random weights: contiguous float32, in eval mode."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return build_model(model, classes, size, models()).to(device).eval().requires_grad_(False)


def recover(model: str, start: Tensor, targets: Tensor, iterations: int) -> None:
    """Each group of 100 by itself."""
    network = frozen(model, int(targets.max()) + 1, start.shape[-1])
    device = next(network.parameters()).device
    for images, labels in zip(start.split(100), targets.split(100), strict=True):
        recover_group(network, images.to(device), labels.to(device), iterations)


def recover_group(network: nn.Module, start: Tensor, targets: Tensor, iterations: int) -> Tensor:
    """SRe2L, eq. 4-6: one group, statistics in forward hooks by mean and var, one crop for the batch."""
    pixels = start.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([pixels], lr=0.25, betas=(0.5, 0.9))
    terms: list[Tensor] = []

    def statistics(layer: nn.Module, args: tuple[Tensor, ...], _output: Tensor) -> None:
        x = args[0]
        mean = x.mean([0, 2, 3])
        variance = x.permute(1, 0, 2, 3).contiguous().view(x.shape[1], -1).var(1, unbiased=False)
        terms.append(torch.norm(layer.running_var - variance, 2) + torch.norm(layer.running_mean - mean, 2))

    hooks = [m.register_forward_hook(statistics) for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    augment = v2.Compose([v2.RandomResizedCrop(pixels.shape[-1], antialias=True), v2.RandomHorizontalFlip()])
    for _ in range(iterations):
        terms.clear()
        loss = F.cross_entropy(network(augment(pixels)), targets)
        loss = loss + 0.01 * sum(term * (10.0 if i == 0 else 1.0) for i, term in enumerate(terms))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            pixels.clamp_(-2.0, 2.0)
    for hook in hooks:
        hook.remove()
    return pixels.detach()


def train_student(folder: Path, model: str, epochs: int, batch: int, workers: int) -> None:
    """RDED and DELT: an image folder of ten classes, PIL transforms, CutMix, and the teacher at every step."""
    size = 32
    teacher = frozen(model, 10, size)
    device = next(teacher.parameters()).device
    student = build_model(model, 10, size, models()).to(device).train()
    transform = v2.Compose(
        [
            v2.RandomResizedCrop(size, (0.08, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize((0.5,) * 3, (0.25,) * 3),
        ]
    )
    data = ImageFolder(str(folder), transform)
    loader: DataLoader[tuple[Tensor, Tensor]] = DataLoader(
        data, batch, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-3, weight_decay=0.01)
    temperature = 20.0
    for _ in range(epochs):
        for loaded, _targets in loader:
            images = loaded.to(device)
            other = torch.randperm(len(images))
            top, left = torch.randint(0, size // 2, (2,)).tolist()
            bottom, right = top + size // 2, left + size // 2
            images[:, :, top:bottom, left:right] = images[other, :, top:bottom, left:right]
            with torch.no_grad():
                soft = F.softmax(teacher(images) / temperature, dim=1)
            loss = F.kl_div(F.log_softmax(student(images) / temperature, dim=1), soft, reduction="batchmean")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def randaugment(images: Tensor, text: str) -> Tensor:
    """uint8 images (B, 3, S, S), one after the other, as DELT's evaluation has timm and Pillow do it."""
    augment = rand_augment_transform(f"rand-{text}-mstd1.0", {"translate_const": 117, "img_mean": (124, 116, 104)})
    for operation in augment.ops:
        if operation.name == "Posterize":  # newer releases of Pillow refuse to keep no bit
            operation.level_fn = lambda level, _settings: (max(int(level / 10 * 4), 1),)
    return torch.stack([pil_to_tensor(augment(to_pil_image(image))) for image in images])
