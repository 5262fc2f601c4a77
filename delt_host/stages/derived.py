"""Scores that are worked out of scores, once all others are there: of the evaluators that are per table."""

from __future__ import annotations

from delt_host.basics.errors import InputError, RunError
from delt_host.contracts.evaluator import Evaluator, check_contract
from delt_host.contracts.results import Results, Score
from delt_host.experiment.experiment import Experiment, Named
from delt_host.stages.host import Host


def derived(experiment: Experiment, results: Results, host: Host) -> tuple[Score, ...]:
    """The scores of every such evaluator, whose failure is told of each row that has a set."""
    found: list[Score] = []
    for named in experiment.evaluators:
        if named.component.per == "table":
            found += _of(named, results, host)
    return tuple(found)


def _of(named: Named[Evaluator], results: Results, host: Host) -> list[Score]:
    try:
        with host.running("evaluator", named):
            check_contract(named.component)
            scores = list(named.component.derive(results))
            _check(scores, named.component, results)
            return scores
    except (InputError, RunError) as error:
        host.observer.note(str(error))
        title, rows = named.component.title, [row.label for row in results.rows if row.role != "ceiling"]
        sets = list(dict.fromkeys(score.set for score in results.scores))
        return [
            Score(row=row, evaluator=title, set=number, scores={}, failure=str(error))
            for row in rows
            for number in sets
        ]


def _check(scores: list[Score], evaluator: Evaluator, results: Results) -> None:
    """RunError for a score of something that the run has not."""
    rows, regimes = {row.label for row in results.rows}, {"", *(regime.name for regime in results.regimes)}
    for score in scores:
        if score.evaluator != evaluator.title or score.row not in rows or score.regime not in regimes:
            raise RunError(
                f"it gave a score of {score.evaluator!r}, {score.row!r}, {score.regime!r}, which is not in the run"
            )
        if not score.failure and evaluator.headline not in score.scores:
            gave = sorted(score.scores)
            raise RunError(f"it gave no score {evaluator.headline!r}, its headline (gave: {gave})")
