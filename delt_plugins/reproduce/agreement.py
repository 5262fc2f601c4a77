"""Whether a measured figure and a published one agree within their spreads."""

from __future__ import annotations

import math
from dataclasses import dataclass

from delt_host.workshop import Summary
from delt_plugins.reproduce.table import Published

SPREADS = 2.0
"""How many standard deviations of the difference of two single runs still count as agreement."""


@dataclass(frozen=True)
class Agreement:
    """Measured minus published, and how much of that the spreads allow.

    ``|difference| <= 2 sqrt(s1² + s2²)``, s1 being the standard deviation over our seeds and s2 the published one. Where s2
    is not at hand it is taken to be s1, which is an assumption. This asks whether two single runs, one of each, could well
    differ by that much; it is no test that the means are equal.
    """

    difference: float
    allowed: float
    """NaN where there is no spread of ours to judge by: a single seed."""
    assumed: bool
    """Whether the published spread is not at hand and ours was taken."""

    @property
    def verdict(self) -> str:
        """``agrees``, ``higher``, ``lower`` or ``one seed``."""
        if math.isnan(self.allowed):
            return "one seed"
        if abs(self.difference) <= self.allowed:
            return "agrees"
        return "higher" if self.difference > 0 else "lower"


def agreement(measured: Summary, published: Published | None) -> Agreement | None:
    """None where there is nothing to compare: no seed finished, or no published figure at hand."""
    if published is None or measured.n == 0:
        return None
    allowed = SPREADS * math.hypot(measured.std, measured.std if published.std is None else published.std)
    return Agreement(measured.mean - published.mean, allowed, assumed=published.std is None)
