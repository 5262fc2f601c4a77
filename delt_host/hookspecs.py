"""Every hook. A plugin is a module with some of these, named in the entry-point group ``delt_host``.

Each returns a dict from the name that users type to what it provides; names are unique over all installed plugins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from delt_host.components import Evaluator, Initializer, Matcher, Relabeler, Scheduler
    from delt_host.data import Dataset
    from delt_host.form import Form
    from delt_host.methods import Method
    from delt_host.models import Builder
    from delt_host.network_source import NetworkSource
    from delt_host.observer import Observer
    from delt_host.protocols import Protocol
    from delt_host.regimes import Regime
    from delt_host.squeezer import Squeezer

GROUP = "delt_host"
NO_AUTOLOAD = "DELT_HOST_DISABLE_PLUGIN_AUTOLOAD"
"""The variable that keeps plugins from being loaded unless they are named."""

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def delt_initializers() -> dict[str, type[Initializer]]:  # type: ignore[empty-body]
    """Where recovery starts: classes that make `ipc` images of every class."""


@hookspec
def delt_schedulers() -> dict[str, type[Scheduler]]:  # type: ignore[empty-body]
    """Which images are optimised when: classes that make a plan."""


@hookspec
def delt_matchers() -> dict[str, type[Matcher]]:  # type: ignore[empty-body]
    """What images are made to match: classes that give named loss terms."""


@hookspec
def delt_relabelers() -> dict[str, type[Relabeler]]:  # type: ignore[empty-body]
    """What students are to answer: classes that answer for classes, images or views."""


@hookspec
def delt_evaluators() -> dict[str, type[Evaluator]]:  # type: ignore[empty-body]
    """How distilled sets are scored: classes that give named scores."""


@hookspec
def delt_forms() -> dict[str, type[Form]]:  # type: ignore[empty-body]
    """How sets are stored: classes between images and what lies in a file."""


@hookspec
def delt_protocols() -> dict[str, type[Protocol]]:  # type: ignore[empty-body]
    """How students are trained and measured: classes of settings."""


@hookspec
def delt_regimes() -> dict[str, Regime]:  # type: ignore[empty-body]
    """What students are told and how they are trained: a relabeler and a protocol, with options."""


@hookspec
def delt_network_sources() -> dict[str, type[NetworkSource]]:  # type: ignore[empty-body]
    """Where matchers get their networks: classes that give one for each iteration, each with its name as option `name`."""


@hookspec
def delt_squeezers() -> dict[str, type[Squeezer]]:  # type: ignore[empty-body]
    """How teachers are trained: classes that train a network on the real images and give it after each epoch."""


@hookspec
def delt_methods() -> dict[str, Method]:  # type: ignore[empty-body]
    """Methods: five choices of components with options, and what they change for single datasets."""


@hookspec
def delt_datasets() -> dict[str, type[Dataset]]:  # type: ignore[empty-body]
    """Datasets beside the host's own: classes whose `load` gives splits, class names and normalisation."""


@hookspec
def delt_models() -> dict[str, Builder]:  # type: ignore[empty-body]
    """Networks beside the host's own: functions from (number of classes, image size) to a module."""


@hookspec
def delt_observers() -> dict[str, type[Observer]]:  # type: ignore[empty-body]
    """Who else is told how a run goes, trackers of experiments for instance: classes made with the run's folder."""
