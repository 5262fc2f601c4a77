"""Which images are optimised when."""

from __future__ import annotations

from abc import abstractmethod

from delt_host.basics.errors import InputError
from delt_host.contracts.plan import Plan
from delt_host.contracts.preparing import Preparing
from delt_host.contracts.problem import Problem


class Scheduler(Preparing):
    """Decides which images are optimised when."""

    @abstractmethod
    def plan(self, problem: Problem) -> Plan:
        """The plan for `problem.units` units of each class. Draws nothing and reads no images."""

    def stretched(self, share: float) -> Scheduler:
        """The same schedule at about `share` times its iterations, for ``--match``; InputError where it has no such thing."""
        raise InputError(f"scheduler {type(self).__name__} cannot be matched to a budget: it has no stretched()")
