"""How distilled sets are scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from delt_host.basics.errors import RunError
from delt_host.contracts.component import Asking
from delt_host.contracts.preparing import Preparing
from delt_host.contracts.problem import Problem
from delt_host.contracts.results import Results, Score
from delt_host.contracts.sets import Distilled
from delt_host.contracts.taught import Taught


@dataclass(frozen=True)
class Evaluation:
    """What an evaluator found."""

    scores: dict[str, float]
    """Named scores; accuracies in percent."""
    facts: dict[str, Any] = field(default_factory=dict)
    """JSON-able detail: per-class accuracy, epochs, optimizer steps, curves."""


class Evaluator(Asking, Preparing):
    """Scores a distilled set."""

    per: ClassVar[Literal["set", "regime", "table"]] = "regime"
    """How often it is asked: once a set, whose labels it does not see; once a set, regime and student; or once, when all
    other scores are there."""
    headline: ClassVar[str]
    """The score that the comparison table shows."""
    better: ClassVar[Literal["higher", "lower"]] = "higher"
    """Which headline score is the better one."""
    unit: ClassVar[str] = "%"
    """The headline score's unit; empty for plain numbers, which are shown with three decimals."""

    def evaluate(self, problem: Problem, distilled: Distilled, taught: Taught) -> Evaluation:
        """Scores of a set; nothing here may choose anything by looking at test data.

        `taught` has the regime's labels for the student's views, and labels other sets alike; None where it is per set.
        """
        raise NotImplementedError

    def derive(self, results: Results) -> Sequence[Score]:
        """Scores out of scores, for an evaluator that is per table: arithmetic, without images or networks.

        Each is of a `row`, `set` and, where it means one, `regime`, with this evaluator's title. InputError where scores are
        missing that a run could have had.
        """
        raise NotImplementedError

    @property
    def title(self) -> str:
        """The column's heading in the comparison table."""
        return type(self).__name__

    @property
    def trainings(self) -> dict[str, float]:
        """The networks that it trains, each with the trainings of the protocol that it takes at most.

        The host checks before anything runs that they take the images, and a dry run counts them. As it is: one of each that
        the options `model`, `network` and `models` name.
        """
        options = self.model_dump()
        one = [options[name] for name in ("model", "network") if name in options]
        return dict.fromkeys((*one, *options.get("models", ())), 1.0)


def check_contract(evaluator: Evaluator) -> None:
    """RunError for an evaluator that does not do what it is `per`."""
    name = type(evaluator).__name__
    wanted = "derive" if evaluator.per == "table" else "evaluate"
    if getattr(type(evaluator), wanted) is getattr(Evaluator, wanted):
        raise RunError(f"{name} is per {evaluator.per!r} and has no {wanted}()")
