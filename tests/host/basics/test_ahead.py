"""Items made ahead in a thread are those that a loop would make, and the thread never outlives its iterator."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from delt_host.basics.ahead import ahead


def _threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "delt-host reads ahead"]


def test_items_come_in_order_from_one_other_thread() -> None:
    makers = set()

    def items() -> Iterator[int]:
        for each in range(100):
            makers.add(threading.current_thread())
            yield each

    assert list(ahead(items())) == list(range(100))
    assert len(makers) == 1
    assert threading.current_thread() not in makers
    assert not _threads()


@pytest.mark.parametrize("depth", [1, 3])
def test_no_more_are_made_than_asked_for(depth: int) -> None:
    made, taken, most = 0, 0, 0
    at_limit = threading.Event()

    def items() -> Iterator[int]:
        nonlocal made, most
        for each in range(50):
            made += 1
            most = max(most, made - taken)
            if made - taken >= depth:
                at_limit.set()
            yield each

    for _ in ahead(items(), depth):
        # The one that is in the caller's hands counts as taken when it asks for the next.
        if made < 50:  # else there is nothing to wait for
            at_limit.wait(timeout=5)
        at_limit.clear()
        taken += 1
    assert depth <= most <= depth + 1


def test_an_exception_comes_at_its_place() -> None:
    def items() -> Iterator[int]:
        yield 0
        yield 1
        raise KeyError("third")

    got, iterator = [], ahead(items())
    got += [next(iterator), next(iterator)]
    with pytest.raises(KeyError, match="third"):
        next(iterator)
    assert got == [0, 1]
    assert not _threads()


@pytest.mark.parametrize("how", ["closed", "left by an exception", "dropped"])
def test_the_thread_ends_where_the_caller_stops_early(how: str) -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from range(10**9)
        finally:
            closed.set()

    iterator = ahead(items())
    assert next(iterator) == 0
    if how == "closed":
        iterator.close()  # type: ignore[attr-defined]
    elif how == "dropped":
        del iterator
    else:
        with pytest.raises(KeyboardInterrupt):
            iterator.throw(KeyboardInterrupt())  # type: ignore[attr-defined]
    assert closed.wait(timeout=5)
    assert not _threads()


def test_gradients_and_inference_are_the_callers() -> None:
    weight = torch.ones(1, requires_grad=True)

    def items() -> Iterator[torch.Tensor]:
        for _ in range(2):
            yield weight * 2

    assert all(each.requires_grad for each in ahead(items()))
    with torch.no_grad():
        assert not any(each.requires_grad for each in ahead(items()))
    with torch.inference_mode():
        assert all(each.is_inference() for each in ahead(items()))


def test_a_depth_below_one_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        ahead([1], 0)
