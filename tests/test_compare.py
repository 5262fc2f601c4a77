"""The statistics of the table, against figures worked out by hand."""

from __future__ import annotations

import math

import pytest

from delt_host.compare import Summary, paired_difference
from delt_host.report.folder import slug
from delt_host.report.table import spread
from delt_host.units import duration, size


def test_paired_difference_and_its_interval() -> None:
    """Differences 2, 3, 4: mean 3, s = 1, t(0.975, 2) = 4.302653, half-width 4.302653 / sqrt(3) = 2.484138."""
    difference = paired_difference({0: 62, 1: 64, 2: 66}, {0: 60, 1: 61, 2: 62}, "cda")
    assert difference.mean == pytest.approx(3)
    assert (difference.low, difference.high) == pytest.approx((3 - 2.484138, 3 + 2.484138), abs=1e-5)
    assert difference.sentence == "ahead of cda by 3.0 ± 2.5 (95 %, 3 seeds)"


def test_only_common_seeds_are_paired() -> None:
    difference = paired_difference({0: 5.0, 1: 6.0}, {1: 4.0, 2: 9.0}, "x")
    assert (difference.n, difference.mean) == (1, 2.0)
    assert math.isnan(difference.low)
    assert "no spread to judge by" in difference.sentence


def test_a_difference_inside_its_interval_is_called_none() -> None:
    sentence = paired_difference({0: 1.0, 1: 2.0, 2: 0.0}, {0: 0.0, 1: 2.5, 2: 0.5}, "cda").sentence
    assert sentence.startswith("no difference to cda can be told")
    assert paired_difference({0: 1.0, 1: 1.1}, {0: 5.0, 1: 5.1}, "cda").sentence.startswith("behind cda by 4.0")


def test_summaries() -> None:
    assert Summary.of([1, 2, 3]) == Summary(2, 1, 3)
    assert spread(Summary.of([64.5, 62.5])) == "63.5 ± 1.4"
    assert spread(Summary.of([64.5])) == "64.5"
    assert spread(Summary.of([])) == "–"


def test_sizes_durations_and_folder_names() -> None:
    assert [size(n) for n in (12, 2048, 3 * 1024**2, 5.5 * 1024**3)] == ["12 B", "2.0 KiB", "3.0 MiB", "5.5 GiB"]
    assert [duration(s) for s in (0, 4.21, 200, 7500)] == ["0 s", "4.2 s", "3 min 20 s", "2 h 5 min"]
    assert slug("cda (initializer=ranked)") == "cda-initializer-ranked"
    assert slug("../../x") == "x"
