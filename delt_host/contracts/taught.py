"""What an evaluator is told of a regime: the labels of the set that it scores, and how others are labelled alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from delt_host.basics.brief import Brief
from delt_host.contracts.labels import Labels
from delt_host.contracts.problem import Problem
from delt_host.contracts.protocol import Protocol
from delt_host.contracts.relabeler import Relabeler
from delt_host.contracts.sets import Distilled


@dataclass(frozen=True, repr=False)
class Taught(Brief):
    """One set under one regime, for one student."""

    problem: Problem
    """Under the regime's protocol, with every teacher of the run."""
    relabeler: Relabeler
    """The regime's."""
    distilled: Distilled
    """The set that is scored."""
    store: bool = True
    """Whether labels that a relabeler stores are stored, or made while students train."""

    @cached_property
    def labels(self) -> Labels:
        """Of the whole set, for this student's views."""
        return self.of(self.distilled, self.problem)

    def of(self, distilled: Distilled, problem: Problem) -> Labels:
        """Of another set, or of a part of this one, by the same relabeler; `problem` has its data and protocol."""
        problem = replace(problem, teachers=self.problem.teachers)
        return Labels(problem, distilled, self.relabeler, self.store)

    def under(self, protocol: Protocol) -> Taught:
        """The same set, student and relabeler under another protocol, which the `problem` of the result has."""
        return replace(self, problem=self.problem.under(protocol))
