"""Which piece is next, and what goes with one that will not be done."""

from __future__ import annotations

from delt_host.spread.board import Board
from delt_host.spread.task import Task


def piece(name: str, passes: float, *needs: str) -> Task:
    return Task("stage", "row", 0, 0, ("stage", name), tuple(("stage", need) for need in needs), passes)


def names(board: Board) -> list[str]:
    """What can be begun now, in order."""
    taken = []
    while task := board.take():
        taken.append(task)
    return [task.entry[1] for task in taken]


def test_what_most_work_waits_for_comes_first() -> None:
    first, second = piece("set 1", 10), piece("set 2", 10)
    short, long = piece("short student", 5, "set 1"), piece("long student", 50, "set 2")
    board = Board([first, second, piece("alone", 30, "in the store"), short, long])
    assert names(board) == ["set 2", "alone", "set 1"], "60, 30 and 15 images are left once they are begun"
    board.done(second)
    assert names(board) == ["long student"] and len(board) == 4
    board.done(first)
    assert names(board) == ["short student"]
    board.put_back(long)
    assert names(board) == ["long student"], "its worker has died"


def test_what_needs_a_dropped_piece_goes_with_it() -> None:
    made, other = piece("set", 1), piece("other", 1)
    chain = [piece("labels", 1, "set"), piece("student", 1, "set", "labels"), piece("second", 1, "other")]
    board = Board([made, other, *chain])
    assert board.take() == made
    assert [task.entry[1] for task in board.drop(made)] == ["set", "labels", "student"]
    assert names(board) == ["other"] and list(board.drop(made)) == []
