"""``delt-host evaluate``: other evaluators, students or regimes for the distilled sets that a run left."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from delt_host.cli import options, terminal
from delt_host.cli.completion import names
from delt_host.cli.outcome import finished_so_far, tell, told_anyway
from delt_host.errors import InputError, RunError

if TYPE_CHECKING:
    from delt_host.problem import Problem


@click.command("evaluate")
@click.argument("run", type=options.Place())
@click.option(
    "--evaluator",
    "-e",
    multiple=True,
    metavar="NAME",
    help="Evaluator; several give several tables.",
    shell_complete=names("evaluator"),
)
@click.option(
    "--student",
    multiple=True,
    metavar="MODEL",
    help="Student to train, for evaluators that train one.",
    shell_complete=names("model"),
)
@click.option(
    "--teacher",
    multiple=True,
    metavar="MODEL|FILE",
    help="Another teacher for the labels, or where the run's file lies now.",
    shell_complete=names("model", files=True),
)
@options.ceiling
@options.ceiling_epochs
@options.regime("Other regimes than the run's, a column each")
@click.option(
    "--dataset",
    metavar="NAME[:PATH]",
    help="Where the dataset lies now, if not where the run found it.",
    shell_complete=names("dataset"),
)
@click.option("--set", "sets", multiple=True, metavar="STAGE.OPTION=VALUE", help="Option of evaluators or regimes.")
@options.students
@options.device
@options.precision
@options.threads
@options.strict
@options.store
@options.plugins
@click.option("--out", type=options.Place(), help="Where results go (default RUN/evaluations/NAMES).")
@click.option("--quiet", "-q", is_flag=True, help="No progress; only the tables and errors.")
@click.option("--json", "as_json", is_flag=True, help="The results on standard output, for programs.")
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
    """Score the distilled sets of RUN, a folder that `delt-host run` left, without distilling again.

    The images are read from the folder; the teacher comes from its file or the store, or is squeezed anew by the run's
    recipe, which on another device or in another precision gives another teacher.
    """
    from delt_host import compute
    from delt_host.cli.progress import observer_for
    from delt_host.entry import default_store
    from delt_host.folder_names import slug
    from delt_host.host import Host
    from delt_host.report import folder, place
    from delt_host.report.own_sets import SavedSets
    from delt_host.request import Request, parse_sets
    from delt_host.resolve import resolve
    from delt_host.stages import story
    from delt_host.store import Store

    if not place.is_run(run):
        raise InputError(f"{run} is not the folder of a run: it has no experiment.toml")
    if out is not None and os.path.realpath(out) == os.path.realpath(run):
        raise InputError(f"{run} is the folder of the run itself; choose another with --out")
    console = terminal.out()
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
    measurements: list[Any] = []

    def so_far() -> Any:
        if not measurements:
            return None
        return folder.results_of(experiment, problem, measurements, host, "evaluate", whole=False)

    with place.locked(run, shared=True):
        saved = SavedSets(run, partial(registry.get, "form"))
        ours = saved.records(experiment)
        name = slug("-".join(named.name for named in experiment.evaluators))
        path = out or place.evaluation_place(run, name, experiment, ours)
        host = Host(registry, kept, observer, path)
        with place.taken(path, experiment, "evaluate", sets=ours, store=kept.root):
            with finished_so_far(console, as_json, so_far), observer:
                comparison = story.prepare_run(experiment, host, saved=saved)
                experiment, problem = comparison.experiment, comparison.problem
                _note_others(run, problem)
                for measurement in story.run(comparison):
                    measurements.append(measurement)
                results = folder.results_of(experiment, problem, measurements, host, "evaluate")
            with told_anyway(console, as_json, results):
                results = folder.write_results(path, results, ours)
            tell(console, as_json, path, results)
    if failed := sorted({score.row for score in results.scores if score.failure}):
        raise RunError(f"failed: {', '.join(failed)}; what did not fail is complete and in {path}")


def _note_others(run: Path, problem: Problem) -> None:
    """Say that labels come from others than the run's teachers, or scores from other images; a set that was imported comes from
    no run."""
    from delt_host.results import FILE, read_results

    if not (run / FILE).exists():
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
