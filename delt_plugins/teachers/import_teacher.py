"""``delt-host import-teacher``: make a teacher, with class names and normalisation, from a published checkpoint."""

from __future__ import annotations

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
    mean: str | None,
    std: str | None,
    sets: tuple[str, ...],
    out: Path | None,
    device: str | None,
    plugins: tuple[str, ...],
    prefer: tuple[str, ...],
) -> None:
    """Make a teacher from a checkpoint.

    CHECKPOINT is safetensors, or a torch file, read weights-only in a process of its own. Without --class-names the
    outputs are taken to be in the dataset's order; the accuracy measured tells.
    """
    from delt_host import Compute, Teacher
    from delt_host.workshop import Store, check_accuracy, default_store, load_named_dataset, measured, parse_sets
    from delt_plugins.teachers.checkpoint import read_checkpoint

    path = out or Path(f"{checkpoint.name.partition('.')[0]}.teacher.safetensors").absolute()
    options.check_new(path)
    registry = options.loaded(plugins, prefer)
    model = registry.called("model", model)
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


def read_names(path: Path) -> tuple[str, ...]:
    """The lines of a text file that are not empty."""
    from delt_host import InputError

    try:
        return tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the class names {path} cannot be read: {error}") from None


def _channels(text: str | None, option: str) -> tuple[float, ...] | None:
    from delt_host import InputError

    if text is None:
        return None
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != 3:
        raise InputError(f"{option} must be three numbers with commas, e.g. 0.49,0.48,0.45, not {text!r}")
    return values
