"""The distilled sets of a run, each in a folder of its own as soon as it is made, and the results that name them."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from delt_host.basics.errors import InputError, RunError, writing_to
from delt_host.basics.folder_names import numbered
from delt_host.contracts.results import Results, SetRecord
from delt_host.recovery.history import History
from delt_host.runs.distilled import SET_FILE, DistilledSet, load
from delt_host.runs.folder import machine, save_grid, write_results
from delt_host.runs.place import HISTORY_FILE, PICTURE_FILE, SEED, folders, remove_sets
from delt_host.stages.course import Course
from delt_host.stages.host import Host
from delt_host.store import files


@dataclass(frozen=True)
class _Made:
    """A set with all that is written of it; it outlives its course."""

    label: str
    seed: int
    described: DistilledSet
    history: History


class SetFolders:
    """What a run leaves of its sets.

    At every moment the folder holds a former run of this recipe whole, or this one: a set that differs from a former one goes
    beside it, and the former one is removed when the results no longer name it.
    """

    def __init__(self, path: Path, labels: Sequence[str], host: Host) -> None:
        """`labels` are those of all rows, whose folders are named for them."""
        self.path, self.host = path, host
        self._names = folders(labels)
        self._records: dict[tuple[str, int], SetRecord | None] = {}  # in the order in which they were made
        self._unwritten = list[_Made]()

    def add(self, course: Course) -> None:
        """Write a row's set, once it is made. What cannot be written is tried again in the end; RunError for what is wrong with
        the set itself."""
        if not course.distils:
            return
        made = _Made(course.row.label, course.problem.seed, described(course), course.history)
        self._records[made.label, made.seed] = None
        try:
            self._write(made)
        except (InputError, RunError):
            self._unwritten.append(made)

    def write(self, results: Results) -> Results:
        """Write the results, which name the sets; they are returned as they were written. RunError where something cannot be
        written."""
        for made in self._unwritten:
            self._write(made)
        results = write_results(self.path, results, [record for record in self._records.values() if record])
        with suppress(OSError):  # what is not named means nothing
            for name in self._names.values():
                remove_sets(self.path / name, but={self.path / record.folder for record in results.sets})
        return results

    def _write(self, made: _Made) -> None:
        name = self._names[made.label]
        with writing_to(self.path / name):
            folder = self._folder(name, made)
        fingerprint = made.described.distilled.fingerprint
        record = SetRecord(row=made.label, set=made.seed, folder=folder, fingerprint=fingerprint)
        self._records[made.label, made.seed] = record

    def _folder(self, name: str, made: _Made) -> str:
        """The set's folder in the run's, where it is written unless it is there already."""
        first = f"seed-{made.seed}"
        there = sorted(each for each in (self.path / name).glob(f"{first}*") if SEED.fullmatch(each.name))
        for place in there:
            whole = (place / SET_FILE).is_file() and (place / HISTORY_FILE).is_file()
            if whole and _holds(place, made.described, self.host):
                return f"{name}/{place.name}"
        each = next(each for each in numbered(first) if not os.path.lexists(self.path / name / each))
        place = self.path / name / each
        with files.making_folder(place, within=self.path) as staged:
            made.described.save(staged / SET_FILE)
            made.history.save(staged / HISTORY_FILE)
            try:
                save_grid(made.described.distilled, len(made.described.class_names), staged / PICTURE_FILE)
            except Exception as error:  # a picture is no reason to lose a run
                note = f"{place / PICTURE_FILE} could not be made: {type(error).__name__}: {error}"
                self.host.observer.note(note)
        return f"{name}/{each}"


def described(course: Course) -> DistilledSet:
    """The set of a row and seed, with all that its file says."""
    row, problem, experiment, made = course.row, course.problem, course.experiment, course.distilled
    data, first = problem.data, problem.teachers[0] if problem.teachers else None
    return DistilledSet(
        distilled=made,
        form=row.form.name,
        class_names=data.class_names,
        normalization=problem.normalization,
        about={
            "method": row.label,
            "components": {stage: named.table() for stage, named in row.stages().items()},
            "ipc": experiment.ipc,
            "seed": problem.seed,
            "dataset": {"name": data.name, "fingerprint": data.fingerprint},
            "teacher": {"architecture": first.architecture, "fingerprint": first.fingerprint} if first else None,
            "cost": asdict(made.cost) if made.cost else None,
            "machine": machine(experiment),
        },
    )


def _holds(place: Path, made: DistilledSet, host: Host) -> bool:
    """Whether the set in a folder is the same, whatever it took to make it."""
    try:
        there = load(place, partial(host.registry.get, "form"))
    except InputError:
        return False
    return there.distilled.fingerprint == made.distilled.fingerprint and _told(there) == _told(made)


def _told(made: DistilledSet) -> Any:
    about = {name: value for name, value in made.about.items() if name not in ("cost", "machine")}
    return json.loads(json.dumps([made.form, made.class_names, asdict(made.normalization), about]))
