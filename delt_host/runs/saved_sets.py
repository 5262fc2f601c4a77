"""The distilled sets of a run's folder, which results.json names: a set that is not the results' own is refused."""

from __future__ import annotations

from contextlib import suppress
from itertools import product
from pathlib import Path

from delt_host.basics.errors import InputError, RunError
from delt_host.contracts.dataset import RealData
from delt_host.contracts.results import RESULTS_FILE as RESULTS
from delt_host.contracts.results import Results, SetRecord, read_results
from delt_host.contracts.sets import Distilled
from delt_host.experiment.experiment import Experiment, Row
from delt_host.runs.distilled import SET_FILE, DistilledSet, Forms, load
from delt_host.runs.place import folders


class SavedSets:
    """The distilled sets that a run, or an import, left in its folder, by row and seed.

    InputError where its results.json cannot be read.
    """

    def __init__(self, path: Path, forms: Forms | None = None, results: Results | None = None) -> None:
        """`forms` gives a plugin's form by name; by default all plugins are imported to find it. `results` are those that the
        sets must be of, where they are not the folder's own, as an evaluation's.
        """
        self.path, self.forms = path, forms
        self.results = read_results(path) if results is None and (path / RESULTS).exists() else results

    def __call__(self, data: RealData, row: Row, seed: int) -> Distilled:
        """RunError where there is none, InputError for one of other classes or size."""
        found, file = self.read(row.label, seed), self.place(row.label, seed) / SET_FILE
        if found.class_names != data.class_names:
            raise InputError(f"{file} is of other classes than {data.name}: {', '.join(found.class_names[:20])}")
        if found.image_size != data.image_size:
            raise InputError(f"{file} has images of {found.image_size} px, {data.name} of {data.image_size} px")
        if found.distilled.form != row.form.component:
            raise InputError(f"{file} is stored in another form than experiment.toml says: {found.form}")
        return found.distilled

    def read(self, label: str, seed: int) -> DistilledSet:
        """The set; RunError where there is none, InputError where it is damaged or another than the results'."""
        record, place = self._record(label, seed), self.place(label, seed)
        if not (place / SET_FILE).is_file() or (self.results is not None and record is None):
            raise RunError(f"no distilled set at {place / SET_FILE}: the row has failed there, or has no such seed")
        found = load(place, self.forms)
        if record is not None and found.distilled.fingerprint != record.fingerprint:
            raise InputError(
                f"{place / SET_FILE} is not the set that the results were measured with: it was put there later, "
                "or they were; run the folder's experiment.toml again"
            )
        if self.results is None and "imported" not in found.about:
            raise InputError(f"{self.path} is not finished: it has no {RESULTS}; run its experiment.toml again")
        return found

    def place(self, label: str, seed: int) -> Path:
        """The set's folder; where it would be, if there is none."""
        record = self._record(label, seed)
        return self.path / (f"{folders([label])[label]}/seed-{seed}" if record is None else record.folder)

    def records(self, experiment: Experiment) -> list[SetRecord]:
        """Those of an experiment, as they go into the results of an evaluation; without those that cannot be read."""
        found = []
        for row, seed in product(experiment.rows, experiment.seeds):
            with suppress(InputError, RunError):
                fingerprint = self.read(row.label, seed).distilled.fingerprint
                folder = self.place(row.label, seed).relative_to(self.path).as_posix()
                found.append(SetRecord(row=row.label, set=seed, folder=folder, fingerprint=fingerprint))
        return found

    def _record(self, label: str, seed: int) -> SetRecord | None:
        """What the results say of a set; None where there is none, as of a row that failed."""
        sets = self.results.sets if self.results is not None else ()
        return next((each for each in sets if (each.row, each.set) == (label, seed)), None)
