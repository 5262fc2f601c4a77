"""What the host lends to whom it asks for work. Nothing of it changes a result, and no key sees it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from delt_host.basics.brief import Brief
from delt_host.contracts.observer import Observer
from delt_host.store.resume import Checkpoint
from delt_host.store.store import Store

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, repr=False)
class Services(Brief):
    """Where results are kept, and who is told how far the work is."""

    store: Store | None = None
    """Where a problem keeps what it remembers, and a dataset its decoded images; None: nothing is kept."""
    observer: Observer = field(default_factory=Observer)
    """Who hears of progress and notes; by default nobody."""
    checkpoint: Checkpoint = field(default_factory=lambda: Checkpoint(None))
    """Of the evaluator's step, for the one student that it trains, or in parts for several; by default nothing is kept."""
    patience: float = math.inf
    """Seconds that a dataset's loading may take, of a dry run. One that would take longer may give what is known of it without
    its images (`RealData.unread`); others take their time."""
    built: dict[Any, nn.Module] = field(default_factory=dict)
    """The teachers' networks as far as they were asked for."""


NO_SERVICES = Services()
"""Nothing is kept, and nobody is told."""
