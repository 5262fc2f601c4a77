"""`delt_host.evaluate`: the sets of a finished run, scored anew, as ``delt-host evaluate`` does."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from delt_host.api import words
from delt_host.api.asked import Unfinished
from delt_host.api.comparing import compared
from delt_host.api.engines import LOCAL, engine_of, filled, refused, with_threads
from delt_host.api.result import Result
from delt_host.api.telling import Kept, debugging, observer_of, reported
from delt_host.api.words import Network, Part
from delt_host.basics import compute
from delt_host.basics.errors import InputError
from delt_host.basics.folder_names import slug
from delt_host.contracts.engine import Engine
from delt_host.contracts.methods import Regime
from delt_host.contracts.observer import Observer
from delt_host.contracts.results import RESULTS_FILE, Results, read_results
from delt_host.experiment.experiment import Experiment
from delt_host.experiment.request import Request
from delt_host.experiment.resolve import resolve
from delt_host.plugins.registry import Registry
from delt_host.runs import folder, place
from delt_host.runs.saved_sets import SavedSets
from delt_host.stages import story
from delt_host.stages.host import Host
from delt_host.store.entry import default_store
from delt_host.store.store import Store


def evaluate(
    run: str | Path | Result,
    *,
    evaluator: Part | Sequence[Part] | None = None,
    student: Network | Sequence[Network] | None = None,
    teacher: Any = None,
    ceiling: bool = False,
    ceiling_epochs: int | None = None,
    regime: str | Regime | Sequence[str | Regime] | None = None,
    dataset: Any = None,
    set: Mapping[str, Any] | None = None,
    students: int | None = None,
    device: str | None = None,
    precision: str | None = None,
    compile: bool = False,
    threads: int | None = None,
    strict: bool = False,
    workers: int = 1,
    store: str | Path | None = None,
    plugins: str | Sequence[str] | None = None,
    prefer: str | Sequence[str] | None = None,
    out: str | Path | None = None,
    quiet: bool = False,
    debug: bool = False,
) -> Result:
    """Score the sets of a run anew, by other evaluators, students or regimes, without distilling again.

    `run` is what `delt_host.run` gave, or a run's folder. The other arguments are options of ``delt-host evaluate`` by their
    names, and objects may stand for names as in `delt_host.run`. The teacher comes from its file or the store, or is squeezed
    anew by the run's recipe.

    Returns the results; interrupted, what is finished. InputError for what is to be changed, RunError where the work failed.

    >>> evaluate(result, evaluator=["diversity", "privacy"], students=3)
    """
    said = dict(locals())
    for name in ("run", "workers", "store", "out", "quiet", "debug"):
        said.pop(name)
    path = (run.of_run or run.folder) if isinstance(run, Result) else Path(run).absolute()
    there = words.with_teachers(recipe_of(path, words.known(path)), path)
    given = words.opened(there, said, path)
    request = asked_of(there, words.request_of(said, given))
    told = observer_of(quiet, given.registry)
    place_of_store = Path(store).absolute() if store is not None else None
    asked = AskedEvaluation.of(path, request, given.registry, place_of_store, workers, threads)
    kept = Kept()
    with debugging(debug):
        try:
            kept(asked.run(told, kept, Path(out).absolute() if out is not None else None), True)
            return reported(kept.made, asked.registry, told)
        except KeyboardInterrupt:
            return kept.made


def recipe_of(run: Path, objects: bool = False) -> Request:
    """The recipe of a run's folder. InputError where it is none, and for one with objects of Python unless these are there."""
    place.check_run(run)
    if (run / RESULTS_FILE).is_file() and read_results(run).made_by == "evaluate":
        raise InputError(f"{run} is the folder of an evaluation; name that of the run whose sets it scored")
    return Request.from_recipe(run / place.RECIPE, objects)


def asked_of(there: Request, said: Request) -> Request:
    """A run's recipe with what is said of its evaluation put over it; compiled operators are those that are asked for now."""
    there = there.model_copy(update={"compile": False})
    evaluator = said.evaluator or (["student"] if said.student else [])
    teachers, regimes = list(said.teacher), there.regimes_named(said.regime)  # type: ignore[arg-type]
    said = said.model_copy(update={"evaluator": evaluator, "regime": regimes, "teacher": []})
    return there.with_teachers(teachers).updated(said)


@dataclass(frozen=True)
class AskedEvaluation:
    """An evaluation before it begins: everything is resolved, nothing computed."""

    of_run: Path
    experiment: Experiment
    registry: Registry
    store: Path
    engine: Engine
    engine_name: str
    threads: int
    """Of the processor, for each process."""

    @classmethod
    def of(
        cls,
        run: Path,
        request: Request,
        registry: Registry,
        store: Path | None = None,
        workers: int = 1,
        threads: int | None = None,
    ) -> AskedEvaluation:
        """`threads` are those that this call says, and not the run's recipe.

        InputError in one sentence for whatever is unknown, of the wrong type, or contradictory."""
        name, engine = engine_of(LOCAL, registry, workers=workers)
        request, share = with_threads(request, threads, workers)
        experiment = resolve(request, registry, makes_images=False)
        if experiment.objects and name != LOCAL:
            raise InputError(refused(name, experiment.objects))
        engine.check(experiment.device)
        return cls(run, experiment, registry, store or default_store(), engine, name, share)

    def run(self, observer: Observer, unfinished: Unfinished, out: Path | None = None) -> Result:
        """Do it, in `out` or a folder of the run's. Where it ends early `unfinished` gets what is finished.

        InputError for what is to be changed, RunError where the work failed. A row that fails is in the results.
        """
        run, experiment = self.of_run, self.experiment
        if out is not None and os.path.realpath(out) == os.path.realpath(run):
            raise InputError(f"{run} is the folder of the run itself; choose another with --out")
        kept = Store(self.store, observer.note, strict=experiment.strict)
        with compute.threads(self.threads), place.locked(run, shared=True):
            saved = SavedSets(run, partial(self.registry.get, "form"))
            ours = saved.records(experiment)
            name = slug("-".join(named.name for named in experiment.evaluators))
            path = out or place.evaluation_place(run, name, experiment, ours)
            host = Host(self.registry, kept, observer, path)

            def begin() -> story.Comparison:
                comparison = story.prepare_run(experiment, host, saved=saved)
                _note_others(run, comparison)
                filled(self.engine, self.engine_name, comparison, self.threads)
                return comparison

            def made(_course: Any) -> None:
                """Sets that are scored anew are in their run's folder."""

            def write(results: Results) -> Results:
                return folder.write_results(path, results, ours)

            def partly(results: Results, whole: bool) -> None:
                unfinished(Result.of(results, path, registry=self.registry, interrupted=True, of_run=run), whole)

            with place.taken(path, experiment, "evaluate", sets=ours, store=kept.root):
                comparison, results = compared(begin, made, write, observer, "evaluate", partly)
        return Result.of(results, path, tuple(chain(*comparison.teachers)), self.registry, of_run=run)


def _note_others(run: Path, comparison: story.Comparison) -> None:
    """Say that labels come from others than the run's teachers, scores from other images, or other operators; a
    set that was imported comes from no run."""
    if not (run / RESULTS_FILE).exists():
        return
    results, problem = read_results(run), comparison.problem
    if results.data.fingerprint != problem.data.fingerprint:
        problem.observer.note(
            f"the images of {problem.data.name} are others than those of the run: do not compare the scores with the run's"
        )
    if results.environment.compiled and not comparison.experiment.compile:
        problem.observer.note(
            "the run had --compile and this has not: with it, networks that have use for it take less time, and round alike"
        )
    theirs = [teacher.fingerprint for teacher in results.teachers]
    if theirs != [teacher.fingerprint for teacher in chain(*comparison.teachers)]:
        problem.observer.note(
            "the labels are another teacher's than the run's: do not compare the scores with the run's"
        )
