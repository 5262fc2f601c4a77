"""``delt-host squeeze``: the first stage alone, its teachers as files that go to other machines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from delt_host import InputError
from delt_host.workshop import Installed, options, terminal

if TYPE_CHECKING:
    from delt_host import Teacher


@click.command(
    "squeeze",
    cls=options.Command,
    examples={
        "the teacher that a run would squeeze by itself": "delt-host squeeze --dataset folder:PATH",
        "another network, trained longer": "delt-host squeeze --teacher resnet18 --set teacher.epochs=50",
        "the teachers of an earlier run": "delt-host squeeze runs/NAME/experiment.toml",
    },
)
@click.argument("recipe", required=False, type=options.Place())
@options.dataset
@options.validate
@options.DATA.option(
    "--teacher",
    multiple=True,
    type=Installed("model", shown="MODEL"),
    help="Model to squeeze (default: the dataset's).",
)
@options.COMPARED.option(
    "--method", "-m", multiple=True, type=Installed("method"), help="With the teachers that it asks for."
)
@options.sets("Option of teacher or dataset.", "teacher", "dataset")
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
    from delt_host.workshop import AskedTeachers, Request, check_sets, compute, observer_for, parse_sets

    settings = parse_sets(sets)
    check_sets(settings)
    request = Request(
        teacher=list(teacher),
        method=list(method),
        set=settings,
        plugins=list(plugins),
        prefer=list(prefer),
        **said,
    )
    if recipe is not None:
        request = Request.from_recipe(recipe).updated(request)
    registry = options.loaded(request.plugins, request.prefer)
    asked = AskedTeachers.of(request, registry, store)
    for file in asked.files:
        terminal.say(f"{file}: a file already")
    if out is not None and len(asked.wanted) > 1:
        raise InputError(f"--out names one file, and these are {len(asked.wanted)} teachers: leave it out")
    called = [f"{each.name}-seed-{each.seed}" if each.seed else each.name for each in asked.wanted]
    names = distinct(called)  # `:` and `/` of networks' names have no place in a file's
    files = [out or Path(f"{names[name]}.teacher.safetensors").absolute() for name in called]
    for path in files:
        options.check_new(path)
    compute.own_process(asked.experiment.threads)
    for made, path in zip(asked.squeezed(observer_for(terminal.errors(), quiet), asked.wanted), files, strict=True):
        write_teacher(made, path, "validation" if asked.experiment.validate else "test")


def write_teacher(teacher: Teacher, path: Path, split: str = "test") -> None:
    """Save it, and say what and how good it is on this split. InputError where there is something by now."""
    options.check_new(path)
    teacher.save(path)
    file = options.shown_path(path)
    terminal.say(
        f"{file}: {teacher.architecture}, {len(teacher.class_names)} classes, {teacher.image_size} px, "
        f"top-1 {teacher.accuracy:.1f} % on the {split} split of {teacher.dataset}; use it with --teacher {file}"
    )
