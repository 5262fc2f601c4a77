"""What the conformance kit asks of an evaluator."""

from __future__ import annotations

import json
import math
from typing import Any, cast

import torch

from delt_host import Distilled, Evaluation, Evaluator, Problem, Taught
from delt_host.workshop import check_contract
from delt_plugins.kit.small import OneHot, real_distilled


def results(evaluator: Evaluator, problem: Problem) -> dict[str, Any]:
    if evaluator.per == "table":
        return {}
    return {"scores": _evaluated(evaluator, problem, real_distilled(problem)).scores}


def examine(evaluator: Evaluator, problem: Problem) -> None:
    """Finite scores with the headline among them, facts that JSON can hold, the same every time; of one that is per table
    only that it derives."""
    name, distilled = type(evaluator).__name__, real_distilled(problem)
    assert evaluator.per in ("set", "regime", "table"), f"{name}: per is {evaluator.per!r}, not set, regime or table"
    assert evaluator.better in ("higher", "lower"), f"{name}: better is {evaluator.better!r}, not higher or lower"
    assert isinstance(getattr(evaluator, "headline", None), str), (
        f"{name}: headline is missing, the score that tables show"
    )
    check_contract(evaluator)
    if evaluator.per == "table":
        return  # it needs a run's scores
    every = torch.arange(len(distilled))
    pixels, targets = distilled.read(every).clone(), distilled.targets.clone()
    first, again = (_evaluated(evaluator, problem, distilled) for _ in range(2))
    assert isinstance(first, Evaluation), f"{name}: evaluate() gives a {type(first).__name__}, not an Evaluation"
    unchanged = torch.equal(distilled.read(every), pixels) and torch.equal(distilled.targets, targets)
    assert unchanged, f"{name}: changes the distilled set in place; work on a copy"
    there = ", ".join(first.scores)
    assert evaluator.headline in first.scores, f"{name}: headline {evaluator.headline!r} is not a score ({there})"
    for score, value in first.scores.items():
        assert isinstance(value, float) and math.isfinite(value), (
            f"{name}: score {score!r} is {value!r}, not a finite float"
        )
    try:
        json.dumps(first.facts, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AssertionError(f"{name}: its facts cannot be written as JSON: {error}") from None
    assert first.scores == again.scores, f"{name}: two runs under one seed score differently"


def _evaluated(evaluator: Evaluator, problem: Problem, distilled: Distilled) -> Evaluation:
    taught = None if evaluator.per == "set" else Taught(problem, OneHot(), distilled)
    return evaluator.evaluate(problem.seen_by(evaluator), distilled, cast("Taught", taught))
