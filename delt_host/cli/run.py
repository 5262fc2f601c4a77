"""``delt-host run``: distil, train students, compare."""

from __future__ import annotations

import dataclasses
import datetime
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from delt_host.cli import options, terminal
from delt_host.cli.completion import Installed


@click.command("run")
@click.argument("recipe", required=False, type=options.Place())
@click.option(
    "--method",
    "-m",
    multiple=True,
    type=Installed("method"),
    help="Method to run; NAME,STAGE=COMPONENT,STAGE.OPTION=VALUE changes it.",
)
@click.option(
    "--baseline",
    "-b",
    multiple=True,
    type=Installed("method"),
    help="Method to compare with, as published; the same form.",
)
@click.option(
    "--control", multiple=True, type=Installed("method"), help="Control rows instead of random-real and start."
)
@click.option("--no-controls", is_flag=True, help="No control rows.")
@options.ceiling
@options.ceiling_epochs
@options.dataset
@click.option("--ipc", type=int, metavar="N", help="Images per class (default 10).")
@click.option(
    "--teacher",
    multiple=True,
    type=Installed("model", shown="MODEL|FILE", files=True),
    help="Model to squeeze, or a teacher's file; several: components ask by name; none: no teacher.",
)
@click.option(
    "--student",
    multiple=True,
    type=Installed("model", shown="MODEL"),
    help="Student to train; the teacher's model by default.",
)
@click.option("--seeds", metavar="N|LIST", help="How many seeds (default 3), or which: 0,1,2.")
@options.students
@options.regime("What students are told, a column each (default hard and views)")
@click.option("--initializer", type=Installed("initializer"), help="Initializer of every --method.")
@click.option("--scheduler", type=Installed("scheduler"), help="Scheduler of every --method.")
@click.option("--matcher", type=Installed("matcher"), help="Matcher of every --method.")
@click.option("--form", type=Installed("form"), help="How the images of every --method are stored.")
@click.option("--evaluator", multiple=True, type=Installed("evaluator"), help="Evaluator of every row.")
@options.sets("Option of every row or regime that has it.")
@click.option("--skip-bad-images", is_flag=True, help="Leave out images that cannot be read, and count them.")
@click.option(
    "--match",
    metavar="BUDGET",
    help="Give every row the first one's image-iterations or seconds; BUDGET=AMOUNT gives all that much.",
)
@options.computing
@options.stack
@click.option(
    "--engine",
    metavar="NAME",
    default="local",
    help="Where groups and students are computed: local (default), ray, slurm; NAME,OPTION=VALUE sets its options.",
)
@click.option("--address", metavar="HOST:PORT", help="The Ray cluster to use, rather than one of this machine.")
@click.option(
    "--checkpoint-every",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How much of an unfinished stage a kill costs at most.",
)
@options.out("The run's folder (default runs/NAME-DATASET-TIME, a new one).")
@click.option("--force", is_flag=True, help="Remove the run of another recipe that is in --out.")
@click.option("--dry-run", is_flag=True, help="Print stages, what is cached, cost and an estimate; run nothing.")
@click.option("--observer", "-o", "observers", multiple=True, metavar="NAME", help="Also tell this one: tensorboard, …")
@options.quiet("the table and errors")
@options.as_json
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
    """Distil a dataset by several methods, and compare them.

    Students are trained on each method's images, and all come into one table. RECIPE is a TOML file with the same keys as
    the options, such as the experiment.toml of an earlier run.
    """
    console = terminal.out()
    errors = terminal.errors()
    with errors.status("starting") if errors.is_terminal and not quiet else nullcontext():
        from delt_host.cli.progress import observer_for
        from delt_host.experiment.engines import engine_for
        from delt_host.experiment.request import Request, parse_sets
        from delt_host.experiment.resolve import resolve
        from delt_host.plugins.observers import with_others
        from delt_host.store.entry import default_store
        from delt_host.store.store import Store

        listed = ("method", "baseline", "student", "evaluator", "teacher", "regime", "plugins", "prefer")
        lists = {name: list(said.pop(name)) for name in listed}
        settings = parse_sets(sets) | ({"dataset.skip_bad_images": "true"} if skip_bad_images else {})
        controls = [] if no_controls else (list(control) or None)
        request = Request(**said, **lists, set=settings, control=controls)
        request = Request.from_recipe(recipe).updated(request) if recipe else request
        notes: list[str] = []
        registry = options.loaded(request.plugins, request.prefer, notes.append)
        done_by = engine_for(engine, registry, address)
        wanted = {name: registry.provider("observer", name) for name in observers}
        experiment = resolve(request, registry)
    observer = observer_for(errors, quiet)
    for note in (*notes, *experiment.notes):
        observer.note(note)

    from delt_host.basics import compute
    from delt_host.cli import outcome
    from delt_host.runs import folder, place
    from delt_host.stages import estimate, story
    from delt_host.stages.host import Host

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
    done_by.check(experiment.device)
    path = host.folder = out or place.made_new(Path("runs").absolute(), _default_name(experiment))
    with place.taken(path, experiment, force=force, store=kept.root, new=out is None):

        def begin() -> story.Comparison:
            comparison = story.prepare_run(experiment, host)
            _fill(done_by, registry.provider("engine", engine.partition(",")[0]).plugin, comparison, threads)
            return comparison

        def write(of: story.Comparison, measurements: Any, results: Any) -> Any:
            return folder.write_run(path, results, measurements, of.experiment, of.problem, host)

        host.observer = with_others(observer, wanted, path)
        results = outcome.carry_out(begin, write, host.observer, path, "run", as_json)
    outcome.check_whole(results, path)


def _fill(engine: Any, plugin: Any, comparison: Any, threads: int) -> None:
    """Have an engine do what it can. What nobody foresaw is its plugin's; what it sets of the process, Ray's is, stays."""
    from delt_host.basics.errors import InputError, RunError
    from delt_host.basics.traces import told

    try:
        engine.fill(comparison, threads)
    except (InputError, RunError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise RunError(f"engine of {plugin}: {told(error, [plugin.module])}") from error


def _default_name(experiment: Any) -> str:
    from delt_host.basics.folder_names import slug

    names = [row.method for row in experiment.rows if row.role in ("method", "baseline")]
    moment = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    return f"{slug('-'.join(dict.fromkeys(names)))}-{experiment.dataset.name}-{moment}"
