"""The folder that a run or an evaluation writes into: made, or gone on with, and never one of something else.

It belongs to one process as long as that writes. Of what lies in it only what a run writes is ever removed.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

from delt_host.basics.errors import InputError, writing_to
from delt_host.basics.folder_names import distinct, numbered
from delt_host.contracts.results import RESULTS_FILE as RESULTS
from delt_host.contracts.results import SetRecord, read_results
from delt_host.contracts.sweep import SWEEP_FILE, SWEEP_RECIPE, refuse_sweep
from delt_host.experiment.experiment import Experiment
from delt_host.runs.distilled import SET_FILE
from delt_host.runs.recipes import DECIDED, adds_to, difference, with_decision
from delt_host.store import files

RECIPE, EVALUATIONS = "experiment.toml", "evaluations"
PAGE_FILE = "report.html"
"""The page of a run, in its folder."""
HISTORY_FILE = "history.safetensors"
"""What recovery did to each image of a set, beside the set."""
PICTURE_FILE = "images.png"
"""A set's images, a line for each class, beside the set."""
NOT_ROWS = (EVALUATIONS, "tensorboard", RECIPE, RESULTS, PAGE_FILE)
"""What lies in a run's folder beside its rows' folders."""
SEED = re.compile(r"seed-\d+(-\d+)?")
SHOWN_NAMES = 3

MadeBy = Literal["run", "evaluate"]


def folders(labels: Iterable[str]) -> dict[str, str]:
    """The folder of each row in a run's folder."""
    return distinct(labels, taken=NOT_ROWS)


def made_new(parent: Path, name: str) -> Path:
    """A folder that nobody had: `name` in `parent`, or with a number after it."""
    with writing_to(parent / name):
        files.make_folders(parent)
        for each in numbered(name):
            with suppress(FileExistsError):
                (parent / each).mkdir()
                return parent / each
    raise AssertionError


def evaluation_place(run: Path, name: str, experiment: Experiment, sets: Sequence[SetRecord]) -> Path:
    """The folder of an evaluation in its run's: the first of its name that is not there, or is of the same recipe and sets."""

    def ours(path: Path) -> bool:
        return not os.path.lexists(path) or (path.is_dir() and not _in_the_way(path, experiment, "evaluate", sets))

    return next(path for each in numbered(name) if ours(path := run / EVALUATIONS / each))


@contextmanager
def taken(
    path: Path,
    experiment: Experiment,
    command: MadeBy = "run",
    force: bool = False,
    sets: Sequence[SetRecord] = (),
    store: Path | None = None,
    new: bool = False,
) -> Iterator[Callable[[Experiment], None]]:
    """The folder for this experiment, and for this process alone, as long as the block lasts; its `experiment.toml` is there.

    It is made, or is empty, or holds the same recipe, or one that this only adds to: a finished run then stays what it is,
    recipe and all, until the results of the larger one are there. `force` first removes what a run of another recipe wrote.
    `sets` are those that an evaluation scores; a `new` folder, made for it or here, goes again where the user is to change
    something. InputError for anything else, and where the folder cannot be written or another process writes into it.

    It gives a function that takes the experiment once it has decided how many sets and students there are: its recipe is the
    folder's from then on.
    """

    def settle(decided: Experiment) -> None:
        nonlocal experiment
        experiment = decided
        with writing_to(path):
            _write_recipe(path, experiment)

    check_place(path, store)
    with writing_to(path):
        new = new or not path.exists()
        files.make_folders(path)
    with locked(path):
        if reason := _in_the_way(path, experiment, command, sets, store):
            ours = os.path.lexists(path / RECIPE)
            if not (force and ours):
                ways = ", or remove what is there with --force" * (ours and command == "run")
                raise InputError(f"{path} {reason}; choose another folder with --out{ways}")
            with writing_to(path):
                remove_run(path)
        for begun in path.glob(f"{files.WRITING}*"):  # by a killed process: nobody else writes here now
            shutil.rmtree(begun, ignore_errors=True)
            with suppress(OSError):
                begun.unlink()
        former = _finished(path) if _is_smaller(path, experiment) else None
        try:
            with writing_to(path):
                with tempfile.TemporaryFile(dir=path):
                    pass  # found out now, and not after the work
                if former is None:
                    _write_recipe(path, experiment)
            try:
                yield settle
            except BaseException:
                if former is not None and _finished(path) != former:  # it failed later than that
                    with suppress(OSError):
                        _write_recipe(path, experiment)
                raise
            with writing_to(path):
                _write_recipe(path, experiment)  # somebody may have removed it meanwhile
        except InputError:
            with suppress(OSError):
                if new and [each.name for each in path.iterdir()] == [RECIPE]:
                    (path / RECIPE).unlink()
            raise
        finally:
            if new:
                with suppress(OSError):  # what could not even be begun
                    path.rmdir()


def decided(path: Path, experiment: Experiment) -> Experiment:
    """The experiment as the run of a folder, if it is the same, has decided: how many sets and students there are."""
    try:
        there, here = _compared(path, experiment)
    except (OSError, ValueError, RecursionError):
        return experiment
    if not experiment.undecided or "pilot" not in here or not (there == here or adds_to(here, there)):
        return experiment
    seeds, students, pilot = (here[name] for name in DECIDED)
    return replace(experiment, seeds=tuple(seeds), students=students, pilot=pilot)


def check_some_free(runs: Mapping[Path, Experiment]) -> None:
    """InputError where none of these folders of runs is for its experiment, and one is another's."""
    reasons = {path: _in_the_way(path, of, "run", ()) for path, of in runs.items() if path.is_dir()}
    if len(reasons) == len(runs) and all(reasons.values()):
        path, reason = next(iter(reasons.items()))
        raise InputError(f"{path} {reason}; choose another folder with --out, or remove what is there with --force")


def check_place(path: Path, store: Path | None) -> None:
    """InputError for what cannot be a folder for results: a file, a link that leads nowhere, a place in the store."""
    if store is not None and Path(os.path.realpath(path)).is_relative_to(os.path.realpath(store)):  # never an error
        raise InputError(
            f"{path} lies in the store {store}, which lists and prunes what is in it; choose another --out"
        )
    with writing_to(path):
        if path.is_symlink() and not path.exists():
            raise InputError(f"{path} is a link to {path.readlink()}, which does not exist; choose another with --out")
        if path.exists() and not path.is_dir():
            raise InputError(f"{path} is a file, and a folder is needed; choose another with --out")


def not_empty(path: Path, store: Path | None) -> str:
    """Why a folder cannot be written into, as what follows its name in a sentence; empty where nothing is in it."""
    try:
        names = {each.name for each in path.iterdir() if not each.name.startswith(files.WRITING)}
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if RECIPE in names:
        return "is the folder of a run"
    if SWEEP_FILE in names:
        return "is the folder of a sweep"
    others = sorted(name for name in names if store is None or not store.is_relative_to(path / name))
    shown = ", ".join(others[:SHOWN_NAMES]) + ", …" * (len(others) > SHOWN_NAMES)
    return f"is not empty and no run's folder: it has {shown}" if others else ""


def recipe_of(place: Path, out: Path | None) -> tuple[Path, Path | None]:
    """The recipe's file and the run's folder that ``delt-host run PLACE --out OUT`` names. InputError for other folders.

    The folder of a run, or of a sweep, is its recipe, and the one that is written into unless another is given.
    """
    if not place.is_dir():
        return place, out
    if (place / SWEEP_RECIPE).is_file():
        return place / SWEEP_RECIPE, out or place
    check_run(place)
    return place / RECIPE, out or place


def is_run(path: Path) -> bool:
    """Whether it is the folder of a run, finished or not. InputError where nobody may look."""
    try:
        return (path / RECIPE).is_file()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None


def check_run(path: Path) -> None:
    """InputError where it is not the folder of a run, finished or not; of a sweep's with the runs that are in it."""
    if not is_run(path):
        refuse_sweep(path)
        raise InputError(f"{path} is not the folder of a run: it has no {RECIPE}")


@contextmanager
def locked(folder: Path, shared: bool = False) -> Iterator[None]:
    """The folder for this process alone, or with `shared` for all that do not change it; no longer than it lives.

    InputError where another process has it. Where the system or its file system knows no such locks, nothing is held.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    with writing_to(folder):
        descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"another process works in {folder}; wait for it, or choose another with --out") from None
        except OSError:  # some network file systems
            pass
        yield
    finally:
        os.close(descriptor)


def _recipe(path: Path) -> dict[str, Any]:
    """OSError, ValueError or RecursionError where it cannot be read."""
    return tomllib.loads((path / RECIPE).read_text(encoding="utf-8"))


def _compared(path: Path, experiment: Experiment) -> tuple[dict[str, Any], dict[str, Any]]:
    """The recipe in a folder and the experiment's, without what makes no difference. OSError, ValueError or RecursionError
    where the former cannot be read."""
    there = _recipe(path)
    here = with_decision(experiment.recipe(), there)
    for each in fields(Experiment):  # what it was written before had this value
        if each.name in here and isinstance(each.default, int | float | str):
            there.setdefault(each.name, each.default)
    if not there.get("strict"):  # the number of threads is the machine's, not the results'
        there["threads"] = here["threads"] = None
    return there, here


def _is_smaller(path: Path, experiment: Experiment) -> bool:
    """Whether another recipe lies there, which is no longer in the way: one that this adds to."""
    try:
        there, here = _compared(path, experiment)
    except (OSError, ValueError, RecursionError):
        return False
    return there != here


def _finished(path: Path) -> bytes | None:
    """The results of a finished run; None where there are none that can be read."""
    try:
        read_results(path)
        return (path / RESULTS).read_bytes()
    except (InputError, OSError):
        return None


def _write_recipe(path: Path, experiment: Experiment) -> None:
    """Unless it is there, however it is written. OSError where that fails."""
    with suppress(OSError, ValueError):
        if _recipe(path) == experiment.recipe():
            return
    files.write(path / RECIPE, experiment.to_toml())


def _in_the_way(
    path: Path, experiment: Experiment, command: MadeBy, sets: Sequence[SetRecord], store: Path | None = None
) -> str:
    """Why the folder is not for this experiment, as what follows its name in a sentence; empty where it is."""
    try:
        names = [each.name for each in path.iterdir() if not each.name.startswith(files.WRITING)]
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if RECIPE not in names:
        return not_empty(path, store)
    try:
        there, here = _compared(path, experiment)
    except (OSError, ValueError, RecursionError) as error:
        return f"has an {RECIPE} that cannot be read: {error}"
    if there != here and not (command == "run" and adds_to(here, there)):
        return f"is of another recipe: {difference(there, here)}"
    if RESULTS not in names:
        unscored = command == "evaluate" and any((path / name).is_dir() for name in folders(_labels(there)).values())
        return "is the folder of a run" if unscored else ""
    try:
        results = read_results(path)
    except InputError:
        return ""  # damaged: of this recipe, and made anew
    if results.made_by != command:
        return f"has the results of delt-host {results.made_by}"
    scored, asked = ({(each.row, each.set, each.fingerprint) for each in those} for those in (results.sets, sets))
    return "has an evaluation of other sets" if command == "evaluate" and scored != asked else ""


def _labels(recipe: Mapping[str, Any]) -> list[str]:
    rows = recipe.get("row", [])
    return [str(row.get("label")) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def remove_run(path: Path) -> None:
    """Remove what a run wrote, its evaluations among it, the results first; other files stay. OSError where that fails."""
    rows: set[str] = set()
    with suppress(OSError, ValueError, RecursionError):
        rows |= {*folders(_labels(_recipe(path))).values()}
    with suppress(InputError):
        rows |= {each.folder.partition("/")[0] for each in read_results(path).sets}
    (path / RESULTS).unlink(missing_ok=True)
    for folder in _folders_in(path / EVALUATIONS):
        if (folder / RECIPE).is_file():
            _remove(folder, RESULTS, PAGE_FILE, RECIPE)
    _remove(path / EVALUATIONS)
    for row in rows:
        remove_sets(path / row)
    for name in (PAGE_FILE, RECIPE):
        (path / name).unlink(missing_ok=True)


def remove_sets(row: Path, but: Collection[Path] = ()) -> None:
    """Remove the distilled sets in a row's folder, `but` these. OSError where that fails."""
    for folder in _folders_in(row):
        if SEED.fullmatch(folder.name) and folder not in but:
            _remove(folder, SET_FILE, HISTORY_FILE, PICTURE_FILE)
    _remove(row)


def _folders_in(path: Path) -> list[Path]:
    return [each for each in path.iterdir() if each.is_dir()] if path.is_dir() else []


def _remove(folder: Path, *names: str) -> None:
    """Remove these files of a folder, and it where nothing else is in it."""
    for name in names:
        (folder / name).unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()
