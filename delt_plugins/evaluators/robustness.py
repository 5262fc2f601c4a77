"""Robustness: a student's accuracy on test images under common corruptions, made here and not downloaded."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
import torch.nn.functional as F
import torchvision.transforms.v2.functional as TF
from pydantic import Field
from torch import Tensor

from delt_host import Distilled, Evaluation, Evaluator, Problem, Split, Taught, hookimpl
from delt_host.toolbox import accuracy, through_jpeg, train_student

# Strengths for severities 1 to 5: the CIFAR column of Hendrycks and Dietterich's script.
NOISE = (0.04, 0.06, 0.08, 0.09, 0.10)
BLUR = (0.4, 0.6, 0.7, 0.8, 1.0)
BRIGHTNESS = (0.05, 0.1, 0.15, 0.2, 0.3)
CONTRAST = (0.75, 0.5, 0.4, 0.3, 0.15)
PIXELATE = (0.95, 0.9, 0.85, 0.75, 0.65)
JPEG = (80, 65, 58, 50, 40)


class Corrupted(Split):
    """A split whose images are read through a corruption; each image's own noise does not depend on the batch."""

    def __init__(self, split: Split, corrupt: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.split, self.corrupt, self.targets = split, corrupt, split.targets

    def read(self, indices: Tensor) -> Tensor:
        unit = self.corrupt(self.split.read(indices).float() / 255, indices)
        return (unit.clamp(0, 1) * 255).round().to(torch.uint8)


class Robustness(Evaluator):
    """Top-1 of one student under six corruptions, and their mean (`corrupted`); `clean` is the plain accuracy."""

    source: ClassVar[str] = "Hendrycks and Dietterich, ICLR 2019, arXiv 1903.12261 (six of its corruptions)"
    headline: ClassVar[str] = "corrupted"

    model: str = "convnet3"
    """The student's architecture."""
    severity: int = Field(3, ge=1, le=5)
    """How strong the corruptions are."""

    @property
    def title(self) -> str:
        return f"robustness of {self.model}, severity {self.severity}"

    def evaluate(self, problem: Problem, distilled: Distilled, taught: Taught) -> Evaluation:
        training = train_student(
            problem, taught.labels, self.model, problem.observer.advance, checkpoint=problem.services.checkpoint
        )
        student = training.student.eval()
        scores = {"clean": training.last}
        for name, corrupt in corruptions(problem, self.severity).items():
            split = Corrupted(problem.scored, corrupt)
            scores[name] = accuracy(student, problem.view_normalization, split, problem.compute)[0]
        corrupted = [value for name, value in scores.items() if name != "clean"]
        return Evaluation({"corrupted": sum(corrupted) / len(corrupted), **scores}, {"steps": training.steps})


def corruptions(problem: Problem, severity: int) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    """Functions from images (B, 3, S, S) in 0..1 and their indices (B,) to corrupted ones, not yet clipped."""
    level = severity - 1

    def noise(images: Tensor, indices: Tensor) -> Tensor:
        draws = [torch.randn(images.shape[1:], generator=problem.generator("noise", int(i))) for i in indices]
        return images + NOISE[level] * torch.stack(draws)

    def blur(images: Tensor, _indices: Tensor) -> Tensor:
        return TF.gaussian_blur(images, kernel_size=[7, 7], sigma=[BLUR[level]] * 2)

    def brightness(images: Tensor, _indices: Tensor) -> Tensor:
        return images + BRIGHTNESS[level]  # the published script adds in HSV; here the same to each channel

    def contrast(images: Tensor, _indices: Tensor) -> Tensor:
        mean = images.mean(dim=(2, 3), keepdim=True)
        return (images - mean) * CONTRAST[level] + mean

    def pixelate(images: Tensor, _indices: Tensor) -> Tensor:
        size = images.shape[-1]
        small = F.interpolate(images, size=max(int(size * PIXELATE[level]), 1), mode="area")
        return F.interpolate(small, size=size, mode="nearest")

    def jpeg(images: Tensor, _indices: Tensor) -> Tensor:
        return through_jpeg((images * 255).round().to(torch.uint8), JPEG[level]).float() / 255

    return {
        "noise": noise,
        "blur": blur,
        "brightness": brightness,
        "contrast": contrast,
        "pixelate": pixelate,
        "jpeg": jpeg,
    }


@hookimpl
def delt_evaluators() -> dict[str, type[Evaluator]]:
    return {"robustness": Robustness}
