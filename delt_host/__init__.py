"""delt-host: dataset distillation methods as plugins, compared fairly. What a plugin or a notebook imports.

Names are resolved on first use (PEP 562), so that ``delt-host --help`` does not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from delt_host.component import Component
    from delt_host.components import (
        Answer,
        Batch,
        Cost,
        Distilled,
        Evaluation,
        Evaluator,
        Initializer,
        Match,
        Matcher,
        Relabeler,
        Scheduler,
        Start,
        Views,
    )
    from delt_host.data.base import Dataset, MemorySplit, RealData, Split
    from delt_host.distilled import DistilledSet, load
    from delt_host.errors import InputError, RunError
    from delt_host.form import Form, Pixels
    from delt_host.hookspecs import hookimpl
    from delt_host.labels import Labels
    from delt_host.methods import Choice, Method, use
    from delt_host.network_source import Networks, NetworkSource
    from delt_host.observer import Observer
    from delt_host.plan import Curve, Group, Learned, Phase, Plan
    from delt_host.prepared import Passes, Prepared
    from delt_host.problem import Problem
    from delt_host.protocols import Protocol
    from delt_host.reader import ImageReader
    from delt_host.regimes import Regime
    from delt_host.results import Results, Score
    from delt_host.services import Services
    from delt_host.squeezer import Snapshot, Squeezer
    from delt_host.taught import Taught
    from delt_host.teacher import Teacher

__version__ = "0.1.0"

_HOMES = {
    "component": "Component",
    "components": (
        "Answer Batch Cost Distilled Evaluation Evaluator Initializer Match Matcher Relabeler Scheduler Start Views"
    ),
    "data.base": "Dataset MemorySplit RealData Split",
    "distilled": "DistilledSet load",
    "errors": "InputError RunError",
    "form": "Form Pixels",
    "hookspecs": "hookimpl",
    "labels": "Labels",
    "methods": "Choice Method use",
    "network_source": "NetworkSource Networks",
    "observer": "Observer",
    "plan": "Curve Group Learned Phase Plan",
    "prepared": "Passes Prepared",
    "problem": "Problem",
    "protocols": "Protocol",
    "reader": "ImageReader",
    "regimes": "Regime",
    "results": "Results Score",
    "services": "Services",
    "squeezer": "Snapshot Squeezer",
    "taught": "Taught",
    "teacher": "Teacher",
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = [
    "Answer",
    "Batch",
    "Choice",
    "Component",
    "Cost",
    "Curve",
    "Dataset",
    "Distilled",
    "DistilledSet",
    "Evaluation",
    "Evaluator",
    "Form",
    "Group",
    "ImageReader",
    "Initializer",
    "InputError",
    "Labels",
    "Learned",
    "Match",
    "Matcher",
    "MemorySplit",
    "Method",
    "NetworkSource",
    "Networks",
    "Observer",
    "Passes",
    "Phase",
    "Pixels",
    "Plan",
    "Prepared",
    "Problem",
    "Protocol",
    "RealData",
    "Regime",
    "Relabeler",
    "Results",
    "RunError",
    "Scheduler",
    "Score",
    "Services",
    "Snapshot",
    "Split",
    "Squeezer",
    "Start",
    "Taught",
    "Teacher",
    "Views",
    "__version__",
    "hookimpl",
    "load",
    "use",
]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(importlib.import_module(f"delt_host.{_HOME_OF[name]}"), name)
    from delt_host.former import NAMES

    if name in NAMES:
        raise ImportError(f"delt_host has no {name}: {NAMES[name]}")
    raise AttributeError(f"module 'delt_host' has no attribute {name!r}")
