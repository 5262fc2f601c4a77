"""Where independent pieces of a run are done: the run itself does all of them, an engine spreads them over machines.

An engine only fills the store. The run is the same whichever it was, and finds there what the engine left.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from delt_host.basics.settings import Settings


class Engine(Settings, ABC):
    """Options of a way to spread work over machines: ``--engine NAME,OPTION=VALUE``."""

    @abstractmethod
    def check(self, device: str) -> None:
        """InputError where it cannot work: now, not after the teacher was squeezed."""

    @abstractmethod
    def fill(self, comparison: Any, threads: int) -> None:
        """Do the steps of a prepared run that are missing, so that their entries lie in its store.

        `comparison` is a `delt_host.workshop.Comparison`, `threads` what each piece of work may use. What fails for good goes
        into ``comparison.host.store.failed``, and steps that need it are left out.
        """


class Local(Engine):
    """The run does all of its work itself."""

    def check(self, device: str) -> None:
        """It always can."""

    def fill(self, comparison: Any, threads: int) -> None:
        """Nothing: the run comes to it."""
