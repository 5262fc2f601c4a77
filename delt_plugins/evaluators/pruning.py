"""Pruning: network slimming by BatchNorm scales, with nothing but the distilled set to train and fine-tune on."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from delt_host import Distilled, Evaluation, Evaluator, Problem, Taught, hookimpl
from delt_host.toolbox import accuracy, train_student


class Pruning(Evaluator):
    """Top-1 of a network slimmed to `1 - ratio` of its channels, after fine-tuning on the distilled set (`finetuned`).

    It is trained with an L1 penalty on BatchNorm scales; the `ratio` of all channels with the smallest scales is
    removed, by setting scale and shift to 0 for good, which takes a channel out wherever a ReLU follows; and trained
    again. `dense` is the accuracy before, `pruned` that between. Each layer keeps at least one channel.
    """

    source: ClassVar[str] = "DELT, Table 7; network slimming (Liu et al., ICCV 2017)"
    headline: ClassVar[str] = "finetuned"

    network: str = "vgg11_bn"
    """What is slimmed; it needs BatchNorm. Not one of the run's students: `--student` leaves it alone."""
    ratio: float = Field(0.5, ge=0, lt=1)
    """The share of channels that is removed."""
    sparsity: float = Field(1e-4, ge=0)
    """The weight of the L1 penalty."""

    @property
    def title(self) -> str:
        return f"{self.network} slimmed by {self.ratio:.0%}"

    @property
    def trainings(self) -> dict[str, float]:
        return {self.network: 2}

    def evaluate(self, problem: Problem, distilled: Distilled, taught: Taught) -> Evaluation:
        def penalty(student: nn.Module) -> Tensor:
            return self.sparsity * torch.stack([norm.weight.abs().sum() for norm in norms(student)]).sum()

        checkpoint = problem.services.checkpoint
        dense = train_student(
            problem, taught.labels, self.network, penalty=penalty, checkpoint=checkpoint.part("dense")
        )
        masks = smallest_scales(dense.student, self.ratio)
        apply(dense.student, masks)
        pruned = accuracy(dense.student.eval(), problem.view_normalization, problem.scored, problem.compute)[0]
        again = train_student(
            problem,
            taught.labels,
            self.network,
            student=dense.student,
            after_step=lambda student: apply(student, masks),
            checkpoint=checkpoint.part("slimmed"),
        )
        removed = sum(int((~mask).sum()) for mask in masks) / sum(len(mask) for mask in masks)
        scores = {"finetuned": again.last, "dense": dense.last, "pruned": pruned, "removed": 100 * removed}
        return Evaluation(
            scores, {"kept_channels": [int(mask.sum()) for mask in masks], "steps": dense.steps + again.steps}
        )


def norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    """The BatchNorm layers behind convolutions that have scales."""
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d) and module.affine]


def smallest_scales(network: nn.Module, ratio: float) -> list[Tensor]:
    """For each BatchNorm layer which channels stay, (C,) bool, by one threshold over the scales of all layers."""
    scales = [norm.weight.detach().abs() for norm in norms(network)]
    everything = torch.cat(scales).sort().values
    count = int(len(everything) * ratio)
    if count == 0:
        return [torch.ones_like(scale, dtype=torch.bool) for scale in scales]
    kept = [scale > everything[count - 1] for scale in scales]
    for scale, mask in zip(scales, kept, strict=True):
        mask[scale.argmax()] = True
    return kept


@torch.no_grad()
def apply(network: nn.Module, masks: list[Tensor]) -> None:
    """Set scale and shift of removed channels to 0."""
    for norm, mask in zip(norms(network), masks, strict=True):
        norm.weight.mul_(mask)
        norm.bias.mul_(mask)


@hookimpl
def delt_evaluators() -> dict[str, type[Evaluator]]:
    return {"pruning": Pruning}
