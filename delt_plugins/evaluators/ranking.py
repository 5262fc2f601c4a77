"""DD-Ranking: what of a score is due to the images, and what to labels and augmentation (arXiv 2505.13300).

Accuracies go in as fractions: the published tool puts percentages into the exponential.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Any, ClassVar, Literal

import torch

from delt_host import (
    Distilled,
    Evaluation,
    Evaluator,
    InputError,
    Pixels,
    Problem,
    Protocol,
    Results,
    Score,
    Taught,
    hookimpl,
)
from delt_host.toolbox import identity, network_identity, train_student
from delt_plugins.controls.real import Real

HARD, RANDOM = "hard", "random-real"
"""The relabeler of one-hot labels, whose regime is looked for, and the control of random real images."""

WITHOUT_AUGMENTATION = {
    "crop": "none",
    "flip": False,
    "mix": "none",
    "randaugment": "",
    "shuffle_patches": 1,
    "siamese": "",
}
WEIGHT = 0.5  # w and gamma of the paper


def robust_score(alpha: float) -> float:
    """``(e^alpha - e^-1) / (e - e^-1)``: -1 to 1 becomes 0 to 1."""
    return (math.exp(alpha) - math.exp(-1)) / (math.e - math.exp(-1))


class LabelRobust(Evaluator):
    """LRS under each regime but that of hard labels, of the hard-label recovery HLR and the improvement over random images IOR.

    ``HLR = acc(real, hard) - acc(set, hard)``, ``IOR = acc(set, regime) - acc(random, regime)``, ``LRS`` is `robust_score`
    of ``w IOR - (1 - w) HLR`` with w = 0.5. `random` are random real images, `real` is the whole real set: both are rows of the
    run, and accuracies are those of evaluator `student`.
    """

    source: ClassVar[str] = "DD-Ranking, section 3, label-robust score"
    per: ClassVar[Literal["set", "regime", "table"]] = "table"
    headline: ClassVar[str] = "lrs"
    unit: ClassVar[str] = ""

    model: str = "convnet3"
    """The student's architecture."""

    @property
    def title(self) -> str:
        return f"label-robust score of {self.model}"

    @property
    def trainings(self) -> dict[str, float]:
        return {}

    def derive(self, results: Results) -> Sequence[Score]:
        regimes = [regime.name for regime in results.regimes if regime.relabeler.get("name") != HARD]
        hard = next((regime.name for regime in results.regimes if regime.name not in regimes), None)
        controls = [row for row in results.rows if row.role == "control" and row.method == RANDOM]
        real = next((row.label for row in results.rows if row.role == "ceiling"), None)
        if hard is None:
            raise InputError(
                "label-robust needs what sets are worth with hard labels: --regime hard beside another one"
            )
        if not regimes:
            raise InputError("label-robust needs a regime beside hard, to tell what its labels add: --regime views")
        if not controls:
            raise InputError(
                f"label-robust needs the control {RANDOM}: leave --no-controls out, or give --control {RANDOM}"
            )
        if real is None:
            raise InputError("label-robust needs students of the whole real set: --ceiling")
        found: list[Score] = []
        for row in results.rows:
            random = next((each.label for each in controls if each.form == row.form), controls[0].label)
            for regime in regimes if row.role != "ceiling" else ():
                needed = ((real, hard), (row.label, hard), (row.label, regime), (random, regime))
                accuracies = [self._accuracies(results, *place) for place in needed]
                for number in sorted(set.intersection(*map(set, accuracies))):
                    scores = label_robust(*(accuracy[number] for accuracy in accuracies))
                    found.append(Score(row=row.label, regime=regime, evaluator=self.title, set=number, scores=scores))
        if not found:
            raise InputError(
                f"label-robust needs accuracies of {self.model}: --evaluator student --student {self.model}"
            )
        return found

    def _accuracies(self, results: Results, row: str, regime: str) -> dict[int, float]:
        """Of a row's sets under a regime, as fractions, each the mean of its students."""
        found: dict[int, list[float]] = {}
        for score in results.scores:
            last = score.scores.get("last")
            if (score.row, score.regime, score.evaluator) == (row, regime, self.model) and last is not None:
                found.setdefault(score.set, []).append(last / 100)
        return {number: fmean(values) for number, values in found.items()}


def label_robust(real_hard: float, own_hard: float, own: float, random: float) -> dict[str, float]:
    """LRS, IOR and HLR of a set from four accuracies as fractions."""
    recovery, improvement = real_hard - own_hard, own - random
    return {
        "lrs": robust_score(WEIGHT * improvement - (1 - WEIGHT) * recovery),
        "ior": improvement,
        "hlr": recovery,
    }


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
        return {self.model: 4}  # the set's and the random images', of which the latter are every row's

    def evaluate(self, problem: Problem, distilled: Distilled, taught: Taught) -> Evaluation:
        leads = {}
        for name, protocol in augmentations(problem.protocol).items():
            setting = taught.under(protocol)
            checkpoint = problem.services.checkpoint.part(name)
            mine = train_student(setting.problem, setting.labels, self.model, checkpoint=checkpoint).last / 100
            leads[name] = mine - self._random(name, problem.under(protocol), setting)
        beta = WEIGHT * leads["with"] + (1 - WEIGHT) * leads["without"]
        return Evaluation({"ars": robust_score(beta), **{f"lead-{name}": lead for name, lead in leads.items()}})

    def _random(self, name: str, problem: Problem, taught: Taught) -> float:
        """The same student's top-1, as a fraction, on random real images: once for all rows of a seed."""

        def train() -> dict[str, torch.Tensor]:
            plain = problem.in_form(Pixels()).with_student(0)  # the set's draw, whatever the row's form
            start = Real().initialize(plain, range(plain.num_classes))
            images = Distilled.of(start.images, plain.targets())
            plain = plain.with_student(problem.student)
            checkpoint = problem.services.checkpoint.part(f"random, {name}")
            training = train_student(plain, taught.of(images, plain), self.model, checkpoint=checkpoint)
            accuracy = training.last / 100
            return {"accuracy": torch.tensor(accuracy, dtype=torch.float64)}

        inputs: dict[str, Any] = {
            "protocol": problem.protocol.model_dump(mode="json"),
            "relabeler": identity(taught.relabeler),
            "teachers": [teacher.fingerprint for teacher in taught.problem.teachers],
            "network": network_identity(self.model, problem.models),
            "ipc": problem.ipc,
            "seed": [problem.seed, problem.student],
        }
        return float(problem.remember("random", train, **inputs)["accuracy"])


def augmentations(protocol: Protocol) -> dict[str, Protocol]:
    """The protocol with its augmentation, and without."""
    return {"with": protocol, "without": protocol.model_copy(update=WITHOUT_AUGMENTATION)}


@hookimpl
def delt_evaluators() -> dict[str, type[Evaluator]]:
    return {"label-robust": LabelRobust, "augmentation-robust": AugmentationRobust}
