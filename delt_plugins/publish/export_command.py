"""``delt-host export``: a distilled set as a folder with a card, images that other libraries read, and soft labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from delt_host import InputError
from delt_host.workshop import options, terminal, unknown

if TYPE_CHECKING:
    from delt_host import DistilledSet, Form, Problem
    from delt_host.workshop import Column, Comparison, Request


@click.command(
    "export",
    cls=options.Command,
    examples={
        "the first row of a run as PNG files": "delt-host export runs/NAME --to my-set",
        "another row, with a teacher's labels for every view": "delt-host export runs/NAME --row delt --labels --to my-set",
        "shards for WebDataset": "delt-host export runs/NAME --format webdataset --to my-set",
    },
)
@click.argument("source", metavar="RUN_OR_SET", type=options.Place())
@options.OUTPUT.option("--to", "folder", required=True, type=options.Place(), help="The new folder.")
@options.OUTPUT.option(
    "--format",
    "form",
    type=click.Choice(["images", "webdataset", "safetensors"]),
    default="images",
    show_default=True,
    help="PNG files in class folders, WebDataset shards, or neither; distilled.safetensors is always there.",
)
@options.COMPARED.option("--row", metavar="LABEL", help="Which row of the run (default: its first).")
@options.COMPARED.option("--seed", type=int, metavar="N", help="Which seed of the run (default: its first).")
@options.SCORED.option(
    "--labels", is_flag=True, help="With soft labels: every epoch's views and the teacher's answers."
)
@options.SCORED.option(
    "--regime", metavar="NAME", help="Whose labels (default: the run's first that has labels for views)."
)
@options.OUTPUT.option("--license", "licence", metavar="ID", default="unknown", help="The licence, as hubs name them.")
@options.DATA.option("--dataset", metavar="NAME[:PATH]", help="Where the dataset lies now; needed for --labels only.")
@options.DATA.option(
    "--teacher", metavar="FILE", help="Where the run's teacher lies now, if not in the store; for --labels."
)
@options.device
@options.store
@options.plugins
@options.OUTPUT.option("--quiet", "-q", is_flag=True, help="No progress; only errors.")
def command(
    source: Path,
    folder: Path,
    form: str,
    row: str | None,
    seed: int | None,
    labels: bool,
    regime: str | None,
    licence: str,
    dataset: str | None,
    teacher: str | None,
    device: str | None,
    store: Path | None,
    plugins: tuple[str, ...],
    prefer: tuple[str, ...],
    quiet: bool,
) -> None:
    """Write a distilled set to a folder of its own.

    It can be used without delt-host, its teacher and its store.

    RUN_OR_SET is a run's folder, a distilled.safetensors, or a folder that export made. Soft labels grow with the epochs
    that students train: an image's label takes two bytes a class each time, and about twenty for its view.
    """
    from delt_host.workshop import Request, SavedSets, is_run, locked, refuse_sweep, size
    from delt_plugins.publish import export, load
    from delt_plugins.publish.card import measured

    asked = Request(plugins=list(plugins), prefer=list(prefer))
    refuse_sweep(source)
    if not is_run(source):
        if row is not None or seed is not None:
            raise InputError(f"{source} is not the folder of a run: --row and --seed have no place here")
        exported = load(source, _forms(asked))
        distilled, scores, write = cast("DistilledSet", exported), [], None
        if labels and exported.soft_labels is None:
            raise InputError(f"{source} has no soft labels; give the run's folder, from which they can be made")
    else:
        chosen, number = _choose(source, row, seed)
        ran = Request.from_recipe(source / "experiment.toml").updated(asked)
        click.get_current_context().with_resource(locked(source, shared=True))
        distilled = SavedSets(source, _forms(ran)).read(chosen, number)
        scores = measured(source, chosen)
        places = {"dataset": dataset, "teacher": teacher, "device": device, "plugins": plugins, "prefer": prefer}
        write = _Labels(source, chosen, number, regime, distilled.about, places, store, quiet) if labels else None
    made = export.export(distilled, folder, form, scores, licence, write)  # type: ignore[arg-type]
    if not quiet:
        about = distilled.about
        terminal.say(
            f"{options.shown_path(folder)}: {about.get('method')}, seed {about.get('seed')}, "
            f"{len(made.targets)} images as {form}"
        )
        if made.soft_labels is not None:
            terminal.say(f"  soft labels of {made.soft_labels.epochs} epochs: {size(made.soft_labels.size_bytes)}")
        terminal.say(
            f"  the card is {options.shown_path(folder / 'README.md')}"
            + ("; its licence is to be filled in" * (licence == "unknown"))
        )


def _forms(request: Request) -> Callable[[str], type[Form]]:
    """A plugin's form by its name, of the plugins that are chosen."""

    def form(name: str) -> type[Form]:
        found: type[Form] = options.loaded(request.plugins, request.prefer).get("form", name)
        return found

    return form


def _choose(run: Path, label: str | None, seed: int | None) -> tuple[str, int]:
    """Which of the run's rows, by its label, and seeds is meant. Read, not resolved: its device and files may be elsewhere."""
    from delt_host.workshop import Request, parse_seeds

    request = Request.from_recipe(run / "experiment.toml")
    labels, seeds = [str(row.get("label")) for row in request.row], parse_seeds(request.seeds)
    if not labels:
        raise InputError(f"{run / 'experiment.toml'} has no row: it is no finished run's")
    if label is not None and label not in labels:
        raise unknown("row", label, labels)
    if seed is not None and seed not in seeds:
        raise InputError(f"{run} has no seed {seed}; its seeds are {', '.join(map(str, seeds))}")
    return label or labels[0], seeds[0] if seed is None else seed


class _Labels:
    """Writes a row's soft labels: from the store where they are there, else answered by the run's teacher anew.

    `places`: where dataset, teacher and device are here, if elsewhere than the run found them.
    """

    def __init__(
        self,
        run: Path,
        label: str,
        seed: int,
        regime: str | None,
        about: Mapping[str, Any],
        places: dict[str, Any],
        store: Path | None,
        quiet: bool,
    ) -> None:
        self.run, self.label, self.seed, self.about = run, label, seed, about
        self.regime = regime
        self.places, self.store, self.quiet = places, store, quiet

    def __call__(self, folder: Path) -> None:
        from dataclasses import replace

        from delt_host.workshop import (
            Host,
            Request,
            SavedSets,
            Store,
            compute,
            default_store,
            do,
            observer_for,
            resolve,
            story,
        )
        from delt_plugins.publish.soft_labels import write_labels

        places = dict(self.places)
        ran = Request.from_recipe(self.run / "experiment.toml").with_teachers(
            [t] if (t := places.pop("teacher")) else []
        )
        ran = ran.model_copy(update={"compile": False})  # nothing is trained
        request = ran.updated(Request(**{key: value for key, value in places.items() if value}))
        registry = options.loaded(request.plugins, request.prefer)
        experiment = resolve(request, registry)
        row = next(row for row in experiment.rows if row.label == self.label)
        teachers = experiment.teachers_by_seed[experiment.teacher_seed(self.seed)]
        experiment = replace(
            experiment, rows=(row,), teachers=teachers, teacher_seeds=1, seeds=(self.seed,), students=1, match=None
        )
        observer = observer_for(terminal.errors(), self.quiet)
        compute.own_process(experiment.threads)
        kept = Store(self.store or default_store(), observer.note, strict=experiment.strict)
        host = Host(registry, kept, observer, folder)
        with observer:
            comparison = story.prepare_run(experiment, host, saved=SavedSets(self.run, partial(registry.get, "form")))
            column = self._column(comparison)
            course = comparison.course(row, self.seed)
            if course.failure is not None:
                raise course.failure
            self._check_teacher(course.problem)
            if course["relabel"]:  # where the run trained no students, they are made as they are written
                do(list(course.labels_steps(column, 0)))
            problem, labels, relabeler = course.under(column), course.taught(column, 0).labels, column.relabeler
            with (
                host.running("relabeler", relabeler),
                observer.stage("write labels", f"{row.label}, seed {self.seed}", labels.epochs, "epochs"),
            ):
                write_labels(folder, problem, course.distilled, labels, relabeler.table())

    def _column(self, comparison: Comparison) -> Column:
        """The regime whose labels are written."""
        found = {column.name: column for column in comparison.experiment.regimes}
        if self.regime is None:
            asking = [column for column in found.values() if column.relabeler.component.asks == "view"]
            return asking[0] if asking else next(iter(found.values()))
        if self.regime not in found:
            raise unknown(f"regime of {self.run}", self.regime, found)
        return found[self.regime]

    def _check_teacher(self, problem: Problem) -> None:
        """InputError where the labels would be another teacher's than the one that the set names."""
        theirs = (self.about.get("teacher") or {}).get("fingerprint")
        if theirs and [theirs] != [teacher.fingerprint for teacher in problem.teachers[:1]]:
            raise InputError(
                f"the labels would be another teacher's than the set's; where {self.run} was made, "
                f"delt-host squeeze {self.run / 'experiment.toml'} writes its teacher, then give it with --teacher FILE"
            )
