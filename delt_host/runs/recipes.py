"""Two recipes of runs beside each other: whether one only adds to the other, and where they differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from delt_host.experiment.experiment import BUDGETS

ADDED_TO = ("row", "regime", "evaluator", "seeds")
"""Of what a recipe may have more, in any order: what is made and scored of one does not depend on the others."""

DECIDED = ("seeds", "students", "pilot")
"""What a run with ``--resolve`` or ``--budget`` decides after its pilot."""


def adds_to(recipe: Mapping[str, Any], former: Mapping[str, Any]) -> bool:
    """Whether it is the former one, or has only more than that: rows, seeds, students, regimes, evaluators, and behind the
    former teachers those that its rows ask."""
    counted = {*ADDED_TO, "teacher", "students", "ceiling_epochs", "objects"}
    if any(former.get(key) != recipe.get(key) for key in {*former, *recipe} - counted):
        return False
    for key in ADDED_TO:
        before = former.get(key)
        if key == "seeds" and before is None and recipe.get(key) is None:
            continue  # neither has decided on them
        if not isinstance(before, list) or any(each not in recipe.get(key, ()) for each in before):
            return False
    if _out_of_place(former, recipe):
        return False
    if not {*(former.get("objects") or ())} <= {*(recipe.get("objects") or ())}:
        return False
    if (
        former.get("match") in BUDGETS and former["row"][:1] != recipe["row"][:1]
    ):  # whose budget all others are brought to
        return False
    if former.get("ceiling_epochs") not in (0, recipe.get("ceiling_epochs")):
        return False
    teachers, students = former.get("teacher"), former.get("students")
    if not isinstance(teachers, list) or recipe.get("teacher", [])[: len(teachers)] != teachers:
        return False
    return isinstance(students, int) and students <= recipe.get("students", 1)


def with_decision(recipe: Mapping[str, Any], there: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe that has not decided how many sets and students there are, as `there`, the same run's, has decided; with more
    students where it says so."""
    asks = "resolve" in recipe or "budget" in recipe
    decided = DECIDED if asks and "pilot" not in recipe and "pilot" in there else ()
    found = {**recipe, **{name: there[name] for name in decided if name in there}}
    if decided and isinstance(found["students"], int):
        found["students"] = max(found["students"], recipe["students"])
    return found


def _out_of_place(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Why seeds may not come in another order, where they do; empty where that makes no difference."""
    before, after = there.get("seeds"), here.get("seeds")
    if not isinstance(before, list) or not isinstance(after, list) or not _has_all(after, before):
        return ""
    if after[: len(before)] == before:
        return ""
    if here.get("teacher_seeds", 1) != 1:
        return "its sets take turns among teachers, and come in another order here"
    return "its first sets decided how many there are, and come in another order here" if here.get("pilot") else ""


def difference(there: Any, here: Any, where: str = "") -> str:
    """The first place at which two recipes differ, in words."""
    if isinstance(there, list) and isinstance(here, list):
        ours = {_called(each) for each in here}
        if gone := next((called for each in there if (called := _called(each)) and called not in ours), None):
            return f"it has the {where.removesuffix('s')} {gone}, and this one has not"
        if len(there) == len(here):
            there, here = (dict(enumerate(each, 1)) for each in (there, here))
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        if not where and (why := _out_of_place(there, here)):
            return why
        more = {name for name in ADDED_TO if _has_all(here.get(name), there.get(name))} if not where else set()
        there, here = ({name: value for name, value in each.items() if name not in more} for each in (there, here))
        for name in [*here, *(name for name in there if name not in here)]:
            if there.get(name) != here.get(name):
                place = f"{where} {name}" if isinstance(name, int) else f"{where}.{name}".removeprefix(".")
                return difference(there.get(name), here.get(name), place)
    if isinstance(there, list | Mapping) or isinstance(here, list | Mapping):
        return f"its {where} is another"
    return f"{where} is {there!s:.60} there, and {here!s:.60} here"


def _has_all(here: Any, there: Any) -> bool:
    """Whether a list has what the other one has, and so is no difference that matters."""
    return isinstance(here, list) and isinstance(there, list) and all(each in here for each in there)


def _called(entry: Any) -> str:
    """What an entry of a recipe's list is called by; empty where it has no name."""
    if isinstance(entry, Mapping):
        name = entry.get("label", entry.get("name", ""))
        return repr(name)[:80] if name else ""
    return str(entry) if isinstance(entry, int) else ""
