"""``--set STAGE.OPTION=VALUE``: which options of which stage were given, and whether each was of use."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence, Set
from typing import Any

from delt_host.components import STAGES
from delt_host.errors import InputError, unknown
from delt_host.methods import Choice


class SetOptions:
    """The ``--set`` options, remembering which were of use."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.given = dict(given)
        self.used: set[str] = set()

    def of(self, stage: str, options: Sequence[str] | None = None) -> dict[str, Any]:
        """What is set for a stage, restricted to the options that its component has."""
        found = {}
        for key, value in self.given.items():
            at, _, option = key.partition(".")
            if at == stage and (options is None or option in options):
                self.used.add(key)
                found[option] = value
        return found

    def check_all_used(self, seen: Mapping[str, Set[str]]) -> None:
        for key in self.given:
            if key in self.used:
                continue
            stage, _, option = key.partition(".")
            stages = {"dataset", "teacher", "protocol", "form", *STAGES}
            if stage not in stages:
                raise unknown("stage", stage, stages)
            known = sorted(seen.get(stage, set()))
            near = difflib.get_close_matches(option, known, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise InputError(
                f"no {stage} in this run has an option {option!r}{hint} (options: {', '.join(known) or 'none'})"
            )


def of_stage(stage: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The options of one stage out of ``{"scheduler.iterations": 5}``."""
    return {key.partition(".")[2]: value for key, value in settings.items() if key.partition(".")[0] == stage}


def in_the_datasets_committee(choice: Choice, suggested: Mapping[str, Any]) -> Choice:
    """The choice with the committee that the dataset suggests, smaller for short runs, where it asks several teachers."""
    if len(choice.options.get("teachers", ())) < 2 or "committee" not in suggested:
        return choice
    return Choice(name=choice.name, options={**choice.options, "teachers": suggested["committee"]})
