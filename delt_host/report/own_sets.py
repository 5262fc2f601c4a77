"""The distilled sets of a run's folder, which results.json names: a set that is not the results' own is refused."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from itertools import product
from pathlib import Path

from delt_host.components import Distilled
from delt_host.data.base import RealData
from delt_host.distilled import FILE, DistilledSet, Forms, load
from delt_host.errors import InputError, RunError
from delt_host.experiment import Experiment, Row
from delt_host.folder_names import distinct
from delt_host.form import Form
from delt_host.results import FILE as RESULTS
from delt_host.results import Results, SetRecord, read_results

NOT_ROWS = ("evaluations", "tensorboard", "experiment.toml", "results.json", "report.html")
"""What else lies in a run's folder."""


class SavedSets:
    """The distilled sets that a run, or an import, left in its folder, by row and seed.

    InputError where its results.json cannot be read.
    """

    def __init__(self, path: Path, forms: Forms | None = None) -> None:
        """`forms` gives a plugin's form by name; by default all plugins are imported to find it."""
        self.path, self.forms = path, forms
        self.results = read_results(path) if (path / RESULTS).exists() else None

    def __call__(self, data: RealData, row: Row, seed: int) -> Distilled:
        """RunError where there is none, InputError for one of other classes or size."""
        found, file = self.read(row.label, seed), self.place(row.label, seed) / FILE
        if found.class_names != data.class_names:
            raise InputError(f"{file} is of other classes than {data.name}: {', '.join(found.class_names[:20])}")
        if found.image_size != data.image_size:
            raise InputError(f"{file} has images of {found.image_size} px, {data.name} of {data.image_size} px")
        if found.distilled.form != row.form.component:
            raise InputError(f"{file} is stored in another form than experiment.toml says: {found.form}")
        return found.distilled

    def read(self, label: str, seed: int) -> DistilledSet:
        """The set; RunError where there is none, InputError where it is damaged or another than the results'."""
        place = self.place(label, seed)
        if not (place / FILE).is_file():
            raise RunError(f"no distilled set at {place / FILE}: the row has failed there, or has no such seed")
        if self.results is not None:
            return own_set(self.path, self.results, label, seed, self.forms)
        found = load(place, self.forms)
        if "imported" not in found.about:
            raise InputError(f"{self.path} is not finished: it has no {RESULTS}; run its experiment.toml again")
        return found

    def place(self, label: str, seed: int) -> Path:
        """The set's folder; where it would be, if there is none."""
        record = recorded(self.results, label, seed) if self.results is not None else None
        return self.path / (record.folder if record is not None else f"{folders([label])[label]}/seed-{seed}")

    def records(self, experiment: Experiment) -> list[SetRecord]:
        """Those of an experiment, as they go into the results of an evaluation; without those that cannot be read."""
        found = []
        for row, seed in product(experiment.rows, experiment.seeds):
            with suppress(InputError, RunError):
                fingerprint = self.read(row.label, seed).distilled.fingerprint
                folder = self.place(row.label, seed).relative_to(self.path).as_posix()
                found.append(SetRecord(row=row.label, set=seed, folder=folder, fingerprint=fingerprint))
        return found


def folders(labels: list[str]) -> dict[str, str]:
    """The folder of each row in a run's folder."""
    return distinct(labels, taken=NOT_ROWS)


def recorded(results: Results, label: str, seed: int) -> SetRecord | None:
    """Where the results say that a set is; None where there is none, as of a row that failed."""
    return next((each for each in results.sets if (each.row, each.set) == (label, seed)), None)


def own_set(home: Path, results: Results, label: str, seed: int, forms: Forms | None = None) -> DistilledSet:
    """The set that these results were measured with, from the folder `home` of its run; without `forms`, a plugin's form is
    that of the plugins that the run had.

    InputError where it is missing, damaged, or another one.
    """
    record = recorded(results, label, seed)
    if record is None:
        raise InputError(f"{home} has no distilled set of {label}, seed {seed}")
    found = load(home / record.folder, forms or partial(_form, results))
    if found.distilled.fingerprint != record.fingerprint:
        raise InputError(
            f"{home / record.folder / FILE} is not the set that the results were measured with: it was put there later, "
            "or they were; run the folder's experiment.toml again"
        )
    return found


def _form(results: Results, name: str) -> type[Form]:
    from delt_host.plugins import load_registry

    found: type[Form] = load_registry(results.recipe.get("plugins", ()), results.recipe.get("prefer", ())).get(
        "form", name
    )
    return found
