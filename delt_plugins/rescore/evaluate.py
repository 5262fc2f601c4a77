"""``delt-host evaluate``: other evaluators, students or regimes for the distilled sets that a run left."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from delt_host import InputError
from delt_host.workshop import Installed, options, terminal

if TYPE_CHECKING:
    from delt_host import Problem


@click.command("evaluate")
@click.argument("run", type=options.Place())
@click.option(
    "--evaluator", "-e", multiple=True, type=Installed("evaluator"), help="Evaluator; several give several tables."
)
@click.option(
    "--student",
    multiple=True,
    type=Installed("model", shown="MODEL"),
    help="Student to train, for evaluators that train one.",
)
@click.option(
    "--teacher",
    multiple=True,
    type=Installed("model", shown="MODEL|FILE", files=True),
    help="Another teacher for the labels, or where the run's file lies now.",
)
@options.ceiling
@options.ceiling_epochs
@options.regime("Other regimes than the run's, a column each")
@click.option(
    "--dataset",
    type=Installed("dataset", shown="NAME[:PATH]"),
    help="Where the dataset lies now, if not where the run found it.",
)
@options.sets("Option of evaluators or regimes.")
@options.students
@options.computing
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
        Host,
        Request,
        Store,
        compute,
        default_store,
        folder,
        observer_for,
        outcome,
        parse_sets,
        place,
        resolve,
        slug,
        story,
    )
    from delt_plugins.rescore.saved_sets import SavedSets

    if not place.is_run(run):
        raise InputError(f"{run} is not the folder of a run: it has no experiment.toml")
    if out is not None and os.path.realpath(out) == os.path.realpath(run):
        raise InputError(f"{run} is the folder of the run itself; choose another with --out")
    there = Request.from_recipe(run / "experiment.toml")
    asked = Request(
        evaluator=list(evaluator) or (["student"] if student else []),
        student=list(student),
        regime=there.regimes_named(regime),
        set=parse_sets(sets),
        plugins=list(plugins),
        prefer=list(prefer),
        **said,
    )
    request = there.with_teachers(teacher).updated(asked)
    observer = observer_for(terminal.errors(), quiet)
    registry = options.loaded(request.plugins, request.prefer, observer.note)
    experiment = resolve(request, registry, makes_images=False)
    compute.own_process(experiment.threads)
    kept = Store(store or default_store(), observer.note, strict=experiment.strict)
    with place.locked(run, shared=True):
        saved = SavedSets(run, partial(registry.get, "form"))
        ours = saved.records(experiment)
        name = slug("-".join(named.name for named in experiment.evaluators))
        path = out or place.evaluation_place(run, name, experiment, ours)
        host = Host(registry, kept, observer, path)

        def begin() -> story.Comparison:
            comparison = story.prepare_run(experiment, host, saved=saved)
            _note_others(run, comparison.problem)
            return comparison

        def write(_of: Any, _measurements: Any, results: Any) -> Any:
            return folder.write_results(path, results, ours)

        with place.taken(path, experiment, "evaluate", sets=ours, store=kept.root):
            results = outcome.carry_out(begin, write, observer, path, "evaluate", as_json)
    outcome.check_whole(results, path)


def _note_others(run: Path, problem: Problem) -> None:
    """Say that labels come from others than the run's teachers, or scores from other images; a set that was imported comes from
    no run."""
    from delt_host.workshop import RESULTS_FILE, read_results

    if not (run / RESULTS_FILE).exists():
        return
    results = read_results(run)
    if results.data.fingerprint != problem.data.fingerprint:
        problem.observer.note(
            f"the images of {problem.data.name} are others than those of the run: do not compare the scores with the run's"
        )
    theirs = [teacher.fingerprint for teacher in results.teachers]
    if theirs != [teacher.fingerprint for teacher in problem.teachers]:
        problem.observer.note(
            "the labels are another teacher's than the run's: do not compare the scores with the run's"
        )
