"""The statistics of the table, against figures worked out by hand."""

from __future__ import annotations

import math

import pytest

from delt_host.basics.folder_names import slug
from delt_host.basics.units import duration, size
from delt_host.compare.differences import paired, verdict
from delt_host.compare.lines import Summary


def test_paired_difference_and_its_interval() -> None:
    """Differences 2, 3, 4: mean 3, s = 1, t(0.975, 2) = 4.302653, half-width 4.302653 / sqrt(3) = 2.484138."""
    difference = paired({0: 62, 1: 64, 2: 66}, {0: 60, 1: 61, 2: 62})
    assert difference is not None and difference.mean == pytest.approx(3)
    assert (difference.low, difference.high) == pytest.approx((3 - 2.484138, 3 + 2.484138), abs=1e-5)
    assert verdict(difference, "cda") == "ahead of cda by 3.0 ± 2.5 (95 %, 3 seeds)"
    assert verdict(difference, "cda", "lower", "") == "behind cda by 3.000 ± 2.484 (95 %, 3 seeds)"


def test_only_common_seeds_are_paired() -> None:
    difference = paired({0: 5.0, 1: 6.0}, {1: 4.0, 2: 9.0})
    assert difference is not None and (difference.sets, difference.mean) == (1, 2.0)
    assert math.isnan(difference.low)
    assert "no spread to judge by" in verdict(difference, "x")
    assert paired({0: 5.0}, {1: 4.0}) is None


def test_a_difference_inside_its_interval_is_called_none() -> None:
    def said(mine: dict[int, float], others: dict[int, float]) -> str:
        difference = paired(mine, others)
        assert difference is not None
        return verdict(difference, "cda")

    assert said({0: 1.0, 1: 2.0, 2: 0.0}, {0: 0.0, 1: 2.5, 2: 0.5}).startswith("no difference to cda can be told")
    assert said({0: 1.0, 1: 1.1}, {0: 5.0, 1: 5.1}).startswith("behind cda by 4.0")


def test_summaries() -> None:
    assert Summary.of([1, 2, 3]) == Summary(2, 1, 3)
    assert Summary.of([64.5, 62.5]).shown() == "63.5 ± 1.4"
    assert Summary.of([64.5]).shown() == "64.5" and Summary.of([0.5, 0.25]).shown(3) == "0.375 ± 0.177"
    assert Summary.of([]).shown() == "–"


def test_sizes_durations_and_folder_names() -> None:
    assert [size(n) for n in (12, 2048, 3 * 1024**2, 5.5 * 1024**3)] == ["12 B", "2.0 KiB", "3.0 MiB", "5.5 GiB"]
    assert [duration(s) for s in (0, 4.21, 200, 7500)] == ["0 s", "4.2 s", "3 min 20 s", "2 h 5 min"]
    assert slug("cda (initializer=ranked)") == "cda-initializer-ranked"
    assert slug("../../x") == "x"
