"""What each stage's result depends on, which is its key in the store, and what a stage is called."""

from __future__ import annotations

from typing import Any

from delt_host.components import Matcher
from delt_host.data.base import RealData
from delt_host.experiment import Experiment, Named, Row
from delt_host.host import Host
from delt_host.plan import Plan
from delt_host.problem import Problem
from delt_host.squeeze import TeacherRecipe
from delt_host.store import digest


def teacher_inputs(experiment: Experiment, recipe: TeacherRecipe, data: RealData) -> dict[str, Any]:
    """What a squeezed teacher depends on."""
    return {
        "data": data.fingerprint,
        "recipe": recipe.model_dump(),
        "compute": [experiment.device, experiment.precision],
    }


def start_inputs(problem: Problem, row: Row, host: Host) -> dict[str, Any]:
    """What initialised images depend on."""
    return {
        **problem.seen_by(row.initializer.component).inputs(),
        "ipc": problem.ipc,
        "seed": problem.seed,
        "component": host.identity("initializer", row.initializer),
    }


def recover_inputs(problem: Problem, matcher: Named[Matcher], plan: Plan, start_key: str, host: Host) -> dict[str, Any]:
    """What recovered images depend on; the start's key brings data and precision."""
    return {
        "start": start_key,
        "teachers": problem.seen_by(matcher.component).inputs()["teachers"],
        "plan": plan.model_dump(mode="json"),
        "matcher": host.identity("matcher", matcher),
        "seed": problem.seed,
    }


def finished_key(problem: Problem, images_key: str) -> str:
    """The key of a distilled set, from that of its images."""
    return digest([images_key, problem.protocol.rounding, problem.protocol.codec])


def label_inputs(problem: Problem, row: Row, distilled_key: str, host: Host) -> dict[str, Any]:
    """What labels depend on."""
    return {
        **problem.seen_by(row.relabeler.component).inputs(),
        "distilled": distilled_key,
        "views": problem.protocol.view_settings(),
        "ipc": problem.ipc,
        "seed": problem.seed,
        "component": host.identity("relabeler", row.relabeler),
    }


def score_inputs(problem: Problem, evaluator: Named[Any], labels_key: str, host: Host) -> dict[str, Any]:
    """What scores depend on."""
    return {
        "labels": labels_key,
        "protocol": problem.protocol.model_dump(mode="json"),
        "component": host.identity("evaluator", evaluator),
    }


def detail(row: Row, problem: Problem, evaluator: Named[Any] | None = None) -> str:
    """What a stage of the row is called beside its name, by which observers know it."""
    return f"{row.label}, seed {problem.seed}" + (f", {evaluator.component.title}" if evaluator else "")
