"""Matching the statistics of every convolution and BatchNorm layer of several teachers: G-VBSM's and EDC's matcher."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from delt_host import Checkpoint, Match, Matcher, Passes, Prepared, Problem, Views
from delt_host.toolbox import BATCH_NORMS, batch_norms, channel_moments, recorded_inputs, running_statistics

BATCH = 500  # real images in a pass that takes statistics
POOLED = 32  # images are pooled to 32 x 32 before their diversity is measured
SHARPNESS = 4.0  # the divisor of the flatter eigenvalue distribution

Statistics = dict[str, Tensor]
"""`mean` and `variance` over channels, `patch-mean` and `patch-variance` over patch positions; each (G, D)."""


class GeneralStatistics(Matcher):
    """Cross-entropy, and the distance of layer statistics to the real data's, one teacher an iteration in turn.

    ``CE + weight * sum_l m_l sum_s || s_l - target_l ||_2``: for a BatchNorm layer s is the mean and variance of its input
    over channels and the target its running ones; for a convolution also those of its input's patch positions, and
    the targets are taken over the training set. m_0 = `first_layer`, other m_l = 1. `diversity` adds, for each class,
    the divergence of the eigenvalues of its images' Gram matrix from a flatter distribution (data densification).
    """

    source: ClassVar[str] = "G-VBSM, sections 3.1-3.3 and recover scripts; class by class: EDC, section 3.2"
    of_teachers: ClassVar[bool] = True

    weight: float = Field(0.01, ge=0)
    """The weight of the statistics (r_loss)."""
    first_layer: float = Field(10.0, ge=0)
    """The multiplier of the first layer."""
    patches: int = Field(4, ge=0)
    """Patches along a side of a convolution's input; 0: no patch statistics."""
    drop: float = Field(0.4, ge=0, lt=1)
    """Probability that a convolution is left out of an iteration."""
    decay: float = Field(0.8, ge=0, lt=1)
    """Decay of the moving average that stands for each statistic (its gradient stays the current one's); 0: none. It
    starts at the first statistic of the group; the published code starts at zero, once for all batches."""
    diversity: float = Field(1.0, ge=0)
    """The weight of the densification of each class."""
    class_wise: float = Field(0.0, ge=0, le=1)
    """The share of the distance that is taken to the mean of the images' classes instead of to that of all images."""

    def prepares(self, problem: Problem) -> list[Prepared]:
        teachers = range(len(problem.teachers))
        kinds = (layer_statistics, class_statistics) if self.class_wise else (layer_statistics,)
        return [kind(problem, teacher, self.patches) for teacher in teachers for kind in kinds]

    def bind(self, problem: Problem) -> Match:
        members = [member(problem, teacher, self) for teacher in range(len(problem.teachers))]

        def averaged(averages: dict[str, Tensor], key: str, current: Tensor) -> Tensor:
            if not self.decay:
                return current
            now = current.detach()
            averages[key] = torch.lerp(now, averages[key], self.decay) if key in averages else now
            return averages[key] + current - now

        def match(views: Views) -> dict[str, Tensor]:
            turn = views.iteration % len(members)
            now = members[turn]
            lots = torch.rand(len(now.layers), generator=views.generator("drop")).tolist()
            kept = [i for i, layer in enumerate(now.layers) if isinstance(layer, BATCH_NORMS) or lots[i] >= self.drop]
            with recorded_inputs([now.layers[i] for i in kept]) as inputs, problem.compute.autocast():
                logits = now.network(views.images)
            entropy = F.cross_entropy(logits.float(), views.targets, reduction="none")
            terms = {"cross-entropy": entropy.view(views.groups, -1).mean(dim=1)}
            share = class_shares(views, problem.num_classes)
            for i, x in zip(kept, inputs, strict=True):
                scale = self.weight * (self.first_layer if i == 0 else 1.0)
                for name, current in statistics(x, views.groups, patches_of(now.layers[i], self.patches)).items():
                    value = averaged(views.memory, f"{turn}.{i}.{name}", current)
                    distance = (1 - self.class_wise) * (value - now.targets[i][name]).norm(dim=1)
                    if self.class_wise:
                        distance = distance + self.class_wise * (value - share @ now.by_class[i][name]).norm(dim=1)
                    terms[name] = terms.get(name, 0.0) + scale * distance
            if self.diversity:
                terms["diversity"] = self.diversity * densification(views)
            return terms

        return match


@dataclass(frozen=True)
class Member:
    """One teacher of the committee: its layers in module order, and what their statistics are to be."""

    network: nn.Module
    layers: list[nn.Module]
    targets: list[Statistics]
    """For each layer, each (1, D)."""
    by_class: list[Statistics]
    """For each layer, each (C, D); empty where nothing is matched class by class."""


def member(problem: Problem, teacher: int, options: GeneralStatistics) -> Member:
    """The teacher with its targets, which are prepared once for the data."""
    network, device = problem.networks[teacher], problem.compute.device
    layers, convolutions = layers_of(network)
    real = problem.prepared(layer_statistics(problem, teacher, options.patches))
    targets: list[Statistics] = []
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            place = convolutions.index(layer)
            targets.append({name: tensor.to(device) for name, tensor in of_layer(real, place)})
        else:
            mean, variance = running_statistics(layer)
            targets.append({"mean": mean[None].to(device), "variance": variance[None].to(device)})
    by_class: list[Statistics] = []
    if options.class_wise:
        stored = problem.prepared(class_statistics(problem, teacher, options.patches))
        by_class = [{name: tensor.to(device) for name, tensor in of_layer(stored, i)} for i in range(len(layers))]
    return Member(network, layers, targets, by_class)


def layers_of(network: nn.Module) -> tuple[list[nn.Module], list[nn.Module]]:
    """The layers that are matched, in module order, and of these the convolutions."""
    norms = batch_norms(network)
    layers = [m for m in network.modules() if m in norms or isinstance(m, nn.Conv2d)]
    return layers, [layer for layer in layers if layer not in norms]


def layer_statistics(problem: Problem, teacher: int, patches: int) -> Prepared:
    """Statistics of the inputs of a teacher's convolutions over all training images: `PLACE.STATISTIC`, each (1, D)."""

    def make(checkpoint: Checkpoint) -> dict[str, Tensor]:
        network = problem.networks[teacher]
        everything = [torch.arange(len(problem.data.train))]
        return measured(problem, network, layers_of(network)[1], patches, everything, checkpoint)

    return _prepared("layer-statistics", problem, teacher, patches, make)


def class_statistics(problem: Problem, teacher: int, patches: int) -> Prepared:
    """Statistics of the inputs of all layers that are matched, class by class: `PLACE.STATISTIC`, each (C, D)."""

    def make(checkpoint: Checkpoint) -> dict[str, Tensor]:
        network = problem.networks[teacher]
        members = [problem.data.train.of_class(label) for label in range(problem.num_classes)]
        return measured(problem, network, layers_of(network)[0], patches, members, checkpoint)

    return _prepared("class-statistics", problem, teacher, patches, make)


def _prepared(
    name: str, problem: Problem, teacher: int, patches: int, make: Callable[[Checkpoint], dict[str, Tensor]]
) -> Prepared:
    asked = problem.teachers[teacher]
    cost = Passes(asked.architecture, "forward", len(problem.data.train))
    which = f" of {asked.called}" if len(problem.teachers) > 1 else ""
    return Prepared(f"{name}{which}", make, (cost,), {"of": asked.fingerprint, "patches": patches})


def of_layer(stored: Mapping[str, Tensor], place: int) -> Iterator[tuple[str, Tensor]]:
    """The statistics of one layer out of tensors named `PLACE.STATISTIC`."""
    for key, tensor in stored.items():
        at, _, name = key.partition(".")
        if int(at) == place:
            yield name, tensor


@torch.inference_mode()
def measured(
    problem: Problem,
    network: nn.Module,
    layers: list[nn.Module],
    patches: int,
    parts: list[Tensor],
    checkpoint: Checkpoint,
) -> dict[str, Tensor]:
    """Statistics of P parts of the real images, batch by batch, averaged by the number of images, as the published code has it.

    That is the mean of the batches' variances, not the variance over all; named `PLACE.STATISTIC`, each (P, D).
    """
    found = checkpoint.load()
    total, finished = found or ({}, {"batches": 0})
    done = int(finished["batches"])
    batches = [(place, chunk) for place, part in enumerate(parts) for chunk in part.split(BATCH)]
    problem.advance(sum(len(chunk) for _, chunk in batches[:done]))
    for number, (part, chunk) in enumerate(batches[done:], done + 1):
        images = problem.normalization.normalize(problem.data.train.read(chunk).to(problem.compute.device))
        with recorded_inputs(layers) as inputs, problem.compute.autocast():
            network(images.contiguous(memory_format=torch.channels_last))
        for place, (layer, x) in enumerate(zip(layers, inputs, strict=True)):
            for name, value in statistics(x, 1, patches_of(layer, patches)).items():
                sums = total.setdefault(f"{place}.{name}", torch.zeros(len(parts), value.shape[1]))
                sums[part] += (value[0] * (len(chunk) / len(parts[part]))).cpu()
        problem.advance(len(chunk))
        if checkpoint.due:
            checkpoint.save(total, {"batches": number})
    return total


def statistics(x: Tensor, groups: int, patches: int) -> Statistics:
    """Of a map (G * B, C, H, W), or features (G * B, C), for each of G groups."""
    mean, variance = channel_moments(x, groups)
    found = {"mean": mean, "variance": variance}
    if patches and x.ndim == 4:
        found["patch-mean"], found["patch-variance"] = patch_moments(x, groups, patches)
    return found


def patches_of(layer: nn.Module, patches: int) -> int:
    """Patches along a side for a convolution; a BatchNorm layer is matched over channels alone."""
    return 0 if isinstance(layer, BATCH_NORMS) else patches


def patch_moments(x: Tensor, groups: int, patches: int) -> tuple[Tensor, Tensor]:
    """Mean and biased variance (G, patches^2), float32, of a map (G * B, C, H, W) at each place of a grid of patches.

    Maps whose side is no multiple of `patches` are resized to the next one.
    """
    height, width = (-(-side // patches) * patches for side in x.shape[2:])
    if (height, width) != tuple(x.shape[2:]):
        x = F.interpolate(x, size=(height, width), mode="bilinear", align_corners=False)
    grid = x.float().view(groups, -1, x.shape[1], patches, height // patches, patches, width // patches)
    variance, mean = torch.var_mean(grid, dim=(1, 2, 4, 6), unbiased=False)
    return mean.flatten(1), variance.flatten(1)


def class_shares(views: Views, classes: int) -> Tensor:
    """(G, C): the share of each class among the images of each group."""
    return F.one_hot(views.targets, classes).float().view(views.groups, -1, classes).mean(dim=1)


def densification(views: Views) -> Tensor:
    """(G,): over the classes of each group, KL(softmax(l / 4) || softmax(l)), l the eigenvalues of Z Z^T.

    Z (n, 3 * 32 * 32) holds the class's images, pooled; classes with one image add nothing.
    """
    pooled = F.adaptive_avg_pool2d(views.images, POOLED).flatten(1)
    sums = []
    for images, targets in zip(pooled.chunk(views.groups), views.targets.chunk(views.groups), strict=True):
        total = images.new_zeros(())
        for label in targets.unique().tolist():
            own = images[targets == label]
            if len(own) > 1:
                eigenvalues = torch.linalg.eigvalsh(own @ own.T)
                flat = (eigenvalues.detach() / SHARPNESS).softmax(dim=0)
                total = total + F.kl_div(eigenvalues.log_softmax(dim=0), flat, reduction="sum")
        sums.append(total)
    return torch.stack(sums)
