"""Every kind of thing that plugins provide: its hook, and what each thing must be.

A plugin is a module that is named in the entry-point group ``delt_host`` and has some of these hooks, functions without
arguments that are marked as such::

    from delt_host import Matcher, hookimpl

    @hookimpl
    def delt_matchers() -> dict[str, type[Matcher]]:
        return {"mine": Mine}

Each returns a dict from the name that users type to what it stands for; a name of a kind is unique over all installed plugins.
"""

from __future__ import annotations

from dataclasses import dataclass

from delt_host.contracts.dataset import Dataset
from delt_host.contracts.engine import Engine
from delt_host.contracts.evaluator import Evaluator
from delt_host.contracts.form import Form
from delt_host.contracts.initializer import Initializer
from delt_host.contracts.matcher import Matcher
from delt_host.contracts.methods import Method, Regime
from delt_host.contracts.network_source import NetworkSource
from delt_host.contracts.observer import Observer
from delt_host.contracts.protocol import Protocol
from delt_host.contracts.relabeler import Relabeler
from delt_host.contracts.scheduler import Scheduler
from delt_host.contracts.squeezer import Squeezer


@dataclass(frozen=True)
class Kind:
    """What the things of a kind are."""

    about: str
    """What they are for, and what they do."""
    base: type | None = None
    """What their classes derive from."""
    value: type | None = None
    """What they are instances of, where they are no classes."""
    takes: str = ""
    """What they are functions of, where they are neither."""


KINDS = {
    "initializer": Kind("Where recovery starts: they make `ipc` images of every class.", Initializer),
    "scheduler": Kind("Which images are optimised when: they make a plan.", Scheduler),
    "matcher": Kind("What images are made to match: they give named loss terms.", Matcher),
    "relabeler": Kind("What students are to answer: they answer for classes, images or views.", Relabeler),
    "evaluator": Kind("How distilled sets are scored: they give named scores.", Evaluator),
    "form": Kind("How sets are stored: they stand between images and what lies in a file.", Form),
    "network_source": Kind(
        "Where matchers get their networks: they give one for each iteration, each with its name as option `name`.",
        NetworkSource,
    ),
    "protocol": Kind("How students are trained and measured: they are settings.", Protocol),
    "regime": Kind("What students are told and how they are trained: a relabeler and a protocol.", value=Regime),
    "squeezer": Kind(
        "How teachers are trained: they train a network on the real images and give it after each epoch.", Squeezer
    ),
    "method": Kind("Five choices of components, and what they change for single datasets.", value=Method),
    "dataset": Kind("Real images: their `load` gives splits, class names and normalisation.", Dataset),
    "model": Kind("Networks: functions that make a module.", takes="(number of classes, image size)"),
    "observer": Kind(
        "Who else is told how a run goes, trackers of experiments for instance: made with the run's folder.", Observer
    ),
    "engine": Kind("Who else does the pieces of a run, a cluster for instance: options of it.", Engine),
    "report": Kind(
        "What readers are given: functions that write a file into the folder of a finished run or evaluation and return its "
        "path. One that fails is a note; `report.html` is removed when the results change.",
        takes="the folder of a run",
    ),
}
HOOKS = {f"delt_{kind}s": kind for kind in KINDS}
