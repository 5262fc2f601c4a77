"""DD-Ranking: what of a score is due to the images, and what to labels and augmentation (arXiv 2505.13300).

Accuracies go in as fractions: the published tool puts percentages into the exponential.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from delt_host import Distilled, Evaluation, Evaluator, Labels, Passes, Prepared, Problem, Relabeler, hookimpl
from delt_host.identity import network_identity
from delt_host.ordinary import Ordinary
from delt_host.resume import Checkpoint
from delt_host.squeeze import measured, squeeze
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
        return {self.model: len(REGIMES)}

    def prepares(self, problem: Problem) -> list[Prepared]:
        return [real_accuracy(problem, self.model), *(random_accuracy(problem, name, self.model) for name in REGIMES)]

    def evaluate(self, problem: Problem, distilled: Distilled, labels: Labels) -> Evaluation:
        real, *others = (float(problem.prepared(each)["accuracy"]) for each in self.prepares(problem))
        own = {name: _accuracy(problem, regime, distilled, self.model) for name, regime in REGIMES.items()}
        random = dict(zip(REGIMES, others, strict=True))
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
        return {self.model: 2}

    def prepares(self, problem: Problem) -> list[Prepared]:
        return [random_accuracy(setting, "view", self.model) for setting in augmentations(problem).values()]

    def evaluate(self, problem: Problem, distilled: Distilled, labels: Labels) -> Evaluation:
        leads = {}
        for name, setting in augmentations(problem).items():
            mine = _accuracy(setting, REGIMES["view"], distilled, self.model)
            random = problem.prepared(random_accuracy(setting, "view", self.model))
            leads[name] = mine - float(random["accuracy"])
        beta = WEIGHT * leads["with"] + (1 - WEIGHT) * leads["without"]
        return Evaluation({"ars": robust_score(beta), **{f"lead-{name}": lead for name, lead in leads.items()}})


def augmentations(problem: Problem) -> dict[str, Problem]:
    """The problem with the protocol's augmentation, and without."""
    bare = problem.protocol.model_copy(update=WITHOUT_AUGMENTATION)
    return {"with": problem, "without": problem.under(bare)}


def _accuracy(problem: Problem, regime: Relabeler, distilled: Distilled, model: str) -> float:
    """A student's top-1 as a fraction."""
    return train_student(problem, regime.relabel(problem, distilled), model).last / 100


def random_accuracy(problem: Problem, name: str, model: str) -> Prepared:
    """The same for random real images under a regime, by its name: one `accuracy` () float64 for all rows of a seed."""

    def make(_checkpoint: Checkpoint) -> Mapping[str, Tensor]:
        start = Real().initialize(problem.with_student(0))  # the set's draw
        distilled = Distilled(problem.normalization.denormalize(start.images), start.targets)
        return {"accuracy": torch.tensor(_accuracy(problem, REGIMES[name], distilled, model), dtype=torch.float64)}

    protocol = problem.protocol
    cost = Passes(model, "training", protocol.epochs * problem.num_images)
    inputs = {"protocol": protocol.fingerprint, "ipc": problem.ipc, "seed": problem.seed}
    inputs |= {"student": problem.student, "regime": name}
    augmented = "" if protocol.crop != "none" or protocol.flip or protocol.mix != "none" else " without augmentation"
    what = f"random real images at IPC {problem.ipc}, {name} labels{augmented}, {model}"
    inputs |= {"model": network_identity(model, problem.models)}
    return Prepared(what, make, (cost,), inputs, total=protocol.epochs, unit="epochs")


def real_accuracy(problem: Problem, model: str) -> Prepared:
    """`accuracy`: top-1, as a fraction, of the model trained on the whole real set with hard labels by the teacher's recipe."""
    options = {name: value for name, value in problem.teacher.recipe.items() if name in Ordinary.model_fields}
    recipe = Ordinary(**{**options, "model": model, "weights": ""})

    def make(checkpoint: Checkpoint) -> Mapping[str, Tensor]:
        teacher = problem.teacher
        if model != teacher.architecture:
            found = squeeze(problem.data, recipe, problem.compute, problem.models, problem.observer.advance, checkpoint)
        elif math.isfinite(teacher.accuracy):
            found = teacher  # it is that model already
        else:
            found = measured(teacher, problem.data, problem.compute, problem.models)
        return {"accuracy": torch.tensor(found.accuracy / 100, dtype=torch.float64)}

    images = 0 if model == problem.teacher.architecture else recipe.epochs * len(problem.data.train)
    cost = (Passes(model, "training", images),) if images else ()
    inputs = {"recipe": recipe.model_dump(), "network": network_identity(model, problem.models)}
    return Prepared(f"real images, hard labels, {model}", make, cost, inputs, unit="images" if images else "")


@hookimpl
def delt_evaluators() -> dict[str, type[Evaluator]]:
    return {"label-robust": LabelRobust, "augmentation-robust": AugmentationRobust}
