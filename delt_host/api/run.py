"""`delt_host.run`: distil, train students, compare, as ``delt-host run`` does."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from delt_host.api import words
from delt_host.api.asked import CHECKPOINT_EVERY, AskedRun, Former
from delt_host.api.outlook import Outlook
from delt_host.api.result import Result
from delt_host.api.telling import Kept, debugging, observer_of, reported
from delt_host.api.words import Network, Part, Row
from delt_host.contracts.engine import Engine
from delt_host.contracts.methods import Regime
from delt_host.contracts.observer import Observer
from delt_host.plugins.given import Given

P = ParamSpec("P")
T = TypeVar("T")


def run(
    recipe: str | Path | Result | None = None,
    *,
    method: Row | Sequence[Row] | None = None,
    baseline: Row | Sequence[Row] | None = None,
    control: Row | Sequence[Row] | None = None,
    controls: bool = True,
    ceiling: bool = False,
    ceiling_epochs: int | None = None,
    dataset: Any = None,
    ipc: int | Sequence[int] | None = None,
    validate: float | None = None,
    teacher: Any = None,
    student: Network | Sequence[Network] | None = None,
    seeds: int | str | Sequence[int] | None = None,
    students: int | None = None,
    teacher_seeds: int | None = None,
    resolve: float | None = None,
    budget: str | float | None = None,
    regime: str | Regime | Sequence[str | Regime] | None = None,
    initializer: Part | None = None,
    scheduler: Part | None = None,
    matcher: Part | None = None,
    form: Part | None = None,
    evaluator: Part | Sequence[Part] | None = None,
    set: Mapping[str, Any] | None = None,
    skip_bad_images: bool = False,
    match: str | None = None,
    device: str | None = None,
    precision: str | None = None,
    compile: bool = False,
    threads: int | None = None,
    strict: bool = False,
    stack: int | None = None,
    workers: int = 1,
    engine: str | Engine = "local",
    address: str | None = None,
    checkpoint_every: float = CHECKPOINT_EVERY,
    store: str | Path | None = None,
    plugins: str | Sequence[str] | None = None,
    prefer: str | Sequence[str] | None = None,
    out: str | Path | None = None,
    force: bool = False,
    observer: str | Observer | Sequence[str | Observer] | None = None,
    quiet: bool = False,
    debug: bool = False,
) -> Result:
    """Distil a dataset by several methods, train students on what they made, and compare.

    Every argument is an option of ``delt-host run`` by its name (``delt-host run --help`` explains them); what may be given
    several times is one or a list; ``controls=False`` is ``--no-controls``. Wherever a name goes, the thing itself may stand:

    - a component or its class (`matcher`, `initializer`, `scheduler`, `form`, `evaluator`), a `Method` (`method`, `baseline`,
      `control`), a `Regime` (`regime`), an `Observer`, an `Engine`;
    - `student`: a function from (number of classes, image size in pixels) to a network; `teacher`: such a function, a
      `Squeezer`, a `Teacher` as `squeeze` gives it, or a trained network, whose outputs are the dataset's classes in order;
    - `dataset`: a `Dataset`, a `RealData`, a torch dataset of (image, class), two arrays, images and classes, or a pair of
      these, (train, test); of a single one a fifth of each class is held out.

    `recipe` is a file with the same keys, such as the experiment.toml of an earlier run; or an earlier run itself, as its
    folder or result: it grows, and what comes to it is computed alone. `set` has options by
    ``STAGE.OPTION``. A run with objects says so: its recipe repeats nothing, and engines and workers refuse it.

    Progress is shown, in a notebook as a notebook shows it, unless `quiet`; with `debug`, also the traceback of a plugin that
    fails. Nothing of the process is changed.

    Returns the results, with why rows failed among them; interrupted, what is finished, from where the same call goes on.

    InputError for what is to be changed, in one sentence; RunError where the work failed.

    >>> result = run(method="delt", baseline="cda", ipc=10)
    >>> result.table, result.images("delt"), result.to_pandas()
    """
    asked, told, path = _asked(locals())
    kept = Kept()
    with debugging(debug):
        try:
            kept(asked.run(told, kept, path, force, kept.said(told)), True)
            return reported(kept.made, asked.registry, told)
        except KeyboardInterrupt:
            return kept.made
        finally:
            if kept.result is not None:
                for folder in (kept.result.folder, *(run.folder for run in kept.result.runs.values())):
                    words.remember(folder, asked.registry, asked.request)


def _called_like(function: Callable[P, Any]) -> Callable[[Callable[..., T]], Callable[P, T]]:
    """Gives a function the arguments of another one, which help and completion then show."""

    def decorate(own: Callable[..., T]) -> Callable[P, T]:
        theirs = inspect.signature(function)
        own.__signature__ = theirs.replace(return_annotation=own.__annotations__["return"])  # type: ignore[attr-defined]
        return own

    return decorate


@_called_like(run)
def dry_run(*arguments: Any, **options: Any) -> Outlook:
    """What `run` would do with the same arguments, what of it is in the store, and how long the rest takes; nothing is run.

    InputError as there.
    """
    bound = inspect.signature(run).bind(*arguments, **options)
    bound.apply_defaults()
    asked, told, path = _asked(bound.arguments)
    with debugging(bound.arguments["debug"]):
        return asked.outlook(told, path)


def _asked(arguments: Mapping[str, Any]) -> tuple[AskedRun, Observer, Path | None]:
    """The run that the arguments of `run` are, who is told of it, and its folder if it has one."""
    said = dict(arguments)
    recipe, quiet, observers = said.pop("recipe"), said.pop("quiet"), said.pop("observer")
    out = said.pop("out")
    for name in ("force", "debug"):
        said.pop(name)
    how = {name: said.pop(name) for name in ("engine", "address", "checkpoint_every", "workers")}
    store = said.pop("store")
    out = Path(out).absolute() if out is not None else None
    former, given = _former(recipe, out, said)
    here = words.request_of(said, given)
    request, how["threads"] = former.put_over(here), here.threads
    others = words.observers_of(observers, given)
    told = observer_of(quiet, given.registry)
    place = Path(store).absolute() if store is not None else None
    return AskedRun.of(request, given.registry, observers=others, store=place, **how), told, former.out


def _former(recipe: str | Path | Result | None, out: Path | None, said: Mapping[str, Any]) -> tuple[Former, Given]:
    """What the run begins with, and what is installed; objects that an earlier run was given in this process are there too."""
    if recipe is None:
        former = Former.of(None, out)
        return former, words.opened(former.request, said)
    there = recipe.folder if isinstance(recipe, Result) else Path(recipe).absolute()
    folder = there if there.is_dir() else there.parent
    former = Former.of(there, out, words.known(folder))
    former = replace(former, request=words.with_teachers(former.request, folder))
    return former, words.opened(former.request, said, folder)
