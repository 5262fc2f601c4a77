"""A run's records as the plain mappings that intervals are worked out of."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from delt_host.compare.intervals import Design
from delt_host.contracts.results import Results, RowRecord, Score


def values(scores: Collection[Score], name: str) -> dict[int, dict[int, float]]:
    """A named score by set, by student; without those that failed or lack it."""
    found: dict[int, dict[int, float]] = {}
    for score in scores:
        if not score.failure and (value := score.scores.get(name)) is not None:
            found.setdefault(score.set, {})[score.student] = value
    return found


def tables(results: Results) -> dict[tuple[str, str], dict[str, dict[int, dict[int, float]]]]:
    """By evaluator and regime, in the table's order: the headline scores of each row that has some."""
    heads = {evaluator.title: evaluator.headline for evaluator in results.evaluators}
    found: dict[tuple[str, str], dict[str, list[Score]]] = {
        (title, regime): {} for title in heads for regime in ("", *(each.name for each in results.regimes))
    }
    for score in results.scores:
        found.get((score.evaluator, score.regime), {}).setdefault(score.row, []).append(score)
    return {
        (title, regime): {
            row.label: own for row in results.rows if (own := values(scored.get(row.label, ()), heads[title]))
        }
        for (title, regime), scored in found.items()
        if scored
    }


def headline_rows(results: Results) -> dict[str, dict[str, dict[int, dict[int, float]]]]:
    """Of the first evaluator, by regime."""
    first = results.evaluators[0].title if results.evaluators else ""
    return {regime: rows for (title, regime), rows in tables(results).items() if title == first}


def design_of(results: Results, pilot: int | None = None) -> Design:
    """How its sets came about; `pilot` where the results do not say it yet."""
    worked_out = {evaluator.title for evaluator in results.evaluators if evaluator.per == "table"}
    teachers = {score.set: score.teacher for score in results.scores if score.evaluator not in worked_out}
    order = results.recipe.get("seeds") or sorted(teachers)
    return Design(tuple(order), results.pilot if pilot is None else pilot, teachers)


def reference(results: Results, among: Collection[str] | Mapping[str, object] | None = None) -> str | None:
    """The row that the others are held against: the first control, else the first baseline, else the first method.

    `among`: only of rows with these labels, as those that did not fail. None where there is none.
    """
    by_role: dict[str, RowRecord] = {}
    for row in results.rows:
        if among is None or row.label in among:
            by_role.setdefault(row.role, row)
    for role in ("control", "baseline", "method"):
        if role in by_role:
            return by_role[role].label
    return None
