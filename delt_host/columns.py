"""The regimes of a comparison, from the words of the command line and of recipes: NAME, or RELABELER:PROTOCOL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from delt_host.errors import InputError
from delt_host.experiment import Column, Named
from delt_host.methods import Choice
from delt_host.options import build, parse_assignment
from delt_host.plugins import Registry
from delt_host.protocols import Protocol
from delt_host.regimes import Regime
from delt_host.request import split_spec
from delt_host.set_options import SetOptions, in_the_datasets_committee, of_stage
from delt_host.settings import word

DEFAULT_REGIMES, WITHOUT_TEACHER = ("hard", "views"), ("hard",)
STAGES = ("relabeler", "protocol")


@dataclass
class ColumnMaker:
    """Makes the regimes of the comparison, all under the same dataset, suggestions and ``--set`` options."""

    registry: Registry
    dataset: str
    suggested: Mapping[str, Any]
    """By ``protocol.OPTION`` for every protocol, and by ``protocol.NAME.OPTION`` for the one of that name."""
    sets: SetOptions
    options_seen: dict[str, Set[str]] = field(default_factory=dict)

    def columns(self, given: Sequence[str | Mapping[str, Any]], teacher: bool = True) -> tuple[Column, ...]:
        """Those asked for, or the default ones of a run with or without a teacher; InputError for two that are the same."""
        asked = given or (DEFAULT_REGIMES if teacher else WITHOUT_TEACHER)
        made = [self.from_spec(one) if isinstance(one, str) else self.from_table(one) for one in asked]
        for place, column in enumerate(made):
            for other in made[:place]:
                if column.name == other.name or column.same(other):
                    raise InputError(f"the regimes {other.name!r} and {column.name!r} are the same; leave one out")
        return tuple(made)

    def from_spec(self, spec: str) -> Column:
        """A regime from ``NAME`` or ``RELABELER:PROTOCOL``, with ``,STAGE.OPTION=VALUE`` after it; called by what was said."""
        name, assignments = split_spec(spec)
        relabeler, colon, students = name.partition(":")
        if colon:
            chosen = {"relabeler": Choice(name=relabeler), "protocol": Choice(name=students)}
        else:
            regime: Regime = self.registry.get("regime", name)
            chosen = {
                "relabeler": in_the_datasets_committee(regime.relabeler, self.suggested),
                "protocol": regime.protocol,
            }
        own = dict(parse_assignment(assignment) for assignment in assignments)
        for key in own:
            if key.partition(".")[0] not in STAGES:
                raise InputError(f"regime {spec!r}: {key} is no option of a relabeler or protocol")
        return self._column(",".join([name, *assignments]), chosen, own)

    def from_table(self, table: Mapping[str, Any]) -> Column:
        """A regime from a recipe's ``[[regime]]`` table: a name with a relabeler and a protocol, each with its own options."""
        said = word(table.get("name", ""), "name of a regime of the recipe")
        where = f"regime {said!r} of the recipe"
        if unknown := sorted(set(table) - {"name", "summary", "source", *STAGES}):
            raise InputError(f"{where} has no key {unknown[0]!r} (keys: name, {', '.join(STAGES)})")
        if set(STAGES).isdisjoint(table):
            return self.from_spec(said)
        regime = build(Regime, {"summary": "", **{k: v for k, v in table.items() if k != "name"}}, where)
        name = said or f"{regime.relabeler.name}:{regime.protocol.name}"
        return self._column(name, {"relabeler": regime.relabeler, "protocol": regime.protocol}, {})

    def _column(self, name: str, chosen: Mapping[str, Choice], own: Mapping[str, Any]) -> Column:
        own_of = {stage: of_stage(stage, own) for stage in STAGES}
        return Column(
            name,
            self._relabeler(chosen["relabeler"], own_of["relabeler"]),
            self._protocol(chosen["protocol"], own_of["protocol"]),
        )

    def _relabeler(self, choice: Choice, own: Mapping[str, Any]) -> Named[Any]:
        cls = self.registry.get("relabeler", choice.name)
        fields = list(cls.model_fields)
        self._saw("relabeler", fields)
        suggested = {k: v for k, v in of_stage("relabeler", self.suggested).items() if k in fields}
        options = {**suggested, **choice.options}
        options |= {**self.sets.of("relabeler", fields), **own}
        return Named(choice.name, build(cls, options, f"relabeler {choice.name}", self.registry))

    def _protocol(self, choice: Choice, own: Mapping[str, Any]) -> Named[Protocol]:
        cls = self.registry.get("protocol", choice.name)
        fields = list(cls.model_fields)
        self._saw("protocol", fields)
        every, this = self.suggested_for(choice.name)
        published = cls.datasets.get(self.dataset, {})
        given = {**choice.options, **self.sets.of("protocol", fields), **own}
        return Named(
            choice.name, build(cls, {**published, **every, **this, **given}, f"protocol {choice.name}", self.registry)
        )

    def suggested_for(self, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the dataset suggests for every protocol, and for the one of this name."""
        found = of_stage("protocol", self.suggested)
        every = {option: value for option, value in found.items() if "." not in option}
        return every, of_stage(name, {option: value for option, value in found.items() if "." in option})

    def _saw(self, stage: str, fields: Sequence[str]) -> None:
        self.options_seen[stage] = {*self.options_seen.get(stage, ()), *fields}
