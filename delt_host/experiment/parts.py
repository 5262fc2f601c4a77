"""The one way from a name and options to a component: under an experiment's dataset, what that suggests, and ``--set``."""

from __future__ import annotations

import copy
import os
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from delt_host.basics import file_words
from delt_host.basics.errors import InputError, near, unknown
from delt_host.basics.options import build
from delt_host.basics.settings import named_table, shown
from delt_host.contracts.component import Component
from delt_host.contracts.dataset import Dataset
from delt_host.contracts.matcher import Matcher
from delt_host.experiment.experiment import Named
from delt_host.experiment.grid import is_sweep
from delt_host.experiment.request import parse_sets
from delt_host.plugins import lookup
from delt_host.plugins.catalogue import everything
from delt_host.plugins.registry import Provided, Registry
from delt_host.plugins.words import KIND_OF_STAGE

DEFAULT_DATASET = "digits"
FOLDER = "folder"
"""The dataset that reads a folder of images, where a plugin provides it."""
NOTHING: Mapping[str, Any] = MappingProxyType({})


class Parts:
    """Makes the components of one experiment by name, all under the same dataset and ``--set`` options.

    Options are taken, later over earlier, from: the component's defaults, what it is `given`, ``--set``, what an object has,
    and what is its `own`.
    """

    def __init__(self, registry: Registry, dataset: Any, sets: Mapping[str, Any]) -> None:
        """`dataset` as a request has it; it is made first, as it suggests options for all others."""
        self.registry, self.sets = registry, dict(sets)
        self.used: set[str] = set()
        """The ``--set`` options that some component took."""
        self.options: dict[str, set[str]] = {}
        """What ``--set`` may change, by stage."""
        self.objects: list[str] = []
        """What was given as objects in Python among all that was asked for."""
        self.dataset = self._dataset(dataset)
        self.suggested = dict(self.dataset.component.suggested)
        self.published_as = self.dataset.component.published_as or self.dataset.name

    def bare(self) -> Parts:
        """The same without what ``--set`` says and the dataset suggests: what is published is left."""
        parts = copy.copy(self)
        parts.sets, parts.suggested, parts.used, parts.options, parts.objects = {}, {}, set(), {}, []
        return parts

    def make(
        self,
        stage: str,
        name: str,
        given: Mapping[str, Any],
        own: Mapping[str, Any] = NOTHING,
        kind: str = "",
        unset: Collection[str] = (),
    ) -> Named[Any]:
        """The component of this name, and of the kind that the stage is called by unless another is given.

        What ``--set`` says of the options `unset` is not for it. InputError for a name or an option that nobody knows.
        """
        name, offer = self.registry.called(kind or stage, name), self.provider(kind or stage, name)
        cls, options = offer.thing, settable(offer.thing)
        self.options.setdefault(stage, set()).update(options)
        merged = {
            **given,
            **self.set_for(stage, [each for each in options if each not in unset]),
            **offer.options,
            **own,
        }
        where = stage if kind else f"{stage} {file_words.short_name(name)}"
        return Named(name, build(cls, merged, where, self.registry))

    def provider(self, kind: str, name: str) -> Provided:
        """Whatever goes by this name, remembered where it is an object; of a method or regime a recipe has the parts."""
        offer = self.registry.provider(kind, name)
        said = f"{kind} {name}"
        if offer.plugin.here and kind not in ("method", "regime") and said not in self.objects:
            self.objects.append(said)
        return offer

    def swept(self, stage: str, name: str, own: Mapping[str, Any] = NOTHING) -> dict[str, list[Any]]:
        """The options of a component to which ``--set`` or its `own` options give several values to try."""
        offer = self.registry.provider(stage, name)
        cls, options = offer.thing, [option for option in settable(offer.thing) if option not in offer.options]
        said = {option: value for option, value in of_stage(stage, self.sets).items() if option in options} | dict(own)
        return {option: value for option, value in said.items() if is_sweep(cls, option, value, self.registry)}

    def suggestions(
        self, stage: str, name: str, published: Mapping[str, Any] = NOTHING, kind: str = ""
    ) -> dict[str, Any]:
        """What the dataset suggests by ``STAGE.OPTION`` and ``STAGE.NAME.OPTION``, with what is `published` over it, as far as
        the component has these options: they may be meant for another one of the stage."""
        fields = self.registry.get(kind or stage, name).model_fields
        every = of_stage(stage, self.suggested)
        layers = (every, of_stage(name, every), published)
        return {option: value for layer in layers for option, value in layer.items() if option in fields}

    def with_committee(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """The options with the teachers that the dataset suggests, smaller for short runs, where several are asked."""
        if len(options.get("teachers", ())) < 2 or "committee" not in self.suggested:
            return options
        return {**options, "teachers": self.suggested["committee"]}

    def set_for(self, stage: str, options: Sequence[str] | None = None) -> dict[str, Any]:
        """What ``--set`` says of a stage, restricted to these options."""
        found = {o: v for o, v in of_stage(stage, self.sets).items() if options is None or o in options}
        self.used |= {f"{stage}.{option}" for option in found}
        return found

    def check_all_used(self) -> None:
        """InputError for a ``--set`` option that no component took, with the nearest one, or who or which stage has it."""
        for key, value in self.sets.items():
            if key in self.used:
                continue
            found = everything(self.registry)
            stage, _, option = key.partition(".")
            text = value if isinstance(value, str) else shown(value)
            way = lookup.as_set(found, option or stage, text)
            if not option and way:
                raise InputError(f"{key} names no stage: {way}")
            if stage not in KIND_OF_STAGE:
                raise InputError(f"{unknown('stage', stage, KIND_OF_STAGE)}{f'; use {way}' if way else ''}")
            known = sorted(self.options.get(stage, ()))
            if option.partition(".")[0] in known:
                raise InputError(f"{key}: --set has whole options alone; write --method NAME,{key}={text}")
            others = lookup.with_option(found, option, [stage]).get(stage, [])
            if others:
                meant = f", as {' and '.join(record['name'] for record in others)} would have"
            else:
                here = lookup.as_set(found, option, text, [stage])
                meant = near(option, known) or (f"; use {here or way}" if here or way else "")
            raise InputError(
                f"no {stage} in this run has an option {option!r}{meant} (options: {', '.join(known) or 'none'})"
            )

    def assigned(self, spec: str, assignments: Sequence[str], stages: Sequence[str]) -> dict[str, Any]:
        """``STAGE.OPTION=VALUE`` of a spec, for parts of these stages; InputError, with the stage, where one has none."""
        for each in assignments:
            name, equals, value = each.partition("=")
            if equals and "." not in name and (reached := lookup.addresses(everything(self.registry), name, stages)):
                way = " or ".join(f"{address}={value}" for address in reached)
                raise InputError(f"{spec!r}: {each} names no stage: {way}")
        return parse_sets(assignments)

    def _dataset(self, given: Any) -> Named[Dataset]:
        place = ""
        if isinstance(given, str):
            name, *rest = file_words.parts(given)
            options, place = dict[str, Any](), ":".join(rest)
        else:
            name, options = named_table({} if given is None else given, "the dataset of the recipe", DEFAULT_DATASET)
        if (
            (known := self.registry.names("dataset"))
            and name not in known
            and FOLDER in known
            and not file_words.file_word(name)
        ):
            check_no_path(given if place else name)
        name, cls = self.registry.called("dataset", name), self.provider("dataset", name).thing
        location = cls.location
        if place:
            if not location:
                raise InputError(f"dataset {file_words.short_name(name)} is read from no place; leave out ':{place}'")
            options[location] = place
        if (
            location
            and cls.model_fields[location].is_required()
            and location not in {**options, **self.set_for("dataset")}
        ):
            raise InputError(f"dataset {name} is read from a place: {name}:{location.upper()}")
        made = self.make(
            "dataset", name, {**options, **self.set_for("dataset")}
        )  # all of it: there is no other dataset
        lies = getattr(made.component, location) if location else ""
        if lies and os.path.lexists(found := os.path.expanduser(lies)):  # noqa: PTH111
            # Where it lies whichever folder the recipe is read in; what is no path here may be a name elsewhere.
            return Named(name, made.component.model_copy(update={location: os.path.abspath(found)}))  # noqa: PTH100
        return made


def check_no_path(name: str) -> None:
    """InputError where an unknown dataset's name is that of a folder, or written as one is: a folder's dataset was left out."""
    if os.path.isdir(os.path.expanduser(name)):  # noqa: PTH111, PTH112
        raise InputError(f"unknown dataset {name!r}, which is a folder here; did you mean {FOLDER}:{name}?")
    if name.startswith(("~", ".")) or "/" in name or os.sep in name:
        raise InputError(f"unknown dataset {name!r}, and no such folder; a folder of images is {FOLDER}:PATH")


def settable(cls: type[Component]) -> list[str]:
    """The options that ``--set`` reaches: all but the networks of a matcher that has no choice."""
    asks_teachers = issubclass(cls, Matcher) and cls.of_teachers
    return [name for name in cls.model_fields if not (name == "networks" and asks_teachers)]


def of_stage(stage: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The options of one stage out of ``{"scheduler.iterations": 5}``."""
    return {key.partition(".")[2]: value for key, value in settings.items() if key.partition(".")[0] == stage}
