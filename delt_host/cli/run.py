"""``delt-host run``: distil, train students, compare."""

from __future__ import annotations

import dataclasses
import datetime
import json
from pathlib import Path
from typing import Any

import click

from delt_host.cli import options, terminal
from delt_host.cli.completion import names
from delt_host.cli.outcome import finished_so_far, tell, told_anyway
from delt_host.errors import RunError


@click.command("run")
@click.argument("recipe", required=False, type=options.Place())
@click.option(
    "--method",
    "-m",
    multiple=True,
    metavar="NAME",
    help="Method to run; NAME,STAGE=COMPONENT,STAGE.OPTION=VALUE changes it.",
    shell_complete=names("method"),
)
@click.option(
    "--baseline",
    "-b",
    multiple=True,
    metavar="NAME",
    help="Method to compare with, as published; the same form.",
    shell_complete=names("method"),
)
@click.option(
    "--control",
    multiple=True,
    metavar="NAME",
    help="Control rows instead of random-real and start.",
    shell_complete=names("method"),
)
@click.option("--no-controls", is_flag=True, help="No control rows.")
@options.ceiling
@options.ceiling_epochs
@options.dataset
@click.option("--ipc", type=int, metavar="N", help="Images per class (default 10).")
@click.option(
    "--teacher",
    multiple=True,
    metavar="MODEL|FILE",
    help="Model to squeeze, or a teacher's file; several: components ask by name; none: no teacher.",
    shell_complete=names("model", files=True),
)
@click.option(
    "--student",
    multiple=True,
    metavar="MODEL",
    help="Student to train; the teacher's model by default.",
    shell_complete=names("model"),
)
@click.option("--seeds", metavar="N|LIST", help="How many seeds (default 3), or which: 0,1,2.")
@options.students
@options.regime("What students are told, a column each (default hard and views)")
@click.option(
    "--initializer", metavar="NAME", help="Initializer of every --method.", shell_complete=names("initializer")
)
@click.option("--scheduler", metavar="NAME", help="Scheduler of every --method.", shell_complete=names("scheduler"))
@click.option("--matcher", metavar="NAME", help="Matcher of every --method.", shell_complete=names("matcher"))
@click.option(
    "--form", metavar="NAME", help="How the images of every --method are stored.", shell_complete=names("form")
)
@click.option(
    "--evaluator", multiple=True, metavar="NAME", help="Evaluator of every row.", shell_complete=names("evaluator")
)
@click.option(
    "--set", "sets", multiple=True, metavar="STAGE.OPTION=VALUE", help="Option of every row or regime that has it."
)
@click.option("--skip-bad-images", is_flag=True, help="Leave out images that cannot be read, and count them.")
@click.option(
    "--match",
    metavar="BUDGET",
    help="Give every row the first one's image-iterations or seconds; BUDGET=AMOUNT gives all that much.",
)
@options.device
@options.precision
@options.stack
@click.option(
    "--engine",
    metavar="NAME",
    default="local",
    help="Where groups and students are computed: local (default), ray, slurm; NAME,OPTION=VALUE sets its options.",
)
@click.option("--address", metavar="HOST:PORT", help="The Ray cluster to use, rather than one of this machine.")
@options.threads
@options.strict
@options.store
@click.option(
    "--checkpoint-every",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How much of an unfinished stage a kill costs at most.",
)
@click.option("--out", type=options.Place(), help="The run's folder (default runs/NAME-DATASET-TIME, a new one).")
@click.option("--force", is_flag=True, help="Remove the run of another recipe that is in --out.")
@click.option("--dry-run", is_flag=True, help="Print stages, what is cached, cost and an estimate; run nothing.")
@options.plugins
@click.option("--observer", "-o", "observers", multiple=True, metavar="NAME", help="Also tell this one: tensorboard, …")
@click.option("--quiet", "-q", is_flag=True, help="No progress; only the table and errors.")
@click.option("--json", "as_json", is_flag=True, help="The results on standard output, for programs.")
def command(
    recipe: Path | None,
    sets: tuple[str, ...],
    no_controls: bool,
    control: tuple[str, ...],
    skip_bad_images: bool,
    store: Path | None,
    out: Path | None,
    force: bool,
    checkpoint_every: float,
    engine: str,
    address: str | None,
    dry_run: bool,
    observers: tuple[str, ...],
    quiet: bool,
    as_json: bool,
    **said: Any,
) -> None:
    """Distil a dataset with methods and baselines, train students on each, and compare them in one table.

    RECIPE is a TOML file with the same keys as the options, such as the experiment.toml of an earlier run.
    """
    console = terminal.out()
    errors = terminal.errors()
    with errors.status("starting") if errors.is_terminal and not quiet else _nothing():
        from delt_host.cli.progress import observer_for
        from delt_host.engines import engine_for, work
        from delt_host.entry import default_store
        from delt_host.observer import with_others
        from delt_host.request import Request, parse_sets
        from delt_host.resolve import resolve
        from delt_host.store import Store

        elsewhere = engine_for(engine, address)
        listed = ("method", "baseline", "student", "evaluator", "teacher", "regime", "plugins", "prefer")
        lists = {name: list(said.pop(name)) for name in listed}
        settings = parse_sets(sets) | ({"dataset.skip_bad_images": "true"} if skip_bad_images else {})
        controls = [] if no_controls else (list(control) or None)
        request = Request(**said, **lists, set=settings, control=controls)
        request = Request.from_recipe(recipe).updated(request) if recipe else request
        notes: list[str] = []
        registry = options.loaded(request.plugins, request.prefer, notes.append)
        wanted = {name: registry.provider("observer", name) for name in observers}
        experiment = resolve(request, registry)
    observer = observer_for(errors, quiet)
    for note in (*notes, *experiment.notes):
        observer.note(note)

    from delt_host import compute, estimate
    from delt_host.host import Host
    from delt_host.report import folder, place
    from delt_host.stages import story

    kept = Store(store or default_store(), observer.note, checkpoint_every, experiment.strict)
    host = Host(registry, kept, observer)
    threads = compute.own_process(experiment.threads)
    if dry_run:
        outlook = estimate.plan_run(story.outlined(experiment, host))
        if as_json:
            terminal.say(json.dumps([{**dataclasses.asdict(line), "state": line.state} for line in outlook], indent=1))
        else:
            estimate.show(console, experiment, outlook, host.untold)
        return
    if elsewhere is not None:
        elsewhere.check(experiment.device)
    path = host.folder = out or place.made_new(Path("runs").absolute(), _default_name(experiment))
    measurements: list[Any] = []

    def so_far() -> Any:
        return folder.results_of(experiment, problem, measurements, host, whole=False) if measurements else None

    with place.taken(path, experiment, force=force, store=kept.root, new=out is None):
        with finished_so_far(console, as_json, so_far), with_others(observer, wanted, path) as host.observer:
            comparison = story.prepare_run(experiment, host)
            experiment, problem = comparison.experiment, comparison.problem
            if elsewhere is not None:
                description = work.Description(work.recipe_of(experiment), threads)
                if tasks := work.tasks(comparison):
                    host.observer.expect(())  # the engine says how far it is
                    elsewhere.fill(tasks, description, problem, host)
            for measurement in story.run(comparison):
                host.observer.scored(measurement.score, measurement.images)
                measurements.append(measurement)
            results = folder.results_of(experiment, problem, measurements, host)
        with told_anyway(console, as_json, results):
            results = folder.write_run(path, results, measurements, experiment, problem, host)
        tell(console, as_json, path, results)
    if failed := sorted({score.row for score in results.scores if score.failure}):
        raise RunError(f"failed: {', '.join(failed)}; what did not fail is complete and in {path}")


def _default_name(experiment: Any) -> str:
    from delt_host.folder_names import slug

    names = [row.method for row in experiment.rows if row.role in ("method", "baseline")]
    moment = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    return f"{slug('-'.join(dict.fromkeys(names)))}-{experiment.dataset.name}-{moment}"


def _nothing() -> Any:
    from contextlib import nullcontext

    return nullcontext()
