"""Data densification: images of a class are drawn apart (G-VBSM, section 3.1)."""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from delt_host import Views

POOLED = 32  # images are pooled to 32 x 32 before their diversity is measured
SHARPNESS = 4.0  # the divisor of the flatter eigenvalue distribution


def densification(views: Views) -> Tensor:
    """(G,): over the classes of each group, KL(softmax(l / 4) || softmax(l)), l the eigenvalues of Z Z^T.

    Z (n, 3 * 32 * 32) holds the class's images, pooled; classes with one image add nothing.
    """
    pooled = F.adaptive_avg_pool2d(views.images, POOLED).flatten(1)
    total = pooled.new_zeros(views.groups)
    for groups, places in alike(views):
        own = pooled[places]
        eigenvalues = torch.linalg.eigvalsh(own @ own.mT)
        flat = (eigenvalues.detach() / SHARPNESS).softmax(dim=1)
        apart = F.kl_div(eigenvalues.log_softmax(dim=1), flat, reduction="none").sum(dim=1)
        total = total + F.one_hot(groups, views.groups).T.to(apart) @ apart  # adds in one order on every device
    return total


def alike(views: Views) -> list[tuple[Tensor, Tensor]]:
    """Classes (K, n) as places among the images, with the groups (K,) that they are of, for each number n > 1 of images.

    Those of one number are one stack of matrices to the solver, which waits for the device once and not for every class.
    """
    known = views.targets if views.known_targets is None else views.known_targets
    return _places(tuple(known.tolist()), views.groups, views.images.device)


@lru_cache(maxsize=8)  # the same in all iterations of a phase: nothing is copied to the device
def _places(targets: tuple[int, ...], groups: int, device: torch.device) -> list[tuple[Tensor, Tensor]]:
    each = len(targets) // groups
    members: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for place, label in enumerate(targets):
        members[place // each, label].append(place)
    sizes = sorted({len(places) for places in members.values()} - {1})
    return [
        (
            torch.tensor([group for (group, _), places in members.items() if len(places) == size], device=device),
            torch.tensor([places for places in members.values() if len(places) == size], device=device),
        )
        for size in sizes
    ]
