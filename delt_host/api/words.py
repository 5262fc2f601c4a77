"""From what a caller of Python gives, names and objects mixed, to a request of names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from delt_host.basics.errors import InputError
from delt_host.contracts.component import Component
from delt_host.contracts.dataset import Dataset
from delt_host.contracts.methods import Method
from delt_host.contracts.observer import Observer
from delt_host.contracts.squeezer import Squeezer
from delt_host.contracts.teacher import Teacher, Trained
from delt_host.experiment.request import ROW_PARTS, Request
from delt_host.plugins.given import GIVEN, Given, beside
from delt_host.plugins.given_data import dataset_of
from delt_host.plugins.registry import Provided, Registry, load_registry

LISTS = {"method": "method", "baseline": "method", "control": "method", "regime": "regime"}
"""Arguments that are lists, and the kind of thing in them."""

Part = str | Component | type[Component]
"""A component: its name, itself, or its class."""
Row = str | Method
"""A method, as ``--method`` takes it or itself."""
Network = str | Any
"""Of a student: its name, or a function from (number of classes, image size) to a module."""


def request_of(said: Mapping[str, Any], given: Given) -> Request:
    """The request that these arguments are, None and empty ones left out; objects among them get names in `given`.

    InputError for an object that has no place where it is given.
    """
    words = {name: value for name, value in said.items() if value is not None}
    words["set"] = dict(words.get("set", {}))
    if words.pop("skip_bad_images", False):
        words["set"]["dataset.skip_bad_images"] = True
    if not words.pop("controls", True):
        words["control"] = []
    for name in ROW_PARTS:
        if name in words:
            words[name] = given.word(name, words[name])
    for name, kind in LISTS.items():
        if name in words:
            words[name] = [each if isinstance(each, dict) else given.word(kind, each) for each in listed(words[name])]
    if "evaluator" in words:
        words["evaluator"] = [
            each if isinstance(each, dict) else given.word("evaluator", each) for each in listed(words["evaluator"])
        ]
    if "student" in words:
        words["student"] = [given.word("model", each) for each in listed(words["student"])]
    if "teacher" in words:
        words["teacher"] = [_teacher(each, given) for each in listed(words["teacher"])]
    if "dataset" in words:
        asked = words["dataset"]  # a list is several, a tuple of images and classes is one
        words["dataset"] = (
            [_dataset(each, given) for each in asked] if isinstance(asked, list) else _dataset(asked, given)
        )
    for name in ("plugins", "prefer"):
        if name in words:
            words[name] = listed(words[name])
    return Request.from_table(words, "delt_host:")


def listed(value: Any) -> list[Any]:
    """Several, or one."""
    return list(value) if isinstance(value, list | tuple) else [value]


class Objects(NamedTuple):
    """What a run was given as objects in this process: whoever goes on with it need not give them again."""

    offers: dict[tuple[str, str], Provided]
    """By kind and name."""
    teachers: list[Any]
    """Of its request, where one of them is an object."""


_objects: dict[Path, Objects] = {}
"""By the folders of runs."""


def remember(folder: Path, registry: Registry, request: Request) -> None:
    """Keep what the run in a folder was given, as long as this process lives."""
    offers = {
        (kind, name): offer
        for kind, entries in registry.provided.items()
        for name, offer in entries.items()
        if offer.plugin is GIVEN
    }
    teachers = list(request.teacher) if any(not isinstance(each, str | dict) for each in request.teacher) else []
    if request.objects:
        _objects[folder] = Objects(offers, teachers)


def known(folder: Path) -> bool:
    """Whether the objects of the run in a folder are at hand."""
    return folder in _objects


def with_teachers(there: Request, folder: Path) -> Request:
    """The recipe of a folder's run with the teachers that were given as objects in their places."""
    given = _objects[folder].teachers if folder in _objects else []
    return there.model_copy(update={"teacher": [*given, *there.teacher[len(given) :]]}) if given else there


def opened(there: Request, said: Mapping[str, Any], folder: Path | None = None) -> Given:
    """What is installed, as far as a recipe and the caller want it, and what the run in a folder was given; objects come to
    it."""
    chosen = {name: listed(said.get(name) or []) for name in ("plugins", "prefer")}
    wanted = there.updated(Request.from_table(chosen, "delt_host:"))
    registry = load_registry(wanted.plugins, wanted.prefer)
    for (kind, name), offer in _objects[folder].offers.items() if folder in _objects else ():
        registry = beside(registry, kind, name, offer)
    return Given(registry)


def observers_of(given: Any, objects: Given) -> list[str]:
    """The names of those that are also told."""
    return [each if isinstance(each, str) else _observer(each, objects) for each in listed(given or [])]


def _teacher(given: Any, objects: Given) -> Any:
    """A word or table of a request, or a teacher as it is."""
    if isinstance(given, str | dict | Teacher):
        return given
    if isinstance(given, Path):
        return str(given)
    if isinstance(given, Squeezer) or (isinstance(given, type) and issubclass(given, Squeezer)):
        return {"squeezer": objects.word("squeezer", given)}
    if isinstance(given, nn.Module):
        return Trained(given, objects.word_of_network(given))
    return objects.word("model", given)


def _dataset(given: Any, objects: Given) -> Any:
    if isinstance(given, Path):
        raise InputError(f"the dataset {given} is a path; a folder of class folders is read as 'folder:{given}'")
    if isinstance(given, str) or (isinstance(given, Mapping) and "name" in given):
        return given
    if isinstance(given, Dataset) or (isinstance(given, type) and issubclass(given, Dataset)):
        return objects.word("dataset", given)
    return objects.word("dataset", dataset_of(given))


def _observer(given: Any, objects: Given) -> str:
    if isinstance(given, type):
        return objects.word("observer", given)
    if not isinstance(given, Observer):
        raise InputError(f"an observer is a name, a delt_host.Observer or its class, not a {type(given).__name__}")
    return objects.word_of_observer(given)
