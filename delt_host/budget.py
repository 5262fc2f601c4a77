"""``--match``: every row is given the same budget, of image-iterations, of seconds or of bytes.

Image-iterations and seconds are matched by the number of iterations, with everything else of a schedule in proportion; bytes,
of images and labels together, by the images per class, and students still see as many views.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from statistics import median

import torch

from delt_host.components import ImageSet
from delt_host.errors import InputError
from delt_host.experiment import Budget, Experiment, Row
from delt_host.host import Host
from delt_host.plan import Plan
from delt_host.prepared import Passes
from delt_host.problem import Problem
from delt_host.recover import recover_group
from delt_host.resume import Checkpoint
from delt_host.stages.step import Made, Step, do, done

PROBE_ITERATIONS, TIMES = 16, 4


def with_budget(experiment: Experiment, problem: Problem, plans: Mapping[str, Plan], host: Host) -> tuple[Row, ...]:
    """The rows under the experiment's budget: the amount that was given, or what the first row takes.

    Rows that optimise nothing stay as they are where iterations are matched. InputError where a row cannot be matched.
    """
    budget = experiment.match
    if budget is None:
        return experiment.rows
    if budget.of == "bytes":
        return tuple(_of_bytes(experiment, problem, row, budget) for row in experiment.rows)
    costs = {row.label: _cost(problem, row, plans[row.label], budget, host) for row in experiment.rows}
    amount = budget.amount or next((cost for cost in costs.values() if cost), 0.0)
    return tuple(_stretched(row, costs[row.label], amount, budget) for row in experiment.rows)


def check_stretchable(experiment: Experiment) -> None:
    """InputError now, not after the teacher was squeezed, for a scheduler that cannot be matched."""
    if experiment.match is not None and experiment.match.of != "bytes":
        for row in experiment.rows:
            if row.scheduler is not None:
                row.scheduler.component.stretched(1.0)


def sized(problem: Problem, row: Row) -> Problem:
    """The problem with the row's own images per class, where it has them, and as many views in all."""
    if not row.ipc or row.ipc == problem.ipc:
        return problem
    epochs = max(round(problem.protocol.epochs * problem.ipc / row.ipc), 1)
    return problem.under(problem.protocol.model_copy(update={"epochs": epochs})).with_ipc(row.ipc)


def _stretched(row: Row, cost: float, amount: float, budget: Budget) -> Row:
    if row.scheduler is None or not cost:
        return replace(row, matched=f"optimises nothing: no {budget.of} to match")
    component = row.scheduler.component.stretched(amount / cost)
    said = f"{cost:,.0f} of its own {budget.of} brought to {amount:,.0f}"
    return replace(row, scheduler=replace(row.scheduler, component=component), matched=said)


def _cost(problem: Problem, row: Row, plan: Plan, budget: Budget, host: Host) -> float:
    if row.scheduler is None or row.matcher is None:
        return 0.0
    if budget.of == "image-iterations":
        return plan.image_iterations
    return plan.image_iterations * _pace(problem, row, plan, host)


def pace_steps(experiment: Experiment, problem: Problem, plans: Mapping[str, Plan], host: Host) -> list[Step]:
    """What is timed before rows can be brought to a budget of seconds."""
    if experiment.match is None or experiment.match.of != "seconds":
        return []
    timed = [_pace_step(problem, row, plans[row.label], host) for row in experiment.rows]
    return [step for step in timed if step is not None]


def _pace(problem: Problem, row: Row, plan: Plan, host: Host) -> float:
    """Seconds an image-iteration takes here."""
    step = _pace_step(problem, row, plan, host)
    if step is None:
        return 0.0
    do([step], host)
    return float(done(step, host).facts["pace"])


def _pace_step(problem: Problem, row: Row, plan: Plan, host: Host) -> Step | None:
    """The first group of the same schedule cut to a few iterations, timed once; None where nothing is optimised."""
    scheduler, matcher = row.scheduler, row.matcher
    if scheduler is None or matcher is None or not plan.groups:
        return None
    seen = problem.seen_by(matcher.component)
    with host.running("scheduler", scheduler):
        short = scheduler.component.stretched(PROBE_ITERATIONS / plan.groups[0].iterations).plan(seen)

    def make(_checkpoint: Checkpoint) -> Made:
        side, seconds = problem.image_size, []
        start = ImageSet(torch.zeros(problem.num_images, 3, side, side), problem.targets())
        with host.running("matcher", matcher):
            for _ in range(TIMES):
                began = time.perf_counter()
                recover_group(seen, start, short, 0, matcher.component, lambda _done, _terms: None)
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                seconds.append(time.perf_counter() - began)
        return {}, {"pace": median(seconds[1:]) / short.groups[0].image_iterations}

    inputs = {**seen.inputs(), "matcher": host.identity("matcher", matcher), "plan": short.model_dump(mode="json")}
    count = TIMES * short.groups[0].image_iterations / max(len(seen.teachers), 1)
    passes = tuple(Passes(teacher.architecture, "pixels", count) for teacher in seen.teachers)
    return Step(
        "time",
        row.label,
        row.label,
        inputs,
        host.store.key("time", inputs),
        make,
        known=problem.settled,
        unit="iterations",
        cost=passes,
        like=matcher.name,
        place="before the rows",
    )


def _of_bytes(experiment: Experiment, problem: Problem, row: Row, budget: Budget) -> Row:
    amount = budget.amount or _bytes(problem, experiment.rows[0], problem.ipc)
    most = int(torch.bincount(problem.data.train.targets, minlength=problem.num_classes).min())
    low, high = 0, most  # the most images per class whose bytes fit, by bisection
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _bytes(problem, row, middle) <= amount else (low, middle - 1)
    if low == 0:
        one = _bytes(problem, row, 1)
        raise InputError(
            f"{row.label} cannot be matched to {amount:,.0f} bytes: one image per class with its labels takes {one:,.0f}"
        )
    said = f"{low} images per class in {_bytes(problem, row, low):,.0f} of {amount:,.0f} bytes"
    return replace(row, ipc=low, matched=said)


def _bytes(problem: Problem, row: Row, ipc: int) -> float:
    problem = sized(problem, replace(row, ipc=ipc))
    pixels = problem.num_images * 3 * problem.image_size**2
    return pixels + row.relabeler.component.size_bytes(problem.seen_by(row.relabeler.component))
