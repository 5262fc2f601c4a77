"""Things in files: ``--matcher ./mine.py:Mine`` needs neither a package nor a hook.

What is in a file is checked as what plugins give is. It goes by the file's whole path from then on, so that a recipe repeats a
run from wherever it is read.
"""

from __future__ import annotations

import inspect
import os
import types
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, create_model

from delt_host.basics import file_words, traces
from delt_host.basics.errors import InputError, near
from delt_host.basics.guard import OF_IMPORTS, SHARED, Guarded
from delt_host.contracts.kinds import KINDS
from delt_host.contracts.methods import Choice
from delt_host.plugins.offers import at, problem_of
from delt_host.plugins.plugin import Plugin, Provided
from delt_host.store import loose_files
from delt_host.store.code_identity import code_of, modules_of


class Files:
    """The files that something was asked of. Each is read once: what was edited since is another run's."""

    def __init__(self) -> None:
        self.remarks: list[str] = []
        """A sentence for each thing that one changed of the process while it was imported."""
        self._modules: dict[Path, tuple[types.ModuleType, Plugin]] = {}
        self._found: dict[tuple[str, str], Provided] = {}
        self._sent: dict[Path, Path] = {}

    @property
    def plugins(self) -> list[Plugin]:
        """A record for each file."""
        return [replace(each, module=file_words.plain_module(each.module)) for _, each in self._modules.values()]

    def asked(self, kind: str) -> dict[str, Provided]:
        """What was asked for of a kind, by its name in every folder."""
        return {name: found for (of, name), found in self._found.items() if of == kind}

    def get(self, kind: str, word: str) -> Provided:
        """What is meant by ``PATH.py:NAME``, or by ``PATH.py`` where there is one thing of the kind; InputError."""
        module, plugin = self._module(kind, word)
        name = (file_words.file_word(word) or ("", ""))[1] or _only(kind, word, module)
        called = f"{plugin.path}:{name}"
        if (kind, called) not in self._found:
            thing = _checked(kind, name, module)
            self._found[kind, called] = Provided(_placed(kind, called, thing, Path(plugin.path)), plugin, called)
        return self._found[kind, called]

    def kinds(self, word: str) -> list[tuple[str, str]]:
        """What ``PATH.py:NAME`` is, or all that ``PATH.py`` has: kinds and names in every folder. InputError where nothing."""
        module, plugin = self._module("", word)
        name = (file_words.file_word(word) or ("", ""))[1]
        if name and not hasattr(module, name):
            raise _missing("", name, module)
        every = [(kind, each) for each, kind in _things(module, everything=bool(name)) if name in ("", each)]
        if not every:
            raise InputError(f"{file_words.short_name(word)} is of no kind that a run is made of ({_has(module)})")
        return [(kind, f"{plugin.path}:{each}") for kind, each in every]

    def sources(self) -> dict[str, dict[str, str]]:
        """The files by their paths, each with the texts, by their paths in its folder, that another machine needs of it."""
        found: dict[str, dict[str, str]] = {}
        for path, (module, _) in self._modules.items():
            of = loose_files.texts(modules_of(module))
            found[str(path)] = {str(each.relative_to(path.parent)): text.decode() for each, text in of.items()}
        return found

    def receive(self, sources: Mapping[str, Mapping[str, str]], folder: Path) -> None:
        """Take these files, which are written into `folder`, for those at their paths on the machine that sent them."""
        for nth, (path, texts) in enumerate(sources.items()):
            for name, text in texts.items():
                place = folder / str(nth) / name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(text, encoding="utf-8", newline="")
            self._sent[Path(path)] = folder / str(nth) / Path(path).name

    def _module(self, kind: str, word: str) -> tuple[types.ModuleType, Plugin]:
        path = _absolute((file_words.file_word(word) or (word, ""))[0])
        if path not in self._modules:
            self._modules[path] = self._loaded(kind, word, path)
        return self._modules[path]

    def _loaded(self, kind: str, word: str, path: Path) -> tuple[types.ModuleType, Plugin]:
        place = self._sent.get(path, path)
        if not place.is_file():
            raise InputError(f"{kind} {word}: {_no_file(place)}".lstrip())
        try:
            with Guarded(lambda: f"{path}, imported,", self.remarks.append, (*SHARED, *OF_IMPORTS)):
                module = loose_files.load(place)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # it may fail in any way, sys.exit() too
            traces.give(error)
            files = [name for name in traces.plugins if name.startswith(file_words.PREFIX)]
            raise InputError(f"{path} cannot be imported: {traces.told(error, files)}") from error
        return module, Plugin(path.name, path.name, "", module.__name__, path=str(path), code=code_of(module))


def _absolute(path: str) -> Path:
    """Where a file lies, by whichever of its names it was found: links stay what they are."""
    return Path(os.path.abspath(os.path.expanduser(path)))  # noqa: PTH100, PTH111 - without `..`


def _no_file(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"there is no folder {folder}"
    others = sorted(each.name for each in folder.glob("*.py"))
    return f"there is no file {path}{near(path.name, others)}"


def _only(kind: str, word: str, module: types.ModuleType) -> str:
    """The one thing of a kind that a file has."""
    names = [name for name, of in _things(module) if of == kind]
    if len(names) != 1:
        many = f"has {len(names)} of kind {kind}" if names else f"has no {kind}"
        raise InputError(f"{_file(module)} {many}: name what is meant, as in {word}:NAME ({_has(module)})")
    return names[0]


def _checked(kind: str, name: str, module: types.ModuleType) -> Any:
    if not hasattr(module, name):
        raise _missing(kind, name, module)
    thing = getattr(module, name)
    others = [of for of in KINDS if of != kind and not KINDS[of].takes and _is_of(of, thing)]
    problem = problem_of(kind, "", thing)
    if others and (problem or KINDS[kind].takes):
        raise InputError(f"{name} in {_file(module)} is a {others[0]}, and a {kind} is asked for ({_has(module)})")
    if problem:
        raise InputError(f"{name} in {_file(module)} is no {kind}: it {problem}{at(thing)}")
    return thing


def _missing(kind: str, name: str, module: types.ModuleType) -> InputError:
    known = [each for each, of in _things(module) if kind in ("", of)]
    return InputError(f"{_file(module)} has no {name!r}{near(name, known)} ({_has(module)})")


def _has(module: types.ModuleType) -> str:
    """`it has: matcher Mine, Other; scheduler Slow`."""
    by_kind: dict[str, list[str]] = {}
    for name, kind in _things(module):
        by_kind.setdefault(kind, []).append(name)
    said = "; ".join(f"{kind} {', '.join(names)}" for kind, names in by_kind.items())
    return f"it has: {said}" if said else "it has nothing of any kind"


def _things(module: types.ModuleType, everything: bool = False) -> Iterator[tuple[str, str]]:
    """What a file defines, each with the kind it is of; `everything` in it also counts where it is imported or private."""
    for name, thing in vars(module).items():
        own = getattr(thing, "__module__", module.__name__) == module.__name__ or not _is_code(thing)
        if everything or (own and not name.startswith("_")):
            yield from ((name, kind) for kind in KINDS if _is_of(kind, thing))


def _is_of(kind: str, thing: Any) -> bool:
    """Whether it is of a kind; of functions only those whose first argument is called for classes are taken for networks'."""
    if not KINDS[kind].takes:
        return not problem_of(kind, "", thing)
    if kind != "model" or not _is_code(thing):
        return False
    try:
        asked = inspect.signature(thing)
        asked.bind(0, 0)
    except (TypeError, ValueError):
        return False
    return "class" in next(iter(asked.parameters))


def _is_code(thing: Any) -> bool:
    return isinstance(thing, type) or inspect.isfunction(thing)


def _file(module: types.ModuleType) -> str:
    return Path(str(module.__file__)).name


def _placed(kind: str, called: str, thing: Any, path: Path) -> Any:
    """As it is known in every folder: what it names in files lies where it does, a network source has its name as option."""
    if KINDS[kind].value:
        return thing.model_copy(
            update={of: _choice(choice, path) for of, choice in thing if isinstance(choice, Choice)}
        )
    if kind != "network_source":
        return thing
    options: dict[str, Any] = {"name": (Literal[called], Field(called, description="Its name."))}
    return create_model(thing.__name__, __base__=thing, __module__=thing.__module__, **options)


def _choice(choice: Choice, path: Path) -> Choice:
    found = file_words.file_word(choice.name)
    return (
        choice.model_copy(update={"name": f"{_absolute(str(path.parent / found[0]))}:{found[1]}"}) if found else choice
    )
