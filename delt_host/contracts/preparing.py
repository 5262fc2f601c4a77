"""Components that need long work on data and teachers before their own, which rows and seeds share."""

from __future__ import annotations

from collections.abc import Sequence

from delt_host.contracts.component import Component
from delt_host.contracts.prepared import Prepared
from delt_host.contracts.problem import Problem


class Preparing(Component):
    """Says beforehand what it will read with ``problem.prepared(...)``, so that it is a step of the run."""

    def prepares(self, problem: Problem) -> Sequence[Prepared]:
        """Long work on data and teachers that rows and seeds share.

        Asked before there is a teacher, too: it looks at sizes, options and the teachers' architectures, and computes nothing.
        """
        return ()
