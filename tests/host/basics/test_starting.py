"""Nothing looks for circles while a process starts, and afterwards it is as its caller had it."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from delt_host.basics.starting import not_collecting


@pytest.fixture(autouse=True)
def collecting() -> Iterator[None]:
    yield
    gc.enable()


@pytest.mark.parametrize("before", [True, False])
def test_it_is_off_inside_and_as_it_was_afterwards(before: bool) -> None:
    (gc.enable if before else gc.disable)()
    with not_collecting():
        assert not gc.isenabled()
    assert gc.isenabled() is before


def test_an_error_leaves_it_as_it_was() -> None:
    gc.enable()
    with pytest.raises(ImportError), not_collecting():
        raise ImportError
    assert gc.isenabled()
