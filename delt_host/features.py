"""Features of images: what goes into a network's classifier, which matchers and evaluators alike compare images in."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from delt_host.data.base import IMAGENET_MEAN, IMAGENET_STD
from delt_host.errors import InputError
from delt_host.models import pretrained_model
from delt_host.normalization import Normalization
from delt_host.problem import Problem
from delt_host.reader import ImageReader
from delt_host.statistics import recorded_inputs

BATCH = 500


def classifier(network: nn.Module, name: str) -> nn.Linear:
    """The last linear layer, whose input is the features. InputError where a network has none."""
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise InputError(f"features are the input of a network's last linear layer; {name} has none")
    return linear[-1]


class FeatureSpace:
    """A network in eval mode and the normalisation that it takes; called with uint8 images it gives their features."""

    def __init__(self, problem: Problem, space: str = "teacher") -> None:
        """`teacher`: the first teacher's; `imagenet`: those of torchvision's pretrained ResNet-18 (512 dimensions)."""
        self.compute = problem.compute
        if space == "teacher":
            self.network, self.normalization = problem.network, problem.normalization
            self.last = classifier(self.network, problem.teacher.architecture)
        else:
            network = pretrained_model("resnet18", "IMAGENET1K_V1")[0]
            self.network = problem.compute.place(network).eval().requires_grad_(False)
            self.normalization = Normalization(IMAGENET_MEAN, IMAGENET_STD)
            self.last = classifier(self.network, "resnet18")

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> Tensor:
        """(N, D) float32 on the CPU, for uint8 images (N, 3, S, S)."""
        parts = []
        for chunk in pixels.split(BATCH):
            images = self.normalization.normalize(chunk.to(self.compute.device))
            with recorded_inputs([self.last]) as inputs, self.compute.autocast():
                self.network(images.contiguous(memory_format=torch.channels_last))
            parts.append(inputs[0].float().flatten(1).cpu())
        return torch.cat(parts)

    def of_split(self, split: ImageReader, indices: Tensor) -> Tensor:
        """(n, D): of the images of a split or set at `indices` (n,), read batch by batch."""
        return torch.cat([self(split.read(chunk)) for chunk in indices.split(BATCH)])


def sample_of_class(problem: Problem, label: int, most: int, purpose: str) -> Tensor:
    """Indices of at most `most` random training images of a class, the same for every method."""
    members = problem.data.train.of_class(label)
    rng = problem.generator(purpose, label)
    return members[torch.randperm(len(members), generator=rng)[:most]]


def classes(targets: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Each class present and the positions of its images."""
    for label in targets.unique().tolist():
        yield label, torch.nonzero(targets == label).flatten()
