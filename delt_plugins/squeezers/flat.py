"""SAM: teachers that lie in flat regions of the loss, which trajectories of FTD are made with.

Foret et al., Sharpness-Aware Minimization for Efficiently Improving Generalization, ICLR 2021, arXiv 2010.01412; the
surrogate gap of GSAM: Zhuang et al., ICLR 2022, arXiv 2203.08065.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from delt_host import Compute
from delt_host.toolbox import BATCH_NORMS
from delt_plugins.squeezers.ordinary import Ordinary


class Sam(Ordinary):
    """The ordinary training with the gradient at ``w + rho g / ||g||`` in place of that at w, where g is the gradient at w."""

    source: ClassVar[str] = "SAM, eq. 2-3 and algorithm 1; alpha: GSAM, algorithm 1"
    sweeps: ClassVar[int] = 2

    rho: float = Field(0.05, gt=0)
    """How far the weights are moved for the second gradient; FTD takes 0.01."""
    alpha: float = Field(0.0, ge=0)
    """How much of g's part at a right angle to the second gradient is taken off that (GSAM); 0: none, FTD takes 1."""

    def gradients(self, model: nn.Module, images: Tensor, targets: Tensor, compute: Compute) -> Tensor:
        parameters = [each for each in model.parameters() if each.requires_grad]
        loss = super().gradients(model, images, targets, compute)
        here = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in parameters]
        away = [part * (self.rho / (_norm(here) + 1e-12)) for part in here]
        before = [parameter.detach().clone() for parameter in parameters]
        model.zero_grad(set_to_none=True)
        with torch.no_grad():
            for parameter, part in zip(parameters, away, strict=True):
                parameter.add_(part)
        with _statistics_untouched(model):
            super().gradients(model, images, targets, compute)
        with torch.no_grad():
            for parameter, weights in zip(parameters, before, strict=True):
                parameter.copy_(weights)  # not w - away, which is another number than w
            if self.alpha:
                there = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
                along = _inner(here, there) / (_inner(there, there) + 1e-12)
                for parameter, g, second in zip(parameters, here, there, strict=True):
                    parameter.grad = second - self.alpha * (g - along * second)
        return loss


def _inner(left: list[Tensor], right: list[Tensor]) -> Tensor:
    return torch.stack([(a * b).sum() for a, b in zip(left, right, strict=True)]).sum()


def _norm(parts: list[Tensor]) -> Tensor:
    return _inner(parts, parts).sqrt()


@contextmanager
def _statistics_untouched(model: nn.Module) -> Iterator[None]:
    """BatchNorm layers keep their running statistics, which are of the weights themselves, not of those moved to."""
    layers = [layer for layer in model.modules() if isinstance(layer, BATCH_NORMS) and layer.track_running_stats]
    kept = [{name: buffer.clone() for name, buffer in layer.named_buffers()} for layer in layers]
    yield
    for layer, buffers in zip(layers, kept, strict=True):
        for name, buffer in layer.named_buffers():
            buffer.copy_(buffers[name])
