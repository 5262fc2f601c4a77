"""``delt-host import-teacher``: make a teacher, with class names and normalisation, from a published checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from delt_host.cli import options, terminal
from delt_host.cli.completion import names

if TYPE_CHECKING:
    from delt_host.teacher import Teacher


@click.command("import-teacher")
@click.argument("checkpoint", type=options.Place())
@click.option(
    "--model",
    required=True,
    metavar="NAME",
    help="The network: ours, torchvision's or timm's by name.",
    shell_complete=names("model"),
)
@click.option(
    "--dataset",
    required=True,
    metavar="NAME[:PATH]",
    help="The dataset it was trained on; it is tested there.",
    shell_complete=names("dataset"),
)
@click.option("--class-names", type=options.Place(), help="A text file, one class a line, in output order.")
@click.option("--mean", metavar="R,G,B", help="Normalisation it was trained with (default: the dataset's).")
@click.option("--std", metavar="R,G,B", help="Normalisation it was trained with (default: the dataset's).")
@click.option("--set", "sets", multiple=True, metavar="dataset.OPTION=VALUE", help="Option of the dataset.")
@click.option("--out", type=options.Place(), help="The teacher's file (default: CHECKPOINT's name).")
@options.device
@options.store
@options.plugins
def command(
    store: Path | None,
    checkpoint: Path,
    model: str,
    dataset: str,
    class_names: Path | None,
    mean: str | None,
    std: str | None,
    sets: tuple[str, ...],
    out: Path | None,
    device: str | None,
    plugins: tuple[str, ...],
    prefer: tuple[str, ...],
) -> None:
    """Make a teacher from CHECKPOINT (safetensors, or a torch file read weights-only in a process of its own).

    Without --class-names the outputs are taken to be in the dataset's order; the accuracy measured tells.
    """
    from delt_host.checkpoint import read_checkpoint
    from delt_host.compute import Compute
    from delt_host.entry import default_store
    from delt_host.request import parse_sets
    from delt_host.resolve import load_named_dataset
    from delt_host.squeeze import measured
    from delt_host.store import Store
    from delt_host.teacher import Teacher, check_accuracy

    path = out or Path(f"{checkpoint.name.partition('.')[0]}.teacher.safetensors").absolute()
    options.check_new(path)
    registry = options.loaded(plugins, prefer)
    state = read_checkpoint(checkpoint)
    data = load_named_dataset(dataset, registry, parse_sets(sets), Store(store or default_store()))
    for note in (data.summary, *data.notes):
        terminal.say(f"note: {data.name}: {note}")
    teacher = Teacher(
        architecture=model,
        state=state,
        class_names=read_names(class_names) if class_names else data.class_names,
        mean=_channels(mean, "--mean") or data.mean,
        std=_channels(std, "--std") or data.std,
        image_size=data.image_size,
        recipe={"imported from": checkpoint.name},
        plugin=registry.source_of_model(model),
    )
    teacher.check_fits(data)
    teacher = measured(teacher, data, Compute.choose(device or "auto"), registry.things("model"))
    check_accuracy(teacher, data, teacher.accuracy)
    write_teacher(teacher, path)


def write_teacher(teacher: Teacher, path: Path) -> None:
    """Save it, and say what and how good it is. InputError where there is something by now."""
    options.check_new(path)
    teacher.save(path)
    terminal.say(
        f"{options.shown(path)}: {teacher.architecture}, {len(teacher.class_names)} classes, {teacher.image_size} px, "
        f"top-1 {teacher.accuracy:.1f} % on the test split of {teacher.dataset}; use it with --teacher {options.shown(path)}"
    )


def read_names(path: Path) -> tuple[str, ...]:
    """The lines of a text file that are not empty."""
    from delt_host.errors import InputError

    try:
        return tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the class names {path} cannot be read: {error}") from None


def _channels(text: str | None, option: str) -> tuple[float, ...] | None:
    from delt_host.errors import InputError

    if text is None:
        return None
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != 3:
        raise InputError(f"{option} must be three numbers with commas, e.g. 0.49,0.48,0.45, not {text!r}")
    return values
