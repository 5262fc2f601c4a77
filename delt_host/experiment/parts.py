"""The one way from a name and options to a component: under an experiment's dataset, what that suggests, and ``--set``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from delt_host.basics.errors import InputError, near, unknown
from delt_host.basics.options import build
from delt_host.basics.settings import named_table
from delt_host.basics.version import STAGES
from delt_host.contracts.component import Component
from delt_host.contracts.dataset import Dataset
from delt_host.contracts.matcher import Matcher
from delt_host.experiment.experiment import Named
from delt_host.plugins.registry import Registry

DEFAULT_DATASET = "digits"
NOTHING: Mapping[str, Any] = MappingProxyType({})


class Parts:
    """Makes the components of one experiment by name, all under the same dataset and ``--set`` options.

    Options are taken, later over earlier, from: the component's defaults, what it is `given`, ``--set``, and what is its `own`.
    """

    def __init__(self, registry: Registry, dataset: Any, sets: Mapping[str, Any]) -> None:
        """`dataset` as a request has it; it is made first, as it suggests options for all others."""
        self.registry, self.sets = registry, dict(sets)
        self.used: set[str] = set()
        """The ``--set`` options that some component took."""
        self.options: dict[str, set[str]] = {}
        """What ``--set`` may change, by stage."""
        self.dataset = self._dataset(dataset)
        self.suggested = dict(self.dataset.component.suggested)
        self.published_as = self.dataset.component.published_as or self.dataset.name

    def make(
        self,
        stage: str,
        name: str,
        given: Mapping[str, Any],
        own: Mapping[str, Any] = NOTHING,
        kind: str = "",
    ) -> Named[Any]:
        """The component of this name, and of the kind that the stage is called by unless another is given.

        InputError for a name or an option that nobody knows.
        """
        cls = self.registry.get(kind or stage, name)
        options = settable(cls)
        self.options.setdefault(stage, set()).update(options)
        merged = {**given, **self.set_for(stage, options), **own}
        return Named(name, build(cls, merged, stage if kind else f"{stage} {name}", self.registry))

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
        """InputError for a ``--set`` option that no component took, with the nearest one."""
        for key in self.sets:
            if key in self.used:
                continue
            stage, _, option = key.partition(".")
            stages = {"dataset", "teacher", "protocol", "form", *STAGES}
            if stage not in stages:
                raise unknown("stage", stage, stages)
            known = sorted(self.options.get(stage, ()))
            raise InputError(
                f"no {stage} in this run has an option {option!r}{near(option, known)} (options: {', '.join(known) or 'none'})"
            )

    def _dataset(self, given: Any) -> Named[Dataset]:
        place = ""
        if isinstance(given, str):
            name, _, place = given.partition(":")
            options: dict[str, Any] = {}
        else:
            name, options = named_table({} if given is None else given, "the dataset of the recipe", DEFAULT_DATASET)
        location = self.registry.get("dataset", name).location
        if place:
            if not location:
                raise InputError(f"dataset {name} is read from no place; leave out ':{place}'")
            options[location] = place
        made = self.make(
            "dataset", name, {**options, **self.set_for("dataset")}
        )  # all of it: there is no other dataset
        lies = getattr(made.component, location) if location else ""
        if lies and os.path.lexists(found := os.path.expanduser(lies)):  # noqa: PTH111
            # Where it lies whichever folder the recipe is read in; what is no path here may be a name elsewhere.
            return Named(name, made.component.model_copy(update={location: os.path.abspath(found)}))  # noqa: PTH100
        return made


def settable(cls: type[Component]) -> list[str]:
    """The options that ``--set`` reaches: all but the networks of a matcher that has no choice."""
    asks_teachers = issubclass(cls, Matcher) and cls.of_teachers
    return [name for name in cls.model_fields if not (name == "networks" and asks_teachers)]


def of_stage(stage: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The options of one stage out of ``{"scheduler.iterations": 5}``."""
    return {key.partition(".")[2]: value for key, value in settings.items() if key.partition(".")[0] == stage}
