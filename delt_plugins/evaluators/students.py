"""The evaluator that every paper reports: a student trained from scratch on the distilled set, tested on real images."""

from __future__ import annotations

from typing import ClassVar

from delt_host import Distilled, Evaluation, Evaluator, Problem, Taught, hookimpl
from delt_host.toolbox import train_student


class Student(Evaluator):
    """Top-1 in percent of one student under the problem's protocol: `top1` as it reports, `last`, and `best`."""

    source: ClassVar[str] = "SRe2L, RDED, DELT: student evaluation"
    headline: ClassVar[str] = "top1"

    model: str = "convnet3"
    """The student's architecture: ours, torchvision's or timm's by name."""

    @property
    def title(self) -> str:
        return self.model

    def evaluate(self, problem: Problem, distilled: Distilled, taught: Taught) -> Evaluation:
        training = train_student(
            problem, taught.labels, self.model, problem.observer.advance, checkpoint=problem.services.checkpoint
        )
        reported = training.best if problem.protocol.report == "best" else training.last
        return Evaluation(
            scores={"top1": reported, "last": training.last, "best": training.best},
            facts={
                "per_class": dict(zip(problem.class_names, training.per_class, strict=True)),
                "epochs": training.epochs,
                "steps": training.steps,
                "batch_size": training.batch_size,
                "train_seconds": training.seconds,
                "curve": training.curve,
            },
        )


class CrossArchitecture(Evaluator):
    """Top-1 in percent of many students trained on the same set; `mean` is over them, the others are their names."""

    source: ClassVar[str] = "DELT, Tables 1 and 5"
    headline: ClassVar[str] = "mean"

    models: tuple[str, ...] = (
        "convnet3",
        "resnet18",
        "efficientnet_b0",
        "mobilenet_v2",
        "mnasnet1_3",
        "regnet_y_8gf",
        "vgg11_bn",
        "vit_tiny_patch16_224",
    )
    """The students' architectures."""

    @property
    def title(self) -> str:
        return f"{len(self.models)} students"

    def evaluate(self, problem: Problem, distilled: Distilled, taught: Taught) -> Evaluation:
        scores, steps = {}, 0
        for model in self.models:
            training = train_student(problem, taught.labels, model, checkpoint=problem.services.checkpoint.part(model))
            scores[model] = training.last
            steps = training.steps
            problem.advance(max(problem.protocol.epochs // len(self.models), 1))
        return Evaluation({"mean": sum(scores.values()) / len(scores), **scores}, {"steps": steps})


@hookimpl
def delt_evaluators() -> dict[str, type[Evaluator]]:
    return {"student": Student, "cross-architecture": CrossArchitecture}
