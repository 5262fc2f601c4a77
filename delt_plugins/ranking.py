"""DD-Ranking: what of a score is due to the images, and what to labels and augmentation (arXiv 2505.13300).

Accuracies go in as fractions: the published tool puts percentages into the exponential.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from delt_host import Distilled, Evaluation, Evaluator, Labels, Problem, Relabeler, hookimpl
from delt_host.identity import network_identity
from delt_host.squeeze import TeacherRecipe, measured, squeeze
from delt_host.train import train_student
from delt_plugins.controls import Real
from delt_plugins.labels import Fixed, Fkd, Hard

REGIMES: dict[str, Relabeler] = {"hard": Hard(), "fixed": Fixed(), "view": Fkd()}
"""Hard labels, one soft label an image, soft labels for each view."""

WITHOUT_AUGMENTATION = {"crop": "none", "flip": False, "mix": "none", "randaugment": "", "shuffle_patches": 1}
WEIGHT = 0.5  # w and gamma of the paper


def robust_score(alpha: float) -> float:
    """``(e^alpha - e^-1) / (e - e^-1)``: -1 to 1 becomes 0 to 1."""
    return (math.exp(alpha) - math.exp(-1)) / (math.e - math.exp(-1))


class LabelRobust(Evaluator):
    """LRS under three label regimes, of the hard-label recovery HLR and the improvement over random images IOR.

    ``HLR = acc(real, hard) - acc(set, hard)``, ``IOR = acc(set, regime) - acc(random, regime)``, ``LRS`` is `robust_score`
    of ``w IOR - (1 - w) HLR`` with w = 0.5. `random` are random real images, and all students have the same protocol.
    """

    source: ClassVar[str] = "DD-Ranking, section 3, label-robust score"
    headline: ClassVar[str] = "lrs-view"
    unit: ClassVar[str] = ""

    model: str = "convnet3"
    """The student's architecture."""

    @property
    def title(self) -> str:
        return f"label-robust score of {self.model}"

    @property
    def trainings(self) -> dict[str, float]:
        return {self.model: 2 * len(REGIMES)}  # those on random images are for all rows of a seed

    def evaluate(self, problem: Problem, distilled: Distilled, labels: Labels) -> Evaluation:
        real = real_accuracy(problem, self.model)
        own = {name: _accuracy(problem, regime, distilled, self.model) for name, regime in REGIMES.items()}
        random = {name: random_accuracy(problem, regime, self.model) for name, regime in REGIMES.items()}
        recovery = real - own["hard"]
        scores = {}
        for name in REGIMES:
            improvement = own[name] - random[name]
            scores[f"lrs-{name}"] = robust_score(WEIGHT * improvement - (1 - WEIGHT) * recovery)
            scores[f"ior-{name}"] = improvement
        return Evaluation({**scores, "hlr": recovery}, {"set": own, "random": random, "real": real})


class AugmentationRobust(Evaluator):
    """ARS: what remains of the lead over random real images when students are trained without augmentation.

    ``beta = g (set - random, with) + (1 - g) (set - random, without)``, g = 0.5; ARS is `robust_score` of beta.
    """

    source: ClassVar[str] = "DD-Ranking, section 3, augmentation-robust score"
    headline: ClassVar[str] = "ars"
    unit: ClassVar[str] = ""

    model: str = "convnet3"
    """The student's architecture."""

    @property
    def title(self) -> str:
        return f"augmentation-robust score of {self.model}"

    @property
    def trainings(self) -> dict[str, float]:
        return {self.model: 4}

    def evaluate(self, problem: Problem, distilled: Distilled, labels: Labels) -> Evaluation:
        bare = problem.under(problem.protocol.model_copy(update=WITHOUT_AUGMENTATION))
        leads = {}
        for name, setting in (("with", problem), ("without", bare)):
            mine = _accuracy(setting, REGIMES["view"], distilled, self.model)
            leads[name] = mine - random_accuracy(setting, REGIMES["view"], self.model)
        beta = WEIGHT * leads["with"] + (1 - WEIGHT) * leads["without"]
        return Evaluation({"ars": robust_score(beta), **{f"lead-{name}": lead for name, lead in leads.items()}})


def _accuracy(problem: Problem, regime: Relabeler, distilled: Distilled, model: str) -> float:
    """A student's top-1 as a fraction."""
    return train_student(problem, regime.relabel(problem, distilled), model).last / 100


def random_accuracy(problem: Problem, regime: Relabeler, model: str) -> float:
    """The same for random real images; computed once for all rows of a seed."""

    def work() -> Mapping[str, Tensor]:
        start = Real().initialize(problem)
        distilled = Distilled(problem.normalization.denormalize(start.images), start.targets)
        return {"accuracy": torch.tensor(_accuracy(problem, regime, distilled, model), dtype=torch.float64)}

    settings = {"protocol": problem.protocol.fingerprint, "ipc": problem.ipc, "seed": problem.seed}
    named = {"regime": type(regime).__name__, "model": network_identity(model, problem.models)}
    return float(problem.remember("random-accuracy", work, reads=(), **settings, **named)["accuracy"])


def real_accuracy(problem: Problem, model: str) -> float:
    """Top-1, as a fraction, of the model trained on the whole real set with hard labels, by the teacher's recipe."""
    teacher = problem.teacher
    if model == teacher.architecture:
        known = (
            teacher
            if math.isfinite(teacher.accuracy)
            else measured(teacher, problem.data, problem.compute, problem.models)
        )
        return known.accuracy / 100
    options = {name: value for name, value in teacher.recipe.items() if name in TeacherRecipe.model_fields}
    recipe = TeacherRecipe(**{**options, "model": model, "weights": ""})

    def work() -> Mapping[str, Tensor]:
        trained = squeeze(problem.data, recipe, problem.compute, problem.models, lambda _done, _terms: None)
        return {"accuracy": torch.tensor(trained.accuracy / 100, dtype=torch.float64)}

    network = network_identity(model, problem.models)
    return float(
        problem.remember("real-accuracy", work, reads=(), recipe=recipe.model_dump(), network=network)["accuracy"]
    )


@hookimpl
def delt_evaluators() -> dict[str, type[Evaluator]]:
    return {"label-robust": LabelRobust, "augmentation-robust": AugmentationRobust}
