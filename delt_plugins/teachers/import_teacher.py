"""``delt-host import-teacher``: make a teacher, with class names and normalisation, from a published checkpoint."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import click

from delt_host.workshop import Installed, options, terminal
from delt_plugins.teachers.squeeze import write_teacher


@click.command(
    "import-teacher",
    cls=options.Command,
    examples={
        "a ResNet-18 for CIFAR-10": "delt-host import-teacher FILE.pth --model resnet18 --dataset cifar10",
        "with outputs in another order": "delt-host import-teacher FILE --model vgg11_bn --dataset cifar10 --class-names NAMES",
        "for a run afterwards": "delt-host run --method delt --dataset cifar10 --teacher FILE.teacher.safetensors",
    },
)
@click.argument("checkpoint", type=options.Place())
@options.DATA.option(
    "--model",
    required=True,
    type=Installed("model"),
    help="The network: ours, torchvision's or timm's by name.",
)
@options.DATA.option(
    "--dataset",
    required=True,
    type=Installed("dataset", shown="NAME[:PATH]"),
    help="The dataset it was trained on; it is tested there.",
)
@options.DATA.option("--class-names", type=options.Place(), help="A text file, one class a line, in output order.")
@options.DATA.option(
    "--prefix", metavar="PREFIX", default="", help="Of several networks in the file: the one under it."
)
@options.DATA.option(
    "--ema/--no-ema", default=None, help="The averaged copy of the weights, or not (default: where there is one)."
)
@options.DATA.option("--mean", metavar="R,G,B", help="Normalisation it was trained with (default: the dataset's).")
@options.DATA.option("--std", metavar="R,G,B", help="Normalisation it was trained with (default: the dataset's).")
@options.sets("Option of the dataset.", "dataset")
@options.OUTPUT.option("--out", type=options.Place(), help="The teacher's file (default: CHECKPOINT's name).")
@options.device
@options.store
@options.plugins
def command(
    store: Path | None,
    checkpoint: Path,
    model: str,
    dataset: str,
    class_names: Path | None,
    prefix: str,
    ema: bool | None,
    mean: str | None,
    std: str | None,
    sets: tuple[str, ...],
    out: Path | None,
    device: str | None,
    plugins: tuple[str, ...],
    prefer: tuple[str, ...],
) -> None:
    """Make a teacher from a checkpoint.

    CHECKPOINT is safetensors, or a torch file as trainers write them, read in a process of its own that calls nothing
    of it. Without --class-names the outputs are taken to be in the dataset's order; the accuracy measured tells. Names
    of RDED's, DELT's, G-VBSM's, EDC's and other repositories' networks become ours (docs/teachers.md).
    """
    from delt_host import Compute, InputError, Teacher
    from delt_host.workshop import (
        Store,
        check_accuracy,
        default_store,
        is_poor,
        load_named_dataset,
        measured,
        parse_sets,
        shapes_of,
        suspects,
    )
    from delt_plugins.teachers.checkpoint import read_contents
    from delt_plugins.teachers.published_names import as_ours
    from delt_plugins.teachers.weights import weights_in

    path = out or Path(f"{checkpoint.name.partition('.')[0]}.teacher.safetensors").absolute()
    options.check_new(path)
    registry = options.loaded(plugins, prefer)
    model = registry.called("model", model)
    contents = read_contents(checkpoint)
    data = load_named_dataset(dataset, registry, parse_sets(sets), Store(store or default_store()))
    for note in (data.summary, *data.notes):
        terminal.say(f"note: {data.name}: {note}")
    models = registry.things("model")
    teacher = Teacher(
        architecture=model,
        state={},
        class_names=read_names(class_names) if class_names else data.class_names,
        mean=read_channels(mean, "--mean") or data.mean,
        std=read_channels(std, "--std") or data.std,
        image_size=data.image_size,
        recipe={"imported from": checkpoint.name},
        plugin=registry.source_of_model(model),
    )
    teacher.check_fits(data)
    shapes = shapes_of(model, data.num_classes, data.image_size, models)
    weights = weights_in(contents, shapes, checkpoint.name, prefix, ema)
    try:
        state, read_by = as_ours(weights.state, model, data.num_classes, data.image_size, models, checkpoint.name)
    except InputError as error:
        raise InputError(f"{error}{weights.others}") from None
    for note in filter(None, (*weights.notes, read_by)):
        terminal.say(f"note: {checkpoint.name}: {note}")
    teacher = measured(replace(teacher, state=state), data, Compute.choose(device or "auto"), models)
    check_accuracy(teacher, data, teacher.accuracy)
    if is_poor(data.num_classes, teacher.accuracy):
        low = f"top-1 {teacher.accuracy:.1f} % is low; if it was more where it was trained"
        terminal.say(f"note: {checkpoint.name}: {low}: {suspects(teacher, data)}")
    write_teacher(teacher, path)


def read_names(path: Path) -> tuple[str, ...]:
    """The lines of a text file that are not empty."""
    from delt_host import InputError

    try:
        return tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the class names {path} cannot be read: {error}") from None


def read_channels(text: str | None, option: str) -> tuple[float, ...] | None:
    """Three numbers with commas, as an option's text has them. InputError names the option."""
    from delt_host import InputError

    if text is None:
        return None
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != 3 or not all(map(math.isfinite, values)):
        raise InputError(f"{option} must be three numbers with commas, e.g. 0.49,0.48,0.45, not {text!r}")
    if option == "--std" and min(values) <= 0:
        raise InputError(f"--std must be three numbers above 0, e.g. 0.25,0.24,0.26, not {text!r}")
    return values
