"""Matching the statistics of every convolution and BatchNorm layer of several teachers: G-VBSM's and EDC's matcher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from delt_host import Match, Matcher, Prepared, Problem, Views
from delt_host.toolbox import recorded_inputs, running_statistics
from delt_plugins.gvbsm.densification import densification
from delt_plugins.gvbsm.layer_moments import Moments, layers_of, moments, patch_of
from delt_plugins.gvbsm.real_moments import Asked, Crop, of_layer, real_moments

PATCHES = {"patch-mean": "patch-variance", "patch-variance": "patch-mean"}


class GeneralStatistics(Matcher):
    """Cross-entropy, and the distance of layer statistics to the real data's, one teacher an iteration in turn.

    ``CE + weight * sum_l m_l sum_s || s_l - target_l ||_2``: for a BatchNorm layer s is the mean and variance of its input
    over channels and the target its running ones; for a convolution also those of its input's patches, place by place, and
    the targets are taken over the training set. m_0 = `first_layer`, other m_l = 1. Each s stands for its moving average,
    which starts at 0, and has its own gradient. `diversity` adds, for each class, the divergence of the eigenvalues of its
    images' Gram matrix from a flatter distribution (data densification).
    """

    source: ClassVar[str] = "G-VBSM, sections 3.1-3.3 and recover scripts; class by class: EDC, section 3.2"
    of_teachers: ClassVar[bool] = True

    weight: float = Field(0.01, ge=0)
    """The weight of the statistics (r_loss)."""
    first_layer: float = Field(10.0, ge=0)
    """The multiplier of the first layer."""
    patch: int = Field(4, ge=0)
    """Pixels along a side of the patches of a convolution's input, which is resized to the next multiple; 0: no patches."""
    drop: float = Field(0.4, ge=0, lt=1)
    """Probability that a convolution is left out of an iteration."""
    decay: float = Field(0.8, ge=0, lt=1)
    """Decay of the moving averages; 0: the statistics themselves."""
    diversity: float = Field(1.0, ge=0)
    """The weight of the densification of each class."""
    class_wise: float = Field(0.0, ge=0, le=1)
    """The share of the distance that is taken to the mean of the images' classes instead of to that of all images. A class's
    variance is that within one image, averaged over its images."""
    real_crop: Crop = "pad"
    """How the real images are shown that targets are taken of: `pad`, a crop of the image padded by an eighth with black, or
    `resized`, RandomResizedCrop(0.08, 1), and half of them mirrored; `none`: as they are."""
    real_batch: int = Field(64, ge=1)
    """Real images in a batch, within which a target's variance is taken."""
    legacy_swapped_patches: bool = False
    """Class by class, patches' means are matched to the variances and variances to the means: EDC's code exchanges them when
    it writes its targets to files, and runs only from these files."""

    def prepares(self, problem: Problem) -> list[Prepared]:
        return [real_moments(problem, teacher, self.asked) for teacher in range(len(problem.teachers))]

    @property
    def asked(self) -> Asked:
        """Of the real images."""
        return Asked(self.patch, self.real_crop, self.real_batch, self.class_wise > 0)

    def bind(self, problem: Problem) -> Match:
        members = [member(problem, teacher, self) for teacher in range(len(problem.teachers))]

        def averaged(averages: dict[str, Tensor], key: str, current: Tensor) -> Tensor:
            now = current.detach()
            before = averages.get(key, torch.zeros_like(now))
            averages[key] = torch.lerp(now, before, self.decay)
            return averages[key] + current - now

        def match(views: Views) -> dict[str, Tensor]:
            turn = views.iteration % len(members)
            now = members[turn]
            lots = torch.rand(len(now.layers), generator=views.generator("drop")).tolist()
            kept = [i for i, layer in enumerate(now.layers) if not isinstance(layer, nn.Conv2d) or lots[i] >= self.drop]
            with recorded_inputs([now.layers[i] for i in kept]) as inputs, problem.compute.autocast():
                logits = now.network(views.images)
            entropy = F.cross_entropy(logits.float(), views.targets, reduction="none")
            terms = {"cross-entropy": entropy.view(views.groups, -1).mean(dim=1)}
            share = class_shares(views, problem.num_classes)
            for i, x in zip(kept, inputs, strict=True):
                scale = self.weight * (self.first_layer if i == 0 else 1.0)
                for name, current in moments(x, views.groups, patch_of(now.layers[i], self.patch)).items():
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
    """One teacher of the committee: its layers in module order, and what their moments are to be."""

    network: nn.Module
    layers: list[nn.Module]
    targets: list[Moments]
    """For each layer, each (1, D)."""
    by_class: list[Moments]
    """For each layer, each (C, D); empty where nothing is matched class by class."""


def member(problem: Problem, teacher: int, options: GeneralStatistics) -> Member:
    """The teacher with its targets, which are prepared once for the data."""
    network, device = problem.networks[teacher], problem.compute.device
    layers = layers_of(network)
    real = {
        name: each.to(device) for name, each in problem.prepared(real_moments(problem, teacher, options.asked)).items()
    }
    targets: list[Moments] = []
    for place, layer in enumerate(layers):
        if isinstance(layer, nn.Conv2d):
            targets.append(dict(of_layer(real, place)))
        else:
            mean, variance = running_statistics(layer)
            targets.append({"mean": mean[None].to(device), "variance": variance[None].to(device)})
    by_class = [dict(of_layer(real, place, "classes")) for place in range(len(layers))]
    if options.legacy_swapped_patches:
        by_class = [{PATCHES.get(name, name): each for name, each in layer.items()} for layer in by_class]
    return Member(network, layers, targets, by_class)


def class_shares(views: Views, classes: int) -> Tensor:
    """(G, C): the share of each class among the images of each group."""
    return F.one_hot(views.targets, classes).float().view(views.groups, -1, classes).mean(dim=1)
