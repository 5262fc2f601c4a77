"""Where a run is and how much time it has left, as the progress line says it."""

from __future__ import annotations

import pytest

from delt_host.basics.units import roughly
from delt_host.contracts.observer import Work
from delt_host.display.outlook import Outlook


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def work(stage: str, row: int, passes: float, like: str = "x") -> Work:
    return Work(stage, f"row {row}", like, passes, f"row {row} of 2, seed 1 of 1")


def test_time_left_is_what_is_to_come_at_the_pace_seen() -> None:
    clock = Clock()
    outlook = Outlook(clock)
    assert outlook.line() == ""
    outlook.expect([work("recover", 1, 100), work("evaluate", 1, 50), work("recover", 2, 200), work("evaluate", 2, 50)])
    with outlook.running("recover", "row 1"):
        assert outlook.line() == "row 1 of 2, seed 1 of 1", "no pace was seen yet"
        clock.now = 10.0
        outlook.advance(0.5)
        # 50 passes took 10 s: 350 to come, all at 0.2 s, since nothing is known of evaluation.
        assert outlook.seconds_left() == pytest.approx(70)
        assert outlook.line() == "row 1 of 2, seed 1 of 1, about 1 min left"
        clock.now = 20.0
        outlook.advance(0.5)
    with outlook.running("evaluate", "row 1"):
        clock.now = 70.0  # 1 s a pass
    assert outlook.seconds_left() == pytest.approx(200 * 0.2 + 50 * 1.0)
    with outlook.running("something else", "row 2"):
        outlook.advance(1.0)
    assert outlook.seconds_left() == pytest.approx(90), "what nobody expected changes nothing"
    outlook.reach("recover", "row 2")  # from the store
    assert (outlook.place, outlook.seconds_left()) == ("row 2 of 2, seed 1 of 1", pytest.approx(50))


def test_a_stage_of_many_pieces_says_which_it_is_at() -> None:
    clock = Clock()
    outlook = Outlook(clock)

    def pieces(done: int) -> list[Work]:
        return [Work("spread", "3 pieces", "", 100, f"{done} of 3 pieces")]

    outlook.expect(pieces(0))
    with outlook.running("spread", "3 pieces"):
        assert outlook.line() == "0 of 3 pieces"
        clock.now = 10.0
        outlook.advance(0.25)
        outlook.expect(pieces(1))
        assert outlook.line() == "1 of 3 pieces, about 30 s left" and outlook.ahead == []


def test_what_a_failed_row_leaves_undone_is_not_waited_for() -> None:
    clock = Clock()
    outlook = Outlook(clock)
    outlook.expect([work("recover", 1, 100), work("evaluate", 1, 900), work("recover", 2, 100)])
    with pytest.raises(RuntimeError), outlook.running("recover", "row 1"):
        clock.now = 5.0
        raise RuntimeError
    with outlook.running("recover", "row 2"):
        clock.now = 15.0
        outlook.advance(0.5)
        assert outlook.seconds_left() == pytest.approx(10)


def test_times_are_said_no_finer_than_anybody_can_know() -> None:
    said = [roughly(seconds) for seconds in (0, 37, 56, 250, 3599, 7700, 36000)]
    expected = [
        "a few seconds",
        "about 40 s",
        "about 1 min",
        "about 4 min",
        "about 1 h",
        "about 2 h 10 min",
        "about 10 h",
    ]
    assert said == expected
