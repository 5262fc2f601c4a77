"""``delt-host squeeze``: the first stage alone, its teachers as files that go to other machines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from delt_host import InputError
from delt_host.workshop import Installed, options, terminal

if TYPE_CHECKING:
    from delt_host import Teacher


@click.command("squeeze")
@click.argument("recipe", required=False, type=options.Place())
@options.dataset
@click.option(
    "--teacher",
    multiple=True,
    type=Installed("model", shown="MODEL"),
    help="Model to squeeze (default: the dataset's).",
)
@click.option("--method", "-m", multiple=True, type=Installed("method"), help="With the teachers that it asks for.")
@options.sets("Option of teacher or dataset.")
@options.computing
@options.out("The teacher's file (default MODEL.teacher.safetensors).")
@options.quiet("the files' names and errors")
def command(
    recipe: Path | None,
    teacher: tuple[str, ...],
    method: tuple[str, ...],
    sets: tuple[str, ...],
    store: Path | None,
    plugins: tuple[str, ...],
    prefer: tuple[str, ...],
    out: Path | None,
    quiet: bool,
    **said: Any,
) -> None:
    """Train teachers, and write each to a file.

    `--teacher FILE` takes it on any machine. RECIPE is a TOML file, such as the experiment.toml of a run: its teachers, from
    the store where they are there.
    """
    from delt_host.toolbox import distinct
    from delt_host.workshop import (
        Host,
        Request,
        Store,
        compute,
        default_store,
        observer_for,
        parse_sets,
        resolve,
        story,
        teachers,
    )

    settings = parse_sets(sets)
    for key in settings:
        if key.partition(".")[0] not in ("teacher", "dataset"):
            raise InputError(f"--set {key} has no place here; only options of teacher and dataset do")
    request = Request(
        teacher=list(teacher), method=list(method), set=settings, plugins=list(plugins), prefer=list(prefer), **said
    )
    if recipe is not None:
        request = Request.from_recipe(recipe).updated(request)
    elif not method:
        request = request.updated(Request(method=["random-real"]))  # the least that is an experiment
    registry = options.loaded(request.plugins, request.prefer)
    experiment = resolve(request, registry)
    if not experiment.teachers:
        raise InputError("there is no teacher to squeeze")
    wanted = [asked for asked in experiment.teachers if not isinstance(asked.made_by, Path)]
    for file in (asked.made_by for asked in experiment.teachers if isinstance(asked.made_by, Path)):
        terminal.say(f"{file}: a file already")
    if out is not None and len(wanted) > 1:
        raise InputError(f"--out names one file, and these are {len(wanted)} teachers: leave it out")
    names = distinct(asked.name for asked in wanted)  # `:` and `/` of networks' names have no place in a file's
    files = [out or Path(f"{names[asked.name]}.teacher.safetensors").absolute() for asked in wanted]
    for path in files:
        options.check_new(path)
    observer = observer_for(terminal.errors(), quiet)
    host = Host(registry, Store(store or default_store(), observer.note, strict=experiment.strict), observer)
    compute.own_process(experiment.threads)
    with observer:
        data = story.load_data(experiment.dataset, host)
        for asked, path in zip(wanted, files, strict=True):
            write_teacher(teachers.teacher_of(experiment, asked, data, host), path)


def write_teacher(teacher: Teacher, path: Path) -> None:
    """Save it, and say what and how good it is. InputError where there is something by now."""
    options.check_new(path)
    teacher.save(path)
    file = options.shown_path(path)
    terminal.say(
        f"{file}: {teacher.architecture}, {len(teacher.class_names)} classes, {teacher.image_size} px, "
        f"top-1 {teacher.accuracy:.1f} % on the test split of {teacher.dataset}; use it with --teacher {file}"
    )
