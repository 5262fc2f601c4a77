"""The folder that a run or an evaluation writes into: made, or gone on with, and never one of something else.

It belongs to one process as long as that writes. Of what lies in it only what a run writes is ever removed.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from delt_host import files
from delt_host.distilled import FILE as SET
from delt_host.errors import InputError, writing_to
from delt_host.experiment import Experiment
from delt_host.folder_names import numbered
from delt_host.report.own_sets import folders
from delt_host.results import FILE as RESULTS
from delt_host.results import Results, SetRecord, read_results

RECIPE, PAGE, EVALUATIONS = "experiment.toml", "report.html", "evaluations"
HISTORY, PICTURE = "history.safetensors", "images.png"
SEED = re.compile(r"seed-\d+(-\d+)?")
SHOWN = 3

Command = Literal["run", "evaluate"]


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
    for each in numbered(name):
        path = run / EVALUATIONS / each
        if not os.path.lexists(path) or (path.is_dir() and not _in_the_way(path, experiment, "evaluate", sets, ())):
            return path
    raise AssertionError


@contextmanager
def taken(
    path: Path,
    experiment: Experiment,
    command: Command = "run",
    force: bool = False,
    sets: Sequence[SetRecord] = (),
    store: Path | None = None,
    new: bool = False,
) -> Iterator[None]:
    """The folder for this experiment, and for this process alone, as long as the block lasts; its `experiment.toml` is there.

    It is made, or is empty, or holds the same recipe; `force` first removes what a run of another recipe wrote. `sets` are
    those that an evaluation scores; a `new` folder, made for it or here, goes again where the user is to change something.
    InputError for anything else, and where the folder cannot be written or another process
    writes into it.
    """
    if store is not None and Path(os.path.realpath(path)).is_relative_to(os.path.realpath(store)):  # never an error
        raise InputError(
            f"{path} lies in the store {store}, which lists and prunes what is in it; choose another --out"
        )
    with writing_to(path):
        if path.is_symlink() and not path.exists():
            raise InputError(f"{path} is a link to {path.readlink()}, which does not exist; choose another with --out")
        if path.exists() and not path.is_dir():
            raise InputError(f"{path} is a file, and a folder is needed; choose another with --out")
        new = new or not path.exists()
        files.make_folders(path)
    with locked(path):
        spare = [store] if store is not None else []
        if reason := _in_the_way(path, experiment, command, sets, spare):
            if not (force and os.path.lexists(path / RECIPE)):
                ways = "choose another folder with --out"
                if os.path.lexists(path / RECIPE):
                    ways += ", or remove what is there with --force" * (command == "run")
                raise InputError(f"{path} {reason}; {ways}")
            with writing_to(path):
                remove_run(path)
        _remove_begun(path)
        try:
            with writing_to(path):
                with tempfile.TemporaryFile(dir=path):
                    pass  # found out now, and not after the work
                if not _same_recipe(path, experiment):
                    files.write(path / RECIPE, experiment.to_toml())
            yield
            with writing_to(path):
                if not (path / RECIPE).exists():  # somebody has removed it meanwhile
                    files.write(path / RECIPE, experiment.to_toml())
        except InputError:
            if new:
                with suppress(OSError):
                    if [each.name for each in path.iterdir()] == [RECIPE]:
                        _remove(path, [RECIPE])
            raise
        finally:
            if new:
                with suppress(OSError):  # what could not even be begun
                    path.rmdir()


def is_run(path: Path) -> bool:
    """Whether it is the folder of a run, finished or not. InputError where nobody may look."""
    try:
        return (path / RECIPE).is_file()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None


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


def _remove_begun(folder: Path) -> None:
    """What a killed process had begun to write into a run's folder: nobody else writes there now."""
    for path in folder.glob(f"{files.WRITING}*"):
        shutil.rmtree(path, ignore_errors=True)
        with suppress(OSError):
            path.unlink()


def _in_the_way(
    path: Path, experiment: Experiment, command: Command, sets: Sequence[SetRecord], spare: Sequence[Path]
) -> str:
    """Why the folder is not for this experiment, as what follows its name in a sentence; empty where it is."""
    try:
        names = [each.name for each in path.iterdir() if not each.name.startswith(files.WRITING)]
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if RECIPE not in names:
        others = [name for name in sorted(names) if not any(each.is_relative_to(path / name) for each in spare)]
        shown = ", ".join(others[:SHOWN]) + ", …" * (len(others) > SHOWN)
        return f"is not empty and no run's folder: it has {shown}" if others else ""
    try:
        there = tomllib.loads((path / RECIPE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        return f"has an {RECIPE} that cannot be read: {error}"
    here = tomllib.loads(experiment.to_toml())
    if _of_results(there) != _of_results(here):
        return f"is of another recipe: {_difference(_of_results(there), _of_results(here))}"
    if RESULTS not in names:
        unscored = command == "evaluate" and any((path / name).is_dir() for name in folders(_labels(there)).values())
        return "is the folder of a run" if unscored else ""
    try:
        results = read_results(path)
    except InputError:
        return ""  # damaged: of this recipe, and made anew
    if results.made_by != command:
        return f"has the results of delt-host {results.made_by}"
    if command == "evaluate" and _fingerprints(results.sets) != _fingerprints(sets):
        return "has an evaluation of other sets"
    return ""


def _fingerprints(sets: Sequence[SetRecord]) -> dict[tuple[str, int], str]:
    return {(each.row, each.set): each.fingerprint for each in sets}


def _same_recipe(path: Path, experiment: Experiment) -> bool:
    try:
        return tomllib.loads((path / RECIPE).read_text(encoding="utf-8")) == tomllib.loads(experiment.to_toml())
    except (OSError, ValueError):
        return False


def _of_results(recipe: Mapping[str, Any]) -> Mapping[str, Any]:
    """What results are of: not the number of threads, which is the machine's, unless the recipe is strict."""
    return recipe if recipe.get("strict") else {key: value for key, value in recipe.items() if key != "threads"}


def _difference(there: Any, here: Any, where: str = "") -> str:
    """The first place at which two recipes differ, in words."""
    if isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        there, here = (dict(enumerate(each, 1)) for each in (there, here))
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        for name in [*here, *(name for name in there if name not in here)]:
            if there.get(name) != here.get(name):
                place = f"{where} {name}" if isinstance(name, int) else f"{where}.{name}".removeprefix(".")
                return _difference(there.get(name), here.get(name), place)
    if isinstance(there, list | Mapping) or isinstance(here, list | Mapping):
        return f"its {where} is another"
    return f"{where} is {there!s:.60} there, and {here!s:.60} here"


def _labels(recipe: Mapping[str, Any]) -> list[str]:
    rows = recipe.get("row", [])
    return [str(row.get("label")) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def remove_run(path: Path) -> None:
    """Remove what a run wrote, its evaluations among it, the results first; other files stay. OSError where that fails."""
    recipe: dict[str, Any] = {}
    with suppress(OSError, ValueError, RecursionError):
        recipe = tomllib.loads((path / RECIPE).read_text(encoding="utf-8"))
    rows = {path / name for name in folders(_labels(recipe)).values()}
    with suppress(InputError):
        rows |= {(path / each.folder).parent for each in read_results(path).sets}
    (path / RESULTS).unlink(missing_ok=True)
    for folder in _folders_in(path / EVALUATIONS):
        if (folder / RECIPE).is_file():
            _remove(folder, (RESULTS, PAGE, RECIPE))
    _remove(path / EVALUATIONS, ())
    for row in rows:
        remove_sets(row)
    for name in (PAGE, RECIPE):
        (path / name).unlink(missing_ok=True)


def remove_sets(row: Path, but: Sequence[Path] = ()) -> None:
    """Remove the distilled sets in a row's folder, `but` these. OSError where that fails."""
    for folder in _folders_in(row):
        if SEED.fullmatch(folder.name) and folder not in but:
            _remove(folder, (SET, HISTORY, PICTURE))
    _remove(row, ())


def _folders_in(path: Path) -> list[Path]:
    return [each for each in path.iterdir() if each.is_dir()] if path.is_dir() else []


def _remove(folder: Path, names: Sequence[str]) -> None:
    """Remove these files of a folder, and it where nothing else is in it."""
    for name in names:
        (folder / name).unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def results_change(path: Path, results: Results) -> bool:
    """Whether the results in the folder are others than these, or none."""
    try:
        return (path / RESULTS).read_text(encoding="utf-8") != results.text()
    except (OSError, ValueError):
        return True
