"""`delt_host.dry_run`'s answer: what a run would do, what of it is kept, and what the rest takes."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from delt_host.api.resolving import foreseen
from delt_host.basics.units import roughly
from delt_host.compare.shares import Spent, note
from delt_host.contracts.engine import Engine, Local
from delt_host.contracts.observer import Observer
from delt_host.display import dry_run
from delt_host.display.text import drawn
from delt_host.experiment.experiment import Experiment
from delt_host.spread.workers import Workers
from delt_host.stages import estimate, footprint, story
from delt_host.stages.host import Host
from delt_host.stages.shares import shares
from delt_host.stages.stopwatch import Stopwatch

PATIENCE = 2.5
"""Seconds that loading the data may take; what takes longer is not indexed."""
ANSWER = 6.0
"""Seconds after which it is to be there; starting takes as long again where others work on the machine."""
LEAST = 1.5
"""Seconds that networks are timed for, however long the rest took."""


@dataclass(frozen=True)
class Outlook:
    """What a run would do, and what of it is kept already."""

    experiment: Experiment
    """Of a sweep, the first."""
    steps: tuple[estimate.Upcoming, ...]
    """Its steps, those that are alike together, in order."""
    failing: dict[str, str]
    """Rows that will fail, by label, and why."""
    advice: tuple[str, ...] = ()
    """Sentences: how sure the times are, and what would shorten a long run."""
    folder_bytes: int = 0
    """Of what the run's folder will hold, about: sets, results, page."""
    held_bytes: int = 0
    """Of memory that the process holds before any step, its data and libraries; on an accelerator nothing of it lies there."""
    busy: float = 1.0
    """How many times as long as on an idle machine passes took just now; times are for an idle one."""
    unread: str = ""
    """A sentence where nobody has looked at the images, so that it is not known what is kept."""

    @property
    def seconds(self) -> float:
        """Of all work that is left, about."""
        return sum(line.seconds for line in self.steps)

    @property
    def store_bytes(self) -> int:
        """Of what the store will hold of the run, about, with what it holds already."""
        return sum(line.bytes for line in self.steps)

    @property
    def bytes(self) -> int:
        """Of all that will be kept, about: in the store, and in the run's folder."""
        return self.store_bytes + self.folder_bytes

    @property
    def largest(self) -> estimate.Upcoming | None:
        """What takes most memory; None where nothing is left to do."""
        left = [line for line in self.steps if not line.done]
        return max(left, key=lambda line: line.peak, default=None)

    @property
    def peak_bytes(self) -> int:
        """Of memory at most, about: the process on a processor, tensors on an accelerator."""
        return self.held_bytes + (self.largest.peak if self.largest else 0)

    def to_dict(self) -> dict[str, Any]:
        """All of it, JSON-able, totals included."""
        return {
            "steps": [{**dataclasses.asdict(line), "state": line.state} for line in self.steps],
            "seconds": self.seconds,
            "bytes": self.bytes,
            "store_bytes": self.store_bytes,
            "folder_bytes": self.folder_bytes,
            "peak_bytes": self.peak_bytes,
            "peak_stage": self.largest.stage if self.largest else "",
            "busy": self.busy,
            "unread": self.unread,
            "failing": self.failing,
            "advice": list(self.advice),
        }

    def show(self, console: Console) -> None:
        """Print it as a table."""
        totals = dry_run.Totals(self.seconds, self.store_bytes, self.folder_bytes, self.peak_bytes, self.largest)
        dry_run.show(console, self.experiment, self.steps, self.failing, totals, self.advice, self.unread)

    def __str__(self) -> str:
        return drawn(self.show)

    def __repr__(self) -> str:
        return str(self)


def outlook(experiments: Mapping[str, Experiment], hosts: Mapping[str, Host], engine: Engine) -> Outlook:
    """Of runs by their names; nothing is computed but passes that are timed."""
    began, first = time.perf_counter(), next(iter(experiments.values()))
    outlined = {name: story.outlined(of, hosts[name], patience=PATIENCE) for name, of in experiments.items()}
    watch = Stopwatch(_observer(hosts), limit=max(ANSWER - (time.perf_counter() - began), LEAST))
    lines = estimate.plan_runs(outlined, watch)
    untold = {f"{name}: {row}".removeprefix(": "): why for name, h in hosts.items() for row, why in h.untold.items()}
    unread = dict.fromkeys(each.problem.data.unread for each in outlined.values() if each.problem.data.unread)
    spread = not isinstance(engine, Local)
    advice = (
        foreseen(first) if first.undecided else "",
        note(spent for name, comparison in outlined.items() for spent in _spent(name, comparison)),
        watch.by_rule,
        watch.busy,
        first.compute.compiling,
        _shared(lines, engine),
        estimate.shorter(lines, first, spread),
    )
    return Outlook(
        first,
        tuple(lines),
        untold,
        tuple(filter(None, advice)),
        sum(map(estimate.folder_bytes, outlined.values())),
        footprint.resident() if first.device == "cpu" else 0,
        watch.slowed,
        " ".join(unread),
    )


def _spent(name: str, comparison: story.Comparison) -> Iterator[Spent]:
    """What the rows of a run get of published budgets; of iterations it is not known before `--match` is done."""
    experiment, plans = comparison.experiment, {} if comparison.experiment.match else comparison.plans
    for row in comparison.rows:
        told = shares(row, plans.get(row.label), comparison.problem, experiment.regimes, comparison.host)
        yield Spent(f"{name}: {row.label}".removeprefix(": "), **told)


def _shared(lines: Iterable[estimate.Upcoming], engine: Engine) -> str:
    """How long workers take at the least, where there are any: each is as fast as one alone, and none ever waits."""
    if not isinstance(engine, Workers):
        return ""
    stays = sum(line.seconds for line in lines if line.stage in ("squeeze", "check"))
    shared = sum(line.seconds for line in lines) - stays
    least = roughly(stays + shared / engine.count)
    return f"{engine.count} workers side by side need {least} for it at the least, and each that much memory."


def _observer(hosts: Mapping[str, Host]) -> Observer:
    return next(iter(hosts.values())).observer
