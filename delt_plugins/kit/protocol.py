"""What the conformance kit asks of a protocol."""

from __future__ import annotations

import math
from typing import Any

from delt_host import Labels, Problem, Protocol
from delt_host.toolbox import train_student
from delt_plugins.kit.small import OneHot, real_distilled

STEPS = 12


def results(protocol: Protocol, problem: Problem) -> dict[str, Any]:
    short = problem.under(protocol.model_copy(update={"steps": STEPS}))
    return {"loss": train_student(short, Labels(short, real_distilled(short), OneHot()), "convnet3").curve["loss"]}


def examine(protocol: Protocol, problem: Problem) -> None:
    """A student trains under it for some steps, with a finite loss, to the same bits each time."""
    name = type(protocol).__name__
    first, again = (results(protocol, problem)["loss"] for _ in range(2))
    assert all(map(math.isfinite, first)), f"{name}: a student's loss is not finite in its first {STEPS} steps"
    assert first == again, f"{name}: two students under one seed differ"
