"""``--match``: every row is given the same budget, of image-iterations or of seconds.

Both are matched by the number of iterations, with everything else of a schedule in proportion. Bytes are equal already: IPC
counts them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from delt_host.contracts.identity import network_identity
from delt_host.contracts.initializer import Start
from delt_host.contracts.plan import Plan
from delt_host.contracts.problem import Problem
from delt_host.experiment.experiment import Budget, Experiment, Row
from delt_host.recovery.cost import median_seconds, passes_of
from delt_host.recovery.latents import Latents
from delt_host.recovery.loop import recover_group
from delt_host.stages.host import Host
from delt_host.stages.step import Made, Step, do
from delt_host.store.resume import Checkpoint

PROBE_ITERATIONS, TIMED_STEPS = 16, 3
PROBE_ITERATIONS_ON_CUDA = 800  # of up to eight phases, most of each repeated from a recording as in the whole plan


def with_budget(experiment: Experiment, problem: Problem, plans: Mapping[str, Plan], host: Host) -> tuple[Row, ...]:
    """The rows under the experiment's budget: the amount that was given, or what the first row takes.

    Rows that optimise nothing stay as they are where iterations are matched. InputError where a row cannot be matched.
    """
    budget = experiment.match
    if budget is None:
        return experiment.rows
    costs = {row.label: _cost(problem, row, plans[row.label], budget, host) for row in experiment.rows}
    amount = budget.amount or next((cost for cost in costs.values() if cost), 0.0)
    return tuple(_stretched(row, costs[row.label], amount, budget) for row in experiment.rows)


def check_stretchable(experiment: Experiment) -> None:
    """InputError now, not after the teacher was squeezed, for a scheduler that cannot be matched."""
    if experiment.match is not None:
        for row in experiment.rows:
            if row.scheduler is not None:
                row.scheduler.component.stretched(1.0)


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
    step = _pace_step(problem, row, plan, host)
    if step is None:
        return 0.0
    do([step])
    return plan.image_iterations * float(step.entry().facts["pace"])


def pace_steps(experiment: Experiment, problem: Problem, plans: Mapping[str, Plan], host: Host) -> list[Step]:
    """What is timed before rows can be brought to a budget of seconds: how long an image-iteration takes here."""
    if experiment.match is None or experiment.match.of != "seconds":
        return []
    timed = [_pace_step(problem, row, plans[row.label], host) for row in experiment.rows]
    return [step for step in timed if step is not None]


def _pace_step(problem: Problem, row: Row, plan: Plan, host: Host) -> Step | None:
    """The first group of the same schedule cut to a few iterations, timed once; None where nothing is optimised."""
    scheduler, matcher = row.scheduler, row.matcher
    if scheduler is None or matcher is None or not plan.groups:
        return None
    problem = problem.in_form(row.form.component)
    seen = problem.seen_by(matcher.component)
    with host.running("scheduler", scheduler):
        count = PROBE_ITERATIONS_ON_CUDA if torch.device(seen.compute.device).type == "cuda" else PROBE_ITERATIONS
        short = scheduler.component.stretched(count / plan.groups[0].iterations).plan(seen)

    def make(_checkpoint: Checkpoint) -> Made:
        side = problem.image_size
        labels, rate = torch.zeros(problem.num_units, problem.num_classes), torch.tensor(0.01)
        start = Latents.of(seen, Start(torch.zeros(problem.num_images, 3, side, side), labels, rate))
        with host.running("matcher", matcher):
            seconds = median_seconds(
                lambda: recover_group(seen, start, short, 0, matcher.component, lambda _done, _terms: None), TIMED_STEPS
            )
        return {}, {"pace": seconds / short.groups[0].image_iterations}

    inputs = {
        **seen.inputs(),
        "form": host.identity("form", row.form),
        "matcher": host.identity("matcher", matcher),
        "networks": [network_identity(name, seen.models) for name in matcher.component.networks.architectures(seen)],
        "plan": short.model_dump(mode="json"),
    }
    return Step(
        host,
        "time",
        row.label,
        inputs,
        make,
        known=problem.settled,
        unit="iterations",
        cost=passes_of(seen, [short.groups[0]] * (1 + TIMED_STEPS), matcher.component),
        like=matcher.name,
        place="before the rows",
    )
