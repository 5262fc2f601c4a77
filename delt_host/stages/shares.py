"""The share of its published budget that a row was given: of iterations, and of its students' steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from delt_host.basics.errors import InputError, RunError
from delt_host.basics.file_words import short_name
from delt_host.contracts.observer import Observer
from delt_host.contracts.plan import Plan
from delt_host.contracts.problem import Problem
from delt_host.experiment.experiment import Column, Published, Row
from delt_host.stages.host import Host


def shares(row: Row, plan: Plan | None, problem: Problem, regimes: Sequence[Column], host: Host) -> dict[str, Any]:
    """A row's `of`, `share_of_iterations` and `shares_of_steps`, as its record has them; empty where nothing is published."""
    if (published := row.published) is None:
        return {}
    own = _iterations(plan, problem.in_form(row.form.component))
    theirs = _published_iterations(published, problem, host)
    steps = published.protocol.steps_for(problem) if published.protocol else 0
    return {
        "of": short_name(published.method),
        "share_of_iterations": own / theirs if own and theirs else None,
        "shares_of_steps": {
            each.name: each.protocol.component.steps_for(problem) / steps for each in regimes if published.protocol
        },
    }


def _iterations(plan: Plan | None, problem: Problem) -> float:
    """Of a stored unit, on the average."""
    return plan.image_iterations / problem.num_units if plan else 0.0


def _published_iterations(published: Published, problem: Problem, host: Host) -> float:
    """0 where it optimises nothing, or its schedule cannot be made here."""
    if (scheduler := published.scheduler) is None:
        return 0.0
    problem = problem.in_form(published.form.component)
    # What its schedule has to say is of a row that nobody runs.
    problem = replace(problem, services=replace(problem.services, observer=Observer()))
    try:
        with host.running("scheduler", scheduler):
            return _iterations(scheduler.component.plan(problem.seen_by(scheduler.component)), problem)
    except (InputError, RunError):
        return 0.0
