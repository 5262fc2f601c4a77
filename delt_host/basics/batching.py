"""How N images go into batches of B, under every protocol and for every loader: no image is left alone.

What is over makes a last, smaller batch. A single image joins the batch before: BatchNorm over maps of 1 x 1 has no variance
to take of one.
"""

from __future__ import annotations


def steps(count: int, size: int) -> int:
    """How many batches there are of `count` images, `size` in each.

    >>> [steps(count, 10) for count in (1, 10, 11, 12, 21)]
    [1, 1, 1, 2, 2]
    """
    whole, rest = divmod(count, size)
    return max(whole + (rest > 1), 1)


def places(count: int, size: int, step: int) -> range:
    """Which of the images make batch `step`.

    >>> places(21, 10, 1), places(22, 10, 2)
    (range(10, 21), range(20, 22))
    """
    return range(step * size, count if step == steps(count, size) - 1 else (step + 1) * size)


def in_one_pass(side: int) -> int:
    """Images of `side` px that go through a network together where nothing is kept of their maps: as many as take a few GB
    in any of our networks.

    >>> in_one_pass(32), in_one_pass(64), in_one_pass(224)
    (500, 500, 125)
    """
    return min(500, max(500 * 112**2 // side**2, 1))


def single(count: int, size: int) -> bool:
    """Whether there are batches of one image all the same: only one image, or one is asked for."""
    return min(count, size) == 1
