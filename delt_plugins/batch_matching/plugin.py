"""Batch matching's components and methods."""

from __future__ import annotations

from delt_host import Initializer, Matcher, Method, Scheduler, hookimpl
from delt_plugins.batch_matching.characteristic import CharacteristicFunctions
from delt_plugins.batch_matching.clustered import Clustered
from delt_plugins.batch_matching.gradients import GradientMatching
from delt_plugins.batch_matching.means import ClassifiedMeans
from delt_plugins.batch_matching.pairs import Anchors, Pairs
from delt_plugins.batch_matching.published import METHODS
from delt_plugins.batch_matching.small import SMALL
from delt_plugins.batch_matching.whole_set import WholeSet


@hookimpl
def delt_initializers() -> dict[str, type[Initializer]]:
    return {"anchors": Anchors, "clustered": Clustered}


@hookimpl
def delt_schedulers() -> dict[str, type[Scheduler]]:
    return {"whole-set": WholeSet}


@hookimpl
def delt_matchers() -> dict[str, type[Matcher]]:
    return {
        "gradients": GradientMatching,
        "classified-means": ClassifiedMeans,
        "characteristic": CharacteristicFunctions,
        "pairs": Pairs,
    }


@hookimpl
def delt_methods() -> dict[str, Method]:
    return {
        "dc": METHODS["dc"],
        "dsa": METHODS["dsa"],
        "dcc": METHODS["dcc"],
        "idc": METHODS["idc"],
        "dream": METHODS["dream"],
        "idm": METHODS["idm"],
        "dance": METHODS["dance"],
        "ncfm": METHODS["ncfm"],
        "cim": METHODS["cim"],
        "dc-small": SMALL["dc-small"],
        "dsa-small": SMALL["dsa-small"],
        "dcc-small": SMALL["dcc-small"],
        "idc-small": SMALL["idc-small"],
        "dream-small": SMALL["dream-small"],
        "dm-small": SMALL["dm-small"],
        "idm-small": SMALL["idm-small"],
        "dance-small": SMALL["dance-small"],
        "ncfm-small": SMALL["ncfm-small"],
    }
