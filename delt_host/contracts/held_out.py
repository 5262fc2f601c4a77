"""Test images for data that come without any: a share of each class, drawn by seed and class."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from delt_host.basics.errors import InputError
from delt_host.basics.seeding import generator

TEST_SHARE = 0.2
"""Of each class, what is held out where nobody says another share."""


def held_out(
    targets: Tensor, share: float = TEST_SHARE, seed: int = 0, class_names: Sequence[str] = ()
) -> tuple[Tensor, Tensor]:
    """The indices of the images to train on and of those to test with, in the order of `targets` (N,), the images' classes.

    `share`, in 0..1 and neither, of each class is held out, to the nearest image, and at least one image of each class is on
    either side. The draw depends on the seed, on the class by its name (its number, where no names are given), and on how many
    images it has: not on the other classes.

    InputError for another share, and for a class of fewer than two images.

    >>> train, test = held_out(torch.tensor([0, 0, 0, 0, 0, 1, 1, 1]))
    >>> len(train), len(test), test.tolist() == sorted(test.tolist())
    (6, 2, True)
    """
    if not 0 < share < 1:
        raise InputError(f"the share of images that are held out for testing is between 0 and 1, not {share:g}")
    test = torch.zeros(len(targets), dtype=torch.bool)
    labels = range(len(class_names)) if class_names else targets.unique().tolist()
    for label in labels:
        name = class_names[label] if class_names else str(label)
        images = torch.nonzero(targets == label).flatten()
        if (count := len(images)) < 2:
            raise InputError(
                f"class {name!r} has {count or 'no'} image{'s' * (not count)}: it takes two, one to train on, one to test with"
            )
        most = min(max(round(count * share), 1), count - 1)
        test[images[torch.randperm(count, generator=generator(seed, "held out", name))[:most]]] = True
    return torch.nonzero(~test).flatten(), torch.nonzero(test).flatten()
