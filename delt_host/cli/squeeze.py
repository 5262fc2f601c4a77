"""``delt-host squeeze``: the first stage alone, its teachers as files that go to other machines."""

from __future__ import annotations

from pathlib import Path

import click

from delt_host.cli import options, terminal
from delt_host.cli.completion import names
from delt_host.cli.import_teacher import write_teacher
from delt_host.errors import InputError


@click.command("squeeze")
@click.argument("recipe", required=False, type=options.Place())
@options.dataset
@click.option(
    "--teacher",
    multiple=True,
    metavar="MODEL",
    help="Model to squeeze (default: the dataset's).",
    shell_complete=names("model"),
)
@click.option(
    "--method",
    "-m",
    multiple=True,
    metavar="NAME",
    help="With the teachers that it asks for.",
    shell_complete=names("method"),
)
@click.option("--set", "sets", multiple=True, metavar="STAGE.OPTION=VALUE", help="Option of teacher or dataset.")
@options.device
@options.precision
@options.threads
@options.strict
@options.store
@options.plugins
@click.option("--out", type=options.Place(), help="The teacher's file (default MODEL.teacher.safetensors).")
@click.option("--quiet", "-q", is_flag=True, help="No progress; only the files' names and errors.")
def command(
    recipe: Path | None,
    dataset: str | None,
    teacher: tuple[str, ...],
    method: tuple[str, ...],
    sets: tuple[str, ...],
    device: str | None,
    precision: str | None,
    threads: int | None,
    strict: bool,
    store: Path | None,
    plugins: tuple[str, ...],
    prefer: tuple[str, ...],
    out: Path | None,
    quiet: bool,
) -> None:
    """Train teachers and write each to a file, which `--teacher FILE` takes on any machine.

    RECIPE is a TOML file, such as the experiment.toml of a run: its teachers, from the store where they are there.
    """
    from delt_host import compute
    from delt_host.cli.progress import observer_for
    from delt_host.entry import default_store
    from delt_host.folder_names import distinct
    from delt_host.host import Host
    from delt_host.request import Request, parse_sets
    from delt_host.resolve import resolve
    from delt_host.stages import story, teachers
    from delt_host.store import Store

    settings = parse_sets(sets)
    for key in settings:
        if key.partition(".")[0] not in ("teacher", "dataset"):
            raise InputError(f"--set {key} has no place here; only options of teacher and dataset do")
    request = Request(
        dataset=dataset, teacher=list(teacher), method=list(method), set=settings, device=device,
        precision=precision, threads=threads, strict=strict, plugins=list(plugins), prefer=list(prefer),
    )  # fmt: skip
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
            so_far = teachers.teacher_so_far(experiment, asked, data, host)
            made = teachers.teacher_of(experiment, asked, so_far, data, host)
            write_teacher(made, path)
