"""Continual learning: classes come in steps, and each step's student is trained on the distilled images seen so far."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from delt_host import (
    Distilled,
    Evaluation,
    Evaluator,
    ImageReader,
    InputError,
    Problem,
    RealData,
    Split,
    Taught,
    hookimpl,
)
from delt_host.toolbox import train_student


class Continual(Evaluator):
    """Class-incremental accuracy in K equal steps, GDumb style: a new student each step, tested on the classes seen.

    `average` is the mean over steps, `last` the accuracy after the last one. Classes come in an order drawn from the seed.
    Steps before the last have the regime's labels of the classes seen; the last has the set's own.
    """

    source: ClassVar[str] = "DELT, Figure 8; GDumb (Prabhu et al., ECCV 2020)"
    headline: ClassVar[str] = "average"

    model: str = "convnet3"
    """The student's architecture."""
    steps: int = Field(5, ge=1)
    """K, which must not be more than the classes."""

    @property
    def title(self) -> str:
        return f"continual, {self.steps} steps, {self.model}"

    @property
    def trainings(self) -> dict[str, float]:
        return {self.model: (self.steps + 1) / 2}  # step k of K has k/K of the images

    def evaluate(self, problem: Problem, distilled: Distilled, taught: Taught) -> Evaluation:
        classes = problem.num_classes
        if self.steps > classes:
            raise InputError(f"evaluator continual has {self.steps} steps, but {problem.data.name} {classes} classes")
        order = torch.randperm(classes, generator=problem.generator("continual")).tolist()
        curve = {"classes": [], "accuracy": []}  # type: dict[str, list[float]]
        for step in range(1, self.steps + 1):
            seen = sorted(order[: step * classes // self.steps])
            if len(seen) == classes:
                now, given = problem, taught.labels
            else:
                now = problem.of_data(subset(problem.data, seen))
                of_seen = Distilled.of_reader(OfClasses(distilled, seen), within(distilled.fingerprint, seen))
                given = taught.of(of_seen, now)
            checkpoint = problem.services.checkpoint.part(f"step {step}")
            curve["classes"].append(len(seen))
            curve["accuracy"].append(train_student(now, given, self.model, checkpoint=checkpoint).last)
            problem.advance(problem.protocol.epochs // self.steps)
        accuracies = curve["accuracy"]
        scores = {"average": sum(accuracies) / len(accuracies), "last": accuracies[-1]}
        return Evaluation(scores, {"curve": curve, "order": [problem.class_names[label] for label in order]})


class OfClasses(Split):
    """The images of some classes, which are sorted and numbered anew, read from where they are."""

    def __init__(self, images: ImageReader, classes: list[int]) -> None:
        numbers = torch.tensor(classes)
        self.images, self.places = images, torch.nonzero(torch.isin(images.targets, numbers)).flatten()
        self.targets = torch.searchsorted(numbers, images.targets[self.places])

    def read(self, indices: Tensor) -> Tensor:
        return self.images.read(self.places[indices])


def within(fingerprint: str, seen: list[int]) -> str:
    """The fingerprint of some classes of what has one."""
    return f"{fingerprint}/{','.join(map(str, seen))}"


def subset(data: RealData, seen: list[int]) -> RealData:
    """The data of some classes, in their order."""
    return replace(
        data,
        class_names=tuple(data.class_names[label] for label in seen),
        train=OfClasses(data.train, seen),
        **{data.split: OfClasses(data.scored, seen)},  # type: ignore[arg-type]
        fingerprint=within(data.fingerprint, seen),
    )


@hookimpl
def delt_evaluators() -> dict[str, type[Evaluator]]:
    return {"continual": Continual}
