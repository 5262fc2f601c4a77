"""`delt_host.squeeze`: teachers alone, as ``delt-host squeeze`` makes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from delt_host.api import words
from delt_host.api.telling import debugging, observer_of
from delt_host.api.words import Row
from delt_host.basics import compute
from delt_host.basics.errors import InputError
from delt_host.contracts.observer import Observer
from delt_host.contracts.teacher import Teacher
from delt_host.experiment.experiment import AskedTeacher, Experiment, Named
from delt_host.experiment.request import Request
from delt_host.experiment.resolve import resolve
from delt_host.plugins.registry import Registry
from delt_host.stages import story, teachers
from delt_host.stages.host import Host
from delt_host.store.entry import default_store
from delt_host.store.store import Store


def squeeze(
    recipe: str | Path | None = None,
    *,
    dataset: Any = None,
    teacher: Any = None,
    method: Row | Sequence[Row] | None = None,
    validate: float | None = None,
    set: Mapping[str, Any] | None = None,
    device: str | None = None,
    precision: str | None = None,
    compile: bool = False,
    threads: int | None = None,
    strict: bool = False,
    store: str | Path | None = None,
    plugins: str | Sequence[str] | None = None,
    prefer: str | Sequence[str] | None = None,
    quiet: bool = False,
    debug: bool = False,
) -> list[Teacher]:
    """Train teachers, or take them from the store where they are there; `Teacher.save` writes one to a file.

    The arguments are options of ``delt-host squeeze`` by their names, and objects may stand for names as in
    `delt_host.run`; `method`: with the teachers that these ask for. InputError for what is to be changed, RunError where the
    work failed.

    >>> (teacher,) = squeeze(dataset="digits", teacher="convnet3")
    >>> run(method="delt", teacher=teacher)
    """
    said = dict(locals())
    for name in ("recipe", "store", "quiet", "debug"):
        said.pop(name)
    check_sets(set or ())
    there = Request.from_recipe(Path(recipe)) if recipe is not None else Request()
    given = words.opened(there, said)
    request = there.updated(words.request_of(said, given))
    told = observer_of(quiet, given.registry)
    asked = AskedTeachers.of(request, given.registry, Path(store).absolute() if store is not None else None)
    with debugging(debug):
        return list(asked.squeezed(told, [*chain(*asked.experiment.teachers_by_seed)]))


def check_sets(sets: Iterable[str]) -> None:
    """InputError for an option that is no teacher's or dataset's."""
    for key in sets:
        if key.partition(".")[0] not in ("teacher", "dataset"):
            raise InputError(f"--set {key} has no place here; only options of teacher and dataset do")


@dataclass(frozen=True)
class AskedTeachers:
    """The teachers of a run before they are squeezed."""

    experiment: Experiment
    registry: Registry
    store: Path

    @classmethod
    def of(cls, request: Request, registry: Registry, store: Path | None = None) -> AskedTeachers:
        """InputError in one sentence for whatever is unknown or wrong, and where there is no teacher to squeeze."""
        if not (request.method or request.baseline or request.row):
            request = request.updated(Request(method=["random-real"]))  # the least that is an experiment
        experiment = resolve(request, registry)
        if not experiment.teachers:
            raise InputError("there is no teacher to squeeze")
        return cls(experiment, registry, store or default_store())

    @property
    def wanted(self) -> list[AskedTeacher]:
        """Those to squeeze, of each seed of teachers."""
        return [asked for asked in chain(*self.experiment.teachers_by_seed) if isinstance(asked.made_by, Named)]

    @property
    def files(self) -> list[Path]:
        """Those that are files already."""
        return [asked.made_by for asked in self.experiment.teachers if isinstance(asked.made_by, Path)]

    def squeezed(self, observer: Observer, which: Sequence[AskedTeacher]) -> Iterator[Teacher]:
        """Each of these, as it is made or found in the store; one that is there already once it is known to fit the data."""
        experiment = self.experiment
        host = Host(self.registry, Store(self.store, observer.note, strict=experiment.strict), observer)
        with compute.threads(experiment.threads), observer:
            data = story.load_data(experiment.dataset, host, validate=experiment.validate)
            for asked in which:
                yield teachers.teacher_of(experiment, asked, data, host)
