"""What each stage's output depends on: the inputs of its key in the store, known before anything runs."""

from __future__ import annotations

from typing import Any

from delt_host.components import Matcher
from delt_host.data.base import RealData
from delt_host.experiment import Experiment, Named, Row
from delt_host.host import Host
from delt_host.plan import Plan
from delt_host.problem import Problem
from delt_host.protocols import Protocol
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


def finished_key(images_key: str, protocol: Protocol) -> str:
    """What a distilled set made of these images is to the stages after it."""
    return digest([images_key, protocol.rounding, protocol.codec])


def relabel_inputs(problem: Problem, row: Row, distilled_key: str, host: Host) -> dict[str, Any]:
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
