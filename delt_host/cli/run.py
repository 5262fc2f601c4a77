"""``delt-host run``: distil, train students, compare."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from delt_host.basics.starting import not_collecting
from delt_host.cli import options
from delt_host.cli.completion import Installed
from delt_host.cli.groups import COMPARED, COMPUTED, DATA, OUTPUT, PARTS, SCORED
from delt_host.display import terminal


@click.command(
    "run",
    cls=options.Command,
    examples={
        "two methods on the digits that come along: a minute and a half": "delt-host run --method delt --baseline cda",
        "on your images, a folder for each class": "delt-host run -m delt -b cda --dataset folder:PATH --ipc 10",
        "what a row with another start would cost": "delt-host run -m delt -b cda,initializer=ranked --dry-run",
        "options of parts": "delt-host run -m delt --set scheduler.iterations=500 --set protocol.epochs=100",
        "a run again, with more seeds": "delt-host run runs/NAME/experiment.toml --seeds 5",
        "what may stand for a NAME, and what it is": "delt-host list; delt-host show delt",
    },
)
@click.argument("recipe", required=False, type=options.Recipe())
@COMPARED.option(
    "--method",
    "-m",
    multiple=True,
    type=Installed("method"),
    help="Method to run; NAME,STAGE=COMPONENT,STAGE.OPTION=VALUE changes it.",
)
@COMPARED.option(
    "--baseline",
    "-b",
    multiple=True,
    type=Installed("method"),
    help="Method to compare with, as published; the same form.",
)
@COMPARED.option(
    "--control",
    multiple=True,
    type=Installed("method", "control"),
    help="Control rows instead of random-real and start.",
)
@COMPARED.option("--no-controls", is_flag=True, help="No control rows.")
@options.ceiling
@options.ceiling_epochs
@COMPARED.option(
    "--match",
    metavar="BUDGET",
    help="Give every row the first one's image-iterations or seconds; BUDGET=AMOUNT gives all that much.",
)
@DATA.option(
    "--dataset",
    multiple=True,
    type=Installed("dataset", shown="NAME[:PATH]"),
    help="digits (default), folder:PATH, cifar10, tiny-imagenet, …; several: a run on each.",
)
@DATA.option("--ipc", metavar="N|LIST", help="Images per class (default 10); 1,10,50: a run with each.")
@options.validate
@DATA.option("--skip-bad-images", is_flag=True, help="Leave out images that cannot be read, and count them.")
@DATA.option(
    "--teacher",
    multiple=True,
    type=Installed("model", shown="MODEL|FILE"),
    help="Model to squeeze, or a teacher's file; several: components ask by name; none: no teacher.",
)
@PARTS.option("--initializer", type=Installed("initializer"), help="Initializer of every --method.")
@PARTS.option("--scheduler", type=Installed("scheduler"), help="Scheduler of every --method.")
@PARTS.option("--matcher", type=Installed("matcher"), help="Matcher of every --method.")
@PARTS.option("--form", type=Installed("form"), help="How the images of every --method are stored.")
@options.sets("Option of every row or regime that has it; `delt-host show STAGE` lists them.")
@options.regime("What students are told, a column each (default hard and views)")
@SCORED.option(
    "--student",
    multiple=True,
    type=Installed("model", shown="MODEL"),
    help="Student to train; the teacher's model by default.",
)
@SCORED.option("--evaluator", multiple=True, type=Installed("evaluator"), help="Evaluator of every row.")
@SCORED.option("--seeds", metavar="N|LIST", help="How many seeds (default 3), or which: 0,1,2.")
@options.students
@options.teacher_seeds
@options.resolve
@options.budget
@options.computing
@options.stack
@options.workers
@COMPUTED.option(
    "--engine",
    metavar="NAME",
    type=Installed("engine"),
    default="local",
    help="Where groups and students are computed: local (default), ray, slurm; NAME,OPTION=VALUE sets its options.",
)
@COMPUTED.option("--address", metavar="HOST:PORT", help="The Ray cluster to use, rather than one of this machine.")
@COMPUTED.option(
    "--checkpoint-every",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How much of an unfinished stage a kill costs at most.",
)
@options.out("The run's folder (default runs/NAME-DATASET-TIME, a new one).")
@OUTPUT.option("--force", is_flag=True, help="Remove the run of another recipe that is in --out.")
@OUTPUT.option("--dry-run", is_flag=True, help="Print stages, what is cached, cost and an estimate; run nothing.")
@OUTPUT.option(
    "--observer",
    "-o",
    "observers",
    multiple=True,
    type=Installed("observer"),
    metavar="NAME",
    help="Also tell this one: tensorboard, …",
)
@options.quiet("the table and errors")
@options.as_json
def command(
    recipe: Path | None,
    dataset: tuple[str, ...],
    ipc: str | None,
    sets: tuple[str, ...],
    no_controls: bool,
    control: tuple[str, ...],
    skip_bad_images: bool,
    store: Path | None,
    out: Path | None,
    force: bool,
    checkpoint_every: float,
    workers: int,
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
    the options, such as the experiment.toml of an earlier run, or that run's folder, which then grows: what is said is added to
    it, and it alone is computed. A list for an option that takes none, [A,B], tries each value.
    """
    errors = terminal.errors()
    with not_collecting(), errors.status("starting") if errors.is_terminal and not quiet else nullcontext():
        from delt_host.api.asked import AskedRun, Former
        from delt_host.display.progress import observer_for
        from delt_host.experiment.request import Request, parse_ipc, parse_sets

        listed = ("method", "baseline", "student", "evaluator", "teacher", "regime", "plugins", "prefer")
        lists = {name: list(said.pop(name)) for name in listed}
        settings = parse_sets(sets) | ({"dataset.skip_bad_images": "true"} if skip_bad_images else {})
        controls = [] if no_controls else (list(control) or None)
        several = {"dataset": list(dataset) or None, "ipc": None if ipc is None else parse_ipc(ipc)}
        request = Request(**said, **lists, **several, set=settings, control=controls)
        former = Former.of(recipe, out)
        threads, request = request.threads, former.put_over(request)
        notes: list[str] = []
        registry = options.loaded(request.plugins, request.prefer, notes.append)
        asked = AskedRun.of(request, registry, engine, address, observers, store, checkpoint_every, workers, threads)
    observer = observer_for(errors, quiet)
    for note in notes:
        observer.note(note)

    from delt_host.basics import compute
    from delt_host.cli import outcome

    compute.own_process(asked.threads)
    if dry_run:
        outlook = asked.outlook(observer, former.out)
        if as_json:
            terminal.say(json.dumps(outlook.to_dict(), indent=1))
        else:
            outlook.show(terminal.out())
        return
    tell = outcome.Telling(as_json, quiet)
    tell.end(asked.run(observer, tell.unfinished, former.out, force, tell.point))
