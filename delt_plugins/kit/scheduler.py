"""What the conformance kit asks of a scheduler."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from delt_host import InputError, Plan, Problem, Scheduler
from delt_host.workshop import check_plan
from delt_plugins.kit.small import before_teachers

OTHER_IPC = (1, 2, 11)
SHARES = (0.5, 2.0)


def results(scheduler: Scheduler, problem: Problem) -> dict[str, Any]:
    return {"plan": scheduler.plan(before_teachers(problem).seen_by(scheduler)).model_dump_json()}


def examine(scheduler: Scheduler, problem: Problem) -> None:
    """A plan of disjoint groups that optimise all images, made without a teacher, the same every time, unchanged by JSON."""
    name, problem = type(scheduler).__name__, before_teachers(problem)
    plan = scheduler.plan(problem.seen_by(scheduler))
    _check(name, plan, problem)
    assert scheduler.plan(problem.seen_by(scheduler)) == plan, f"{name}: two plans for one problem differ"
    assert Plan.model_validate_json(plan.model_dump_json()) == plan, f"{name}: the plan changes when written as JSON"
    bare = replace(problem, teachers=())
    assert scheduler.plan(bare.seen_by(scheduler)) == plan, (
        f"{name}: the plan is another one where a run has no teacher"
    )
    for ipc in OTHER_IPC:
        other = replace(problem, ipc=ipc)
        try:
            made = scheduler.plan(other.seen_by(scheduler))
        except InputError:  # what does not suit these options, in words for whoever chose them
            continue
        _check(f"{name}: at {ipc} images a class", made, other)
    if type(scheduler).stretched is not Scheduler.stretched:
        for share in SHARES:
            _check_stretched(name, scheduler, share, problem)


def _check(name: str, plan: object, problem: Problem) -> None:
    assert isinstance(plan, Plan), f"{name}: plan() gives a {type(plan).__name__}, not a Plan"
    check_plan(plan, problem.num_units)
    left = set(range(problem.num_units))
    for group in plan.groups:
        left -= set(group.images[: group.phases[-1].active if group.phases else 0])
    classes = sorted({unit // problem.units for unit in left})
    assert not left, (
        f"{name}: the plan leaves {len(left)} of {problem.num_units} units as they start, the first of class {classes[0]}; "
        "each unit belongs into one group, and is active in its last phase"
    )


def _check_stretched(name: str, scheduler: Scheduler, share: float, problem: Problem) -> None:
    try:
        other = scheduler.stretched(share)
        plan = other.plan(problem.seen_by(other))
    except InputError:  # its iterations cannot be divided so
        return
    before = scheduler.plan(problem.seen_by(scheduler)).iterations
    near = 0.5 * share * before <= plan.iterations <= 2 * share * before + len(plan.groups)
    assert near, f"{name}: stretched({share:g}) makes {plan.iterations} iterations of {before}"
