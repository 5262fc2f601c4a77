"""``delt-host import``: a published distilled set as the folder of a run, which `delt-host evaluate` scores."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from delt_host import InputError
from delt_host.workshop import options, terminal, writing_to

if TYPE_CHECKING:
    from delt_host import RealData
    from delt_host.workshop import Experiment, Registry
    from delt_plugins.publish.release import Release


@click.command(
    "import",
    cls=options.Command,
    examples={
        "a published set of images": "delt-host import SET.zip --dataset cifar10 --out runs/theirs",
        "labelled by a teacher of yours": "delt-host import SET --dataset cifar10 --teacher FILE --out runs/theirs",
        "tensors, as MTT saves them": "delt-host import images_best.pt --dataset cifar10 --zca --out runs/mtt",
        "its scores": "delt-host evaluate runs/theirs --students 3",
    },
)
@click.argument("release", metavar="PATH", type=options.Place())
@options.DATA.option(
    "--dataset", required=True, metavar="NAME[:PATH]", help="The dataset that was distilled; it tests."
)
@options.OUTPUT.option("--out", required=True, type=options.Place(), help="The run's new folder.")
@options.OUTPUT.option("--label", metavar="NAME", help="The row's name in tables (default: PATH's).")
@options.DATA.option(
    "--class-names",
    type=options.Place(),
    help="A text file: the folders in class order, or the classes in the labels', one a line.",
)
@options.DATA.option(
    "--inside", metavar="PLACE", default="", help="The folder in PATH that holds the class folders, or a file's key."
)
@options.DATA.option("--mean", metavar="R,G,B", help="What tensors are normalised with (default: the dataset's).")
@options.DATA.option("--std", metavar="R,G,B", help="What tensors are normalised with (default: the dataset's).")
@options.DATA.option("--zca", is_flag=True, help="Tensors are whitened, as by MTT's --zca.")
@options.DATA.option("--teacher", multiple=True, metavar="MODEL|FILE", help="The teacher that labels the images.")
@options.SCORED.option(
    "--student", multiple=True, metavar="MODEL", help="Student to train; the teacher's model by default."
)
@options.regime("What students are told, a column each (default hard and views)")
@options.SCORED.option(
    "--seeds", metavar="N|LIST", help="Seeds of students and views (default 3); the images are the same."
)
@options.sets("Option of dataset, teacher, regimes, …")
@options.device
@options.store
@options.plugins
def command(
    store: Path | None,
    release: Path,
    dataset: str,
    out: Path,
    label: str | None,
    class_names: Path | None,
    inside: str,
    mean: str | None,
    std: str | None,
    zca: bool,
    teacher: tuple[str, ...],
    student: tuple[str, ...],
    regime: tuple[str, ...],
    seeds: str | None,
    sets: tuple[str, ...],
    device: str | None,
    plugins: tuple[str, ...],
    prefer: tuple[str, ...],
) -> None:
    """Read a published set, to evaluate it here.

    PATH is a folder or zip file with a folder of images for each class. Folders are matched with the dataset's
    classes by name, or by number in the dataset's class order, which is said. Or it is a file of tensors, or a folder of
    such, as images_best.pt with labels_best.pt. Images must be of the dataset's size and as many of each class. A zip file is
    read, not unpacked, and a torch file in a process of its own, without calling anything that it names.
    """
    from delt_host import Services
    from delt_host.workshop import Request, Store, default_store, files, parse_sets, resolve
    from delt_plugins.publish.imported import Imported
    from delt_plugins.teachers.import_teacher import read_channels, read_names

    if not files.is_free(out):
        raise InputError(f"{out} exists already; choose another with --out")
    registry = options.loaded(plugins, prefer)
    folders = read_names(class_names) if class_names else ()
    imported = Imported(
        path=os.path.realpath(release),
        sha256="",
        folders=folders,
        inside=inside,
        mean=read_channels(mean, "--mean") or (),
        std=read_channels(std, "--std") or (),
        zca=zca,
    )
    row: dict[str, Any] = {
        "label": label or release.stem,
        "role": "method",
        "initializer": {"name": "imported", **imported.model_dump(exclude_defaults=True)},
    }
    said = Request(
        dataset=dataset, teacher=list(teacher), student=list(student), regime=list(regime), seeds=seeds,
        set=parse_sets(sets), device=device, row=[row], plugins=list(plugins), prefer=list(prefer),
    )  # fmt: skip
    data = resolve(said, registry).dataset.component.load(Services(Store(store or default_store()))).checked()
    found = imported.read(data)
    row["initializer"]["sha256"] = found.sha256
    experiment = resolve(said.model_copy(update={"ipc": found.ipc, "row": [row]}), registry)
    with writing_to(out), files.making_folder(out) as folder:
        files.write(folder / "experiment.toml", experiment.to_toml())
        _save(folder, experiment, data, found)
    read = (f"{data.name}: {note}" for note in (data.summary, *data.notes))
    for note in (*read, found.order, *found.notes):
        terminal.say(f"note: {note}")
    _ask_teacher(experiment, data, found, registry)
    place = options.shown_path(out)
    terminal.say(
        f"{place}: {len(found.targets)} images, {found.ipc} of each class; score it with delt-host evaluate {place}"
    )


def _save(out: Path, experiment: Experiment, data: RealData, found: Release) -> None:
    """The set under every seed: the images do not depend on it."""
    from delt_host import Distilled, DistilledSet, Normalization, Teacher
    from delt_host.workshop import PICTURE_FILE, SET_FILE, folders, save_grid

    (row,), normalization = experiment.rows, Normalization(data.mean, data.std)
    if experiment.teachers and isinstance(file := experiment.teachers[0].made_by, Path):
        normalization = Teacher.load(file).normalization
    chosen = row.initializer.component.model_dump()
    about = {
        "method": row.label,
        "imported": {"file": Path(chosen["path"]).name, "sha256": found.sha256, "classes": found.order},
        "ipc": found.ipc,
        "dataset": {"name": data.name, "fingerprint": data.fingerprint},
    }
    distilled = Distilled.of(found.pixels, found.targets, labels=found.labels, learning_rate=found.learning_rate)
    for seed in experiment.seeds:
        folder = out / folders([row.label])[row.label] / f"seed-{seed}"
        made = DistilledSet(distilled, data.class_names, normalization, {**about, "seed": seed})
        made.save(folder / SET_FILE)
        save_grid(distilled, data.num_classes, folder / PICTURE_FILE)


def _ask_teacher(experiment: Experiment, data: RealData, found: Release, registry: Registry) -> None:
    """What an imported teacher makes of the images: near chance, the order of the classes is the first suspect."""
    import torch

    from delt_host import Problem, Teacher
    from delt_host.workshop import chance_limit

    if not experiment.teachers or not isinstance(file := experiment.teachers[0].made_by, Path):
        return
    teacher = Teacher.load(file)
    teacher.check_fits(data)
    models, seed = registry.things("model"), experiment.seeds[0]
    protocol = experiment.regimes[0].protocol.component
    problem = Problem(data, (teacher,), found.ipc, seed, protocol, experiment.compute, models)
    answers = [
        problem.teacher_logits(problem.normalization.normalize(chunk)).argmax(dim=1).cpu()
        for chunk in found.pixels.split(500)
    ]
    agreed = 100 * float((torch.cat(answers) == found.targets).float().mean())
    terminal.say(f"note: the teacher answers with the image's class for {agreed:.1f} % of the images")
    if agreed < chance_limit(data.num_classes):
        terminal.say(
            "note: that is near chance: are the folders numbered in another class order? --class-names says which"
        )
