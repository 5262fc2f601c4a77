"""Where independent pieces of a run are done: in this process, on a Ray cluster, or as Slurm jobs.

An engine only fills the store. The run itself is the same whichever it was, and finds there what the engine left.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from delt_host.errors import InputError, unknown
from delt_host.options import build, parse_assignment
from delt_host.settings import Settings

if TYPE_CHECKING:
    from delt_host.engines.work import Description, Task
    from delt_host.host import Host
    from delt_host.problem import Problem


class Engine(Settings, ABC):
    """Options of a way to spread work over machines."""

    @abstractmethod
    def check(self, device: str) -> None:
        """InputError where it cannot work: now, not after the teacher was squeezed."""

    @abstractmethod
    def fill(self, tasks: Sequence[Task], description: Description, problem: Problem, host: Host) -> None:
        """Do every task, whose needs come before it in the list, so that its entry lies in `host.store`.

        What fails for good goes into `host.store.failed`, and tasks that need it are left out.
        """


ENGINES = {"ray": ("delt_host.engines.ray", "RayEngine"), "slurm": ("delt_host.engines.slurm", "SlurmEngine")}
LOCAL = "local"


def engine_for(spec: str, address: str | None = None) -> Engine | None:
    """``NAME,OPTION=VALUE``; None for ``local``, where the run does all work itself. InputError for what is unknown."""
    name, *assignments = [part.strip() for part in spec.split(",")]
    if name not in (LOCAL, *ENGINES):
        raise unknown("engine", name, (LOCAL, *ENGINES))
    options = dict(parse_assignment(f"engine.{assignment}") for assignment in assignments)
    given = {key.removeprefix("engine."): value for key, value in options.items()}
    if address is not None:
        given["address"] = address
    if name == LOCAL:
        build(_Local, given, "engine local")
        return None
    module, cls = ENGINES[name]
    return build(getattr(importlib.import_module(module), cls), given, f"engine {name}")


def check_device(device: str) -> None:
    """InputError for one card by its number: each piece has a card of its own, and each sees it as the first."""
    if device not in ("cpu", "cuda"):
        raise InputError(f"--device {device} names one card; with an engine say cuda")


class _Local(Settings):
    """It has no options."""
