"""An evaluator from outside: the expected calibration error of a student trained on the distilled set."""

from typing import ClassVar

import torch
from torch import Tensor

from delt_host import Distilled, Evaluation, Evaluator, Problem, Taught, hookimpl
from delt_host.toolbox import train_student


class Calibration(Evaluator):
    """The mean distance of confidence and accuracy over equal bins of confidence, in percent; lower is better."""

    source: ClassVar[str] = "Guo et al.: On Calibration of Modern Neural Networks, ICML 2017, eq. 3"
    headline: ClassVar[str] = "calibration-error"

    model: str = "convnet3"
    """The student's architecture."""
    bins: int = 15
    """Bins of confidence between 0 and 1."""

    @property
    def title(self) -> str:
        return f"calibration of {self.model}"

    def evaluate(self, problem: Problem, distilled: Distilled, taught: Taught) -> Evaluation:
        checkpoint = problem.services.checkpoint  # a run that was killed goes on in the middle of the student
        training = train_student(problem, taught.labels, self.model, problem.observer.advance, checkpoint=checkpoint)
        student = training.student.eval()
        split, parts = problem.data.scored, []
        for chunk in torch.arange(len(split)).split(500):
            images = problem.view_normalization.normalize(split.read(chunk).to(problem.compute.device))
            with torch.inference_mode(), problem.compute.autocast():
                parts.append(student(images).float().softmax(dim=1).cpu())
        confidence, predicted = torch.cat(parts).max(dim=1)
        error = calibration_error(confidence, predicted == split.targets, self.bins)
        return Evaluation(scores={"calibration-error": 100 * error})


def calibration_error(confidence: Tensor, right: Tensor, bins: int) -> float:
    """``sum_b share_b * | accuracy_b - confidence_b |``."""
    place = (confidence * bins).long().clamp_max(bins - 1)
    gap = torch.zeros(bins, dtype=torch.float64).index_add_(0, place, right.double() - confidence.double())
    return float(gap.abs().sum() / len(confidence))


@hookimpl
def delt_evaluators() -> dict[str, type[Evaluator]]:
    return {"calibration": Calibration}
