"""What each stage's result depends on, which is its key in the store, and what a stage is called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from delt_host.code_identity import code_of
from delt_host.codec import through_codec
from delt_host.components import Matcher
from delt_host.data.base import RealData
from delt_host.entry import Name, key_of
from delt_host.experiment import Experiment, Named, Row
from delt_host.host import Host
from delt_host.identity import network_identity
from delt_host.normalization import Normalization
from delt_host.plan import Plan
from delt_host.problem import Problem
from delt_host.recover import recover_stack, stacks
from delt_host.squeeze import TeacherRecipe, squeeze
from delt_host.train import train_student


def teacher_inputs(experiment: Experiment, recipe: TeacherRecipe, data: RealData, host: Host) -> dict[str, Any]:
    """What a squeezed teacher depends on."""
    return {
        "code": code_of(squeeze),
        "network": network_identity(recipe.model, host.registry.things("model")),
        "data": data.fingerprint,
        "recipe": recipe.model_dump(),
        "compute": [experiment.device, experiment.precision],
    }


def start_inputs(problem: Problem, row: Row, host: Host) -> dict[str, Any]:
    """What initialised images depend on."""
    return {
        "code": code_of(Problem),
        **problem.seen_by(row.initializer.component).inputs(),
        "ipc": problem.ipc,
        "seed": problem.seed,
        "component": host.identity("initializer", row.initializer),
    }


def recover_inputs(problem: Problem, matcher: Named[Matcher], plan: Plan, start_key: str, host: Host) -> dict[str, Any]:
    """What recovered pixels depend on, before they are assembled; the start's key brings data and precision."""
    return {
        "code": code_of(recover_stack),
        "start": start_key,
        "teachers": problem.seen_by(matcher.component).inputs()["teachers"],
        "plan": plan.model_dump(mode="json", exclude={"residual"}),
        "matcher": host.identity("matcher", matcher),
        "seed": problem.seed,
    }


def assembled_key(recovered_key: str, plan: Plan) -> str:
    """The key of the plan's images from that of the recovered pixels, which several residuals share."""
    return key_of([recovered_key, plan.residual]) if plan.residual else recovered_key


def finished_key(problem: Problem, images_key: str) -> str:
    """The key of a distilled set, from that of its images."""
    code = code_of(Normalization, through_codec)
    return key_of([images_key, problem.protocol.rounding, problem.protocol.codec, code])


def label_inputs(problem: Problem, row: Row, distilled_key: str, host: Host) -> dict[str, Any]:
    """What labels depend on."""
    return {
        "code": code_of(Problem),
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
        "code": code_of(train_student),
        "networks": [network_identity(name, problem.models) for name in evaluator.component.trainings],
        "labels": labels_key,
        "protocol": problem.protocol.model_dump(mode="json"),
        "component": host.identity("evaluator", evaluator),
    }


def detail(row: Row, problem: Problem, evaluator: Named[Any] | None = None) -> str:
    """What a stage of the row is called beside its name, by which observers know it."""
    return f"{row.label}, seed {problem.seed}" + (f", {evaluator.component.title}" if evaluator else "")


@dataclass(frozen=True)
class Entries:
    """What the stages of one row and seed leave in the store, by name."""

    start: Name
    groups: tuple[tuple[tuple[int, ...], Name], ...]
    """Each stack of the plan's groups and its entry; none where nothing is optimised."""
    labels: Name
    scores: tuple[Name, ...]
    """One for each evaluator."""


def entries(experiment: Experiment, problem: Problem, row: Row, plan: Plan, host: Host) -> Entries:
    """The names of all entries; nothing is computed and nothing read."""

    def name(stage: str, inputs: dict[str, Any]) -> Name:
        return stage, host.store.key(stage, inputs)

    start = name("start", start_inputs(problem, row, host))
    images_key, groups = start[1], []
    if plan.groups and row.matcher is not None:
        images_key = host.store.key("recover", recover_inputs(problem, row.matcher, plan, images_key, host))
        for stack in stacks(plan, row.matcher.component, problem.compute, problem.image_size):
            groups.append((stack, name("recover", {"of": images_key, "groups": stack})))
        images_key = assembled_key(images_key, plan)
    labels = name("relabel", label_inputs(problem, row, finished_key(problem, images_key), host))
    scores = [name("scores", score_inputs(problem, evaluator, labels[1], host)) for evaluator in experiment.evaluators]
    return Entries(start, tuple(groups), labels, tuple(scores))
