"""What a distilled set cost to make and takes to keep: the axes of DELT's Table 6 and Figure 12."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from delt_host import Distilled, Evaluation, Evaluator, InputError, Problem, Taught, hookimpl


class CostOfRecovery(Evaluator):
    """Measured `time` of recovery in seconds, its `image-iterations` and `tera-multiply-adds` by the plan, and bytes.

    A plan's image-iterations are the sum over its phases of active images times iterations; multiply-adds are counted in one
    iteration and scaled by them. `peak-mib` is the most memory in use meanwhile: a GPU's tensors, or the whole process on a
    CPU. `image-kib` is what has to be stored or shipped beside the labels, `seconds-per-mega-image-iteration` the pace.
    """

    source: ClassVar[str] = "DELT, Table 6 and Figure 12"
    per: ClassVar[Literal["set", "regime", "table"]] = "set"
    headline: ClassVar[str] = "time"
    better: ClassVar[Literal["higher", "lower"]] = "lower"
    unit: ClassVar[str] = "s"

    @property
    def title(self) -> str:
        return "cost of recovery"

    def evaluate(self, problem: Problem, distilled: Distilled, taught: Taught | None) -> Evaluation:
        cost = distilled.cost
        if cost is None:
            raise InputError("evaluator cost: nobody wrote down what this distilled set cost to make; run it again")
        scores = {
            "time": cost.seconds,
            "image-iterations": float(cost.image_iterations),
            "tera-multiply-adds": cost.multiply_adds / 1e12,
            "peak-mib": cost.peak_bytes / 2**20,
            "image-kib": distilled.size_bytes / 2**10,
        }
        if cost.image_iterations:
            scores["seconds-per-mega-image-iteration"] = 1e6 * cost.seconds / cost.image_iterations
        return Evaluation({name: value for name, value in scores.items() if math.isfinite(value)})


@hookimpl
def delt_evaluators() -> dict[str, type[Evaluator]]:
    return {"cost": CostOfRecovery}
