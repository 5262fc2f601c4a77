"""A run that was asked for, or a sweep of several: everything is resolved and checked, nothing is computed yet."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from delt_host.api import resolving
from delt_host.api.comparing import compared
from delt_host.api.engines import engine_of, filled, refused, with_threads
from delt_host.api.outlook import Outlook, outlook
from delt_host.api.result import Result
from delt_host.basics import compute
from delt_host.basics.errors import InputError
from delt_host.basics.file_words import short_name
from delt_host.basics.folder_names import slug
from delt_host.compare.lines import Point
from delt_host.contracts.engine import Engine
from delt_host.contracts.observer import Observer
from delt_host.contracts.results import Results
from delt_host.experiment.experiment import Experiment
from delt_host.experiment.request import Request
from delt_host.experiment.resolve import resolve
from delt_host.experiment.sets import sets_of
from delt_host.experiment.sweep import Planned, points
from delt_host.plugins.observers import with_others
from delt_host.plugins.registry import Provided, Registry
from delt_host.runs import place, sweep
from delt_host.runs.folder import check_images
from delt_host.runs.set_folders import SetFolders
from delt_host.stages import story
from delt_host.stages.host import Host
from delt_host.store.entry import default_store
from delt_host.store.store import Store

CHECKPOINT_EVERY = 30.0  # s

Unfinished = Callable[[Result, bool], None]
"""Takes what is finished of a run that ends early, and whether that is all of it and could only not be written."""


def _ignored(*_arguments: Any) -> None: ...


@dataclass(frozen=True)
class Former:
    """What a run begins with: a recipe, or a finished run, which grows; and the folder that it is written into."""

    request: Request = field(default_factory=Request)
    out: Path | None = None
    grows: bool = False

    @classmethod
    def of(cls, recipe: Path | None, out: Path | None, objects: bool = False) -> Former:
        """Of a recipe's file or a run's folder, which may be one with `objects` that the caller has. InputError for neither."""
        if recipe is None:
            return cls(out=out)
        recipe, out = place.recipe_of(recipe, out)
        return cls(Request.from_recipe(recipe, objects), out, out == recipe.parent)

    def put_over(self, said: Request) -> Request:
        """With all that is said: in place of what a recipe says, or added to it where a run grows. InputError for a goal that a
        run which grows was not begun with."""
        if said.resolve is not None or said.budget is not None:
            return self._with_goal(said)
        return self.request.added_to(said) if self.grows else self.request.updated(said)

    def _with_goal(self, said: Request) -> Request:
        """With another number of sets to be decided on."""
        if not self.grows:
            return self.request.decided_anew().updated(said)
        there, here = (sets_of(each.decided_anew()) for each in (self.request, self.request.updated(said)))
        if (there.resolve, there.budget) != (here.resolve, here.budget):
            raise InputError(
                f"{self.out} was not begun with this --resolve and --budget, and no run decides by sets that were looked at: "
                "choose another folder with --out, and what is in the store is used there"
            )
        return self.request.added_to(said)


@dataclass(frozen=True)
class AskedRun:
    """A run before it begins, or a sweep of several."""

    request: Request
    planned: tuple[Planned, ...]
    """The runs; one without a name where nothing is swept."""
    experiments: Mapping[str, Experiment]
    """By the names of the runs."""
    registry: Registry
    engine: Engine
    engine_name: str
    observers: dict[str, Provided]
    """Those that are told beside the caller's, by name."""
    store: Path
    checkpoint_every: float
    """Seconds of an unfinished stage that a kill costs at most."""
    threads: int
    """Of the processor, for each process."""

    @classmethod
    def of(
        cls,
        request: Request,
        registry: Registry,
        engine: str | Engine = "local",
        address: str | None = None,
        observers: Iterable[str] = (),
        store: Path | None = None,
        checkpoint_every: float = CHECKPOINT_EVERY,
        workers: int = 1,
        threads: int | None = None,
    ) -> AskedRun:
        """`threads` are those that this call says, and not its recipe.

        InputError in one sentence for whatever is unknown, of the wrong type, or contradictory."""
        name, done_by = engine_of(engine, registry, address, workers)
        request, share = with_threads(request, threads, workers)
        wanted = {each: registry.provider("observer", each) for each in observers}
        planned = tuple(points(request, registry))
        experiments = {each.name: _resolved(each, registry) for each in planned}
        objects = list(dict.fromkeys(each for experiment in experiments.values() for each in experiment.objects))
        if objects and name != "local":
            raise InputError(refused(name, objects))
        request = request.model_copy(update={"objects": objects})
        there = store or default_store()
        return cls(request, planned, experiments, registry, done_by, name, wanted, there, checkpoint_every, share)

    @property
    def experiment(self) -> Experiment:
        """Of a sweep, the first."""
        return self.experiments[self.planned[0].name]

    @property
    def sweeps(self) -> bool:
        return bool(self.planned[0].name)

    @property
    def name(self) -> str:
        """`delt-cda-digits-20260102-120000`: what its folder is called where nobody names one."""
        names = [short_name(row.method) for row in self.experiment.rows if row.role in ("method", "baseline")]
        of = "sweep" if self.sweeps else slug(short_name(self.experiment.dataset.name))
        moment = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        return f"{slug('-'.join(dict.fromkeys(names)))}-{of}-{moment}"

    def outlook(self, observer: Observer, out: Path | None = None) -> Outlook:
        """What it would do, in `out` or a new folder, how long that takes, by passes timed now, and what of it is in the store;
        nothing is computed."""
        self._note(observer)
        kept = self._store(observer)
        hosts = {name: Host(self.registry, kept, observer) for name in self.experiments}
        experiments = dict(self.experiments)
        if out is not None:
            experiments = {name: place.decided(out / name, each) for name, each in experiments.items()}
        with compute.threads(self.threads):
            return outlook(experiments, hosts, self.engine)

    def run(
        self,
        observer: Observer,
        unfinished: Unfinished = _ignored,
        out: Path | None = None,
        force: bool = False,
        finished: Callable[[str, str], None] = _ignored,
    ) -> Result:
        """Do it, in `out` or a new folder of `runs`. Where it ends early `unfinished` gets what is finished; `finished` gets
        the name of each run of a sweep that has ended, and why it failed if it did.

        InputError for what is to be changed, RunError where the work failed. A row that fails is in the results, as a run of a
        sweep is among its failures.
        """
        self._note(observer)
        kept = self._store(observer)
        self.engine.check(self.experiment.device)
        path = out or place.made_new(Path("runs").absolute(), self.name)
        with compute.threads(self.threads):
            if self.sweeps:
                return self._sweep(kept, observer, unfinished, path, force, finished)
            return self._one(self.experiment, kept, observer, unfinished, path, force, out is None)

    def _sweep(
        self,
        kept: Store,
        observer: Observer,
        unfinished: Unfinished,
        path: Path,
        force: bool,
        finished: Callable[[str, str], None],
    ) -> Result:
        made: dict[str, Result] = {}
        failed: dict[str, str] = {}

        def run_one(planned: Planned, within: Path) -> Results:
            def partly(result: Result, whole: bool) -> None:
                made[planned.name] = result

            made[planned.name] = self._one(self.experiments[planned.name], kept, observer, partly, within, force, False)
            return made[planned.name].results

        def so_far() -> Result:
            told = tuple(Point(each.varied, made[each.name].results) for each in self.planned if each.name in made)
            return Result(told, path, registry=self.registry, runs=made, failed=failed)

        if not force:
            place.check_some_free({path / each.name: self.experiments[each.name] for each in self.planned})
        with sweep.taken(path, self.request, self.planned, force, kept.root):
            try:
                for each in sweep.run_each(self.planned, path, run_one):
                    if each.results is None:
                        failed[each.planned.name] = each.failure
                        made.pop(each.planned.name, None)
                    finished(each.planned.name, each.failure)
            except BaseException:
                if made:
                    unfinished(replace(so_far(), interrupted=True), False)
                raise
        return so_far()

    def _one(
        self,
        experiment: Experiment,
        kept: Store,
        observer: Observer,
        unfinished: Unfinished,
        path: Path,
        force: bool,
        new: bool,
    ) -> Result:
        host = Host(self.registry, kept, observer, path)
        experiment = place.decided(path, experiment)
        with place.taken(path, experiment, force=force, store=kept.root, new=new) as settle:
            sets = SetFolders(path, [row.label for row in story.rows_of(experiment)], host)

            def begin() -> story.Comparison:
                if said := resolving.said_before(experiment, path):
                    host.observer.note(said)
                comparison = story.prepare_run(experiment, host)
                check_images(path, comparison.problem.data)
                filled(self.engine, self.engine_name, comparison, self.threads)
                return comparison

            def decide(comparison: story.Comparison, pilot: Results) -> story.Comparison:
                found = resolving.decided(comparison, pilot, self.engine)
                settle(replace(experiment, seeds=found.seeds, students=found.students, pilot=found.pilot))
                comparison = replace(comparison, experiment=found)
                filled(self.engine, self.engine_name, comparison, self.threads)
                return comparison

            def partly(results: Results, whole: bool) -> None:
                unfinished(Result.of(results, path, registry=self.registry, interrupted=True), whole)

            host.observer = with_others(observer, self.observers, path)
            comparison, results = compared(begin, sets.add, sets.write, host.observer, "run", partly, decide)
        return Result.of(results, path, tuple(chain(*comparison.teachers)), self.registry)

    def _store(self, observer: Observer) -> Store:
        return Store(self.store, observer.note, self.checkpoint_every, self.experiment.strict)

    def _note(self, observer: Observer) -> None:
        for note in dict.fromkeys(note for experiment in self.experiments.values() for note in experiment.notes):
            observer.note(note)


def _resolved(planned: Planned, registry: Registry) -> Experiment:
    """InputError with the run of a sweep that it is of."""
    try:
        return resolve(planned.request, registry)
    except InputError as error:
        raise InputError(f"{planned.name}: {error}" if planned.name else str(error)) from None
