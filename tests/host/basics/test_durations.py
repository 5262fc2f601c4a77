"""Times as people say them."""

from __future__ import annotations

from typing import Any

import pytest

from delt_host import InputError
from delt_host.basics.durations import seconds, written


@pytest.mark.parametrize(
    ("said", "meant", "back"),
    [
        ("2h", 7200, "2h"),
        ("90m", 5400, "1h30m"),
        ("1h30m", 5400, "1h30m"),
        ("1.5 h", 5400, "1h30m"),
        ("1d", 86400, "24h"),
        ("45s", 45, "45s"),
        ("600", 600, "10m"),
        (0.5, 0.5, "0.5"),
        (3601, 3601, "1h1s"),
    ],
)
def test_said_and_written(said: Any, meant: float, back: str) -> None:
    assert seconds(said, "--budget") == meant
    assert written(meant) == back and seconds(back, "--budget") == meant


@pytest.mark.parametrize("said", ["", "h", "2x", "30m1h", "-1", "0", "nan", "inf", "1h 30", True, None, [1]])
def test_what_is_no_time(said: Any) -> None:
    with pytest.raises(InputError, match="--budget must be a time above 0"):
        seconds(said, "--budget")
