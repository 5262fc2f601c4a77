"""Features of images: what goes into a network's classifier, which matchers and evaluators alike compare images in."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from delt_host.basics.ahead import ahead
from delt_host.basics.errors import InputError
from delt_host.contracts.dataset import IMAGENET_MEAN, IMAGENET_STD
from delt_host.contracts.problem import Problem
from delt_host.contracts.reader import ImageReader
from delt_host.images.normalization import Normalization
from delt_host.networks.build import pretrained_model
from delt_host.toolbox.statistics import recorded_inputs

FEATURE_BATCH = 500
"""Images in a pass that takes features."""


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
        for chunk in pixels.split(FEATURE_BATCH):
            images = self.normalization.normalize(chunk.to(self.compute.device))
            with recorded_inputs([self.last]) as inputs, self.compute.autocast():
                self.network(images.contiguous(memory_format=torch.channels_last))
            parts.append(inputs[0].float().flatten(1).cpu())
        return torch.cat(parts)

    def of_split(self, split: ImageReader, indices: Tensor) -> Tensor:
        """(n, D): of the images of a split or set at `indices` (n,), read batch by batch."""
        return torch.cat([self(images) for images in ahead(map(split.read, indices.split(FEATURE_BATCH)))])
