"""Continual learning: classes come in steps, and each step's student is trained on the distilled images seen so far."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from delt_host import (
    Distilled,
    Evaluation,
    Evaluator,
    InputError,
    MemorySplit,
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
                kept = torch.isin(distilled.targets, torch.tensor(seen)).nonzero().flatten()
                given = taught.of(Distilled.of(distilled.read(kept), renumbered(distilled.targets[kept], seen)), now)
            curve["classes"].append(len(seen))
            curve["accuracy"].append(train_student(now, given, self.model).last)
            problem.advance(problem.protocol.epochs // self.steps)
        accuracies = curve["accuracy"]
        scores = {"average": sum(accuracies) / len(accuracies), "last": accuracies[-1]}
        return Evaluation(scores, {"curve": curve, "order": [problem.class_names[label] for label in order]})


def subset(data: RealData, seen: list[int]) -> RealData:
    """The data of some classes, in their order."""

    def part(split: Split) -> Split:
        indices = torch.nonzero(torch.isin(split.targets, torch.tensor(seen))).flatten()
        return MemorySplit(split.read(indices), renumbered(split.targets[indices], seen))

    names = tuple(data.class_names[label] for label in seen)
    fingerprint = f"{data.fingerprint}/{','.join(map(str, seen))}"
    return RealData(
        data.name, names, data.image_size, data.mean, data.std, part(data.train), part(data.test), fingerprint
    )


def renumbered(targets: Tensor, seen: list[int]) -> Tensor:
    """Class indices as places in `seen`, which is sorted."""
    return torch.searchsorted(torch.tensor(seen), targets)


@hookimpl
def delt_evaluators() -> dict[str, type[Evaluator]]:
    return {"continual": Continual}
