"""``delt-host evaluate``: other evaluators, students or regimes for the distilled sets that a run left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from delt_host.workshop import Installed, options, terminal


@click.command(
    "evaluate",
    cls=options.Command,
    examples={
        "how different a run's images are from each other": "delt-host evaluate runs/NAME --evaluator diversity",
        "five students of another kind on each seed's set": "delt-host evaluate runs/NAME --student resnet18 --students 5",
        "students who are told something else": "delt-host evaluate runs/NAME --regime hard --regime online:rded",
    },
)
@click.argument("run", type=options.Place())
@options.SCORED.option(
    "--evaluator", "-e", multiple=True, type=Installed("evaluator"), help="Evaluator; several give several tables."
)
@options.SCORED.option(
    "--student",
    multiple=True,
    type=Installed("model", shown="MODEL"),
    help="Student to train, for evaluators that train one.",
)
@options.DATA.option(
    "--teacher",
    multiple=True,
    type=Installed("model", shown="MODEL|FILE"),
    help="Another teacher for the labels, or where the run's file lies now.",
)
@options.ceiling
@options.ceiling_epochs
@options.regime("Other regimes than the run's, a column each")
@options.DATA.option(
    "--dataset",
    type=Installed("dataset", shown="NAME[:PATH]"),
    help="Where the dataset lies now, if not where the run found it.",
)
@options.sets("Option of evaluators or regimes.", "evaluator", "relabeler", "protocol")
@options.students
@options.computing
@options.workers
@options.out("Where results go (default RUN/evaluations/NAMES).")
@options.quiet("the tables and errors")
@options.as_json
def command(
    run: Path,
    evaluator: tuple[str, ...],
    student: tuple[str, ...],
    teacher: tuple[str, ...],
    regime: tuple[str, ...],
    sets: tuple[str, ...],
    plugins: tuple[str, ...],
    prefer: tuple[str, ...],
    workers: int,
    store: Path | None,
    out: Path | None,
    quiet: bool,
    as_json: bool,
    **said: Any,
) -> None:
    """Score the sets of a run anew, without distilling again.

    RUN is a folder that `delt-host run` left. The images are read from it; the teacher comes from its file or the store, or
    is squeezed anew by the run's recipe, which on another device or in another precision gives another teacher.
    """
    from delt_host.workshop import (
        AskedEvaluation,
        Request,
        asked_of,
        compute,
        observer_for,
        outcome,
        parse_sets,
        recipe_of,
    )

    there = recipe_of(run)
    words = Request(
        evaluator=list(evaluator),
        student=list(student),
        teacher=list(teacher),
        regime=list(regime),
        set=parse_sets(sets),
        plugins=list(plugins),
        prefer=list(prefer),
        **said,
    )
    request = asked_of(there, words)
    observer = observer_for(terminal.errors(), quiet)
    registry = options.loaded(request.plugins, request.prefer, observer.note)
    asked = AskedEvaluation.of(run, request, registry, store, workers, words.threads)
    compute.own_process(asked.threads)
    tell = outcome.Telling(as_json)
    tell.end(asked.run(observer, tell.unfinished, out))
