"""Seeds as they are listed."""

from __future__ import annotations

import pytest

from delt_host.basics.units import spans


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ([], ""),
        ([0, 1, 2], "0, 1, 2"),
        (range(12), "0 to 11"),
        ([3, 5, *range(7, 12), 20, 21], "3, 5, 7 to 11, 20, 21"),
    ],
)
def test_spans(numbers: list[int], said: str) -> None:
    assert spans(numbers) == said
