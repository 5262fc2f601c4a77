"""What the moments of the real images are, over all and class by class: the targets of general statistics."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from delt_host import Checkpoint, Passes, Prepared, Problem
from delt_host.toolbox import ahead, generator, outlined_network, random_views, recorded_inputs, widest
from delt_plugins.gvbsm.layer_moments import layers_of, moments, of_batch, patch_of

Crop = Literal["pad", "resized", "none"]

DRAWS = "real moments"  # views and order are the same whatever the seed of the set


@dataclass(frozen=True)
class Asked:
    """Which moments are taken of the real images, and how these are shown."""

    patch: int
    crop: Crop
    batch: int
    by_class: bool


def real_moments(problem: Problem, teacher: int, asked: Asked) -> Prepared:
    """Moments of the inputs of a teacher's layers, one pass over the training images: `PLACE.MOMENT`, (1, D) each, of
    convolutions over all images; with `by_class` also `PLACE.MOMENT.classes`, (C, D) each, of all layers that are matched.

    Over all they are the mean of the batches' own, a variance being that within a batch; of a class the mean of its
    images' own, a variance being that within an image.
    """

    def make(checkpoint: Checkpoint) -> dict[str, Tensor]:
        network, train, count = problem.networks[teacher], problem.data.train, len(problem.data.train)
        order = torch.randperm(count, generator=generator(0, DRAWS)).split(asked.batch)
        kept, finished = checkpoint.load() or ({}, {"batches": 0})
        total = {name: tensor.to(problem.compute.device) for name, tensor in kept.items()}
        done = int(finished["batches"])
        problem.advance(sum(map(len, order[:done])))
        for number, (chunk, read) in enumerate(
            zip(order[done:], ahead(map(train.read, order[done:])), strict=True), done
        ):
            pixels = read.to(problem.compute.device).float() / 255
            if asked.crop != "none":
                pixels = random_views(pixels, generator(0, DRAWS, number), asked.crop, flip=True)
            images = problem.normalization.normalize(pixels).contiguous(memory_format=torch.channels_last)
            with problem.compute.autocast():
                found = moments_of_batch(network, images, train.targets[chunk], problem.num_classes, asked)
            for name, tensor in found.items():
                total[name] = total[name] + tensor if name in total else tensor
            problem.advance(len(chunk))
            if checkpoint.due:
                checkpoint.save(total, {"batches": number + 1})
        of_classes = torch.bincount(train.targets, minlength=problem.num_classes)[:, None]
        sums = {name: tensor.cpu() for name, tensor in total.items()}
        return {name: each / (of_classes if name.endswith(".classes") else count) for name, each in sums.items()}

    which = problem.teachers[teacher]
    of = f" of {which.called}" if len(problem.teachers) > 1 else ""
    cost = (Passes(which.architecture, "forward", len(problem.data.train), asked.batch),)
    inputs = {"of": which.fingerprint, **vars(asked)}
    return Prepared(
        f"real-moments{of}", make, cost, inputs, size_bytes=partial(size_bytes, problem, which.architecture, asked)
    )


@torch.inference_mode()
def size_bytes(problem: Problem, model: str, asked: Asked) -> int:
    """What `real_moments` gives of a network takes."""
    network = outlined_network(problem, model).eval()
    image = torch.zeros(1, 3, problem.image_size, problem.image_size)
    layers, total = layers_of(network), 0
    with recorded_inputs(layers) as inputs:
        network(image.to(next(network.parameters(), image).device))
    for layer, x in zip(layers, inputs, strict=True):
        places = math.prod(-(-side // patch) for side in x.shape[2:]) if (patch := patch_of(layer, asked.patch)) else 0
        rows = isinstance(layer, nn.Conv2d) + asked.by_class * problem.num_classes
        total += 2 * (x.shape[1] + places) * rows * torch.float32.itemsize
    return total


@torch.inference_mode()
def moments_of_batch(
    network: nn.Module, images: Tensor, targets: Tensor, classes: int, asked: Asked
) -> dict[str, Tensor]:
    """The batch's moments times its images, and sums over each class's images, by name as `real_moments` has them."""
    layers = layers_of(network)
    with recorded_inputs(layers) as inputs:
        network(images)
    wide = widest(images.device)  # a product adds in one order on every device; autocast leaves float64 as it is
    members = F.one_hot(targets, classes).T.to(images.device, wide)  # (C, B)
    found: dict[str, Tensor] = {}
    for place, (layer, x) in enumerate(zip(layers, inputs, strict=True)):
        patch = patch_of(layer, asked.patch)
        each = moments(x, len(x), patch) if asked.by_class else {}
        if isinstance(layer, nn.Conv2d):
            whole = of_batch(each) if each else moments(x, 1, patch)
            found |= {f"{place}.{name}": tensor * len(images) for name, tensor in whole.items()}
        for name, tensor in each.items():
            found[f"{place}.{name}.classes"] = (members @ tensor.to(wide)).float()
    return found


def of_layer(stored: Mapping[str, Tensor], place: int, ending: str = "") -> Iterable[tuple[str, Tensor]]:
    """The moments of one layer out of `PLACE.MOMENT` or, with its `ending`, `PLACE.MOMENT.classes`."""
    for key, tensor in stored.items():
        at, name, *rest = key.split(".")
        if int(at) == place and rest == ([ending] if ending else []):
            yield name, tensor
