"""Every random draw comes from a generator seeded by what the draw is for, never from global state.

So sharding, resuming or reordering the work does not change a result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from delt_host.basics.accelerator import put_random_states, random_states


def seed_for(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed from the run's seed and the purpose of the draw, e.g. ``seed_for(0, "recover", group, t)``."""
    text = "/".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """A CPU generator for one purpose; draw on the CPU and move, so that every device sees the same numbers."""
    return torch.Generator().manual_seed(seed_for(seed, *purpose))


@contextmanager
def isolated_rng(seed: int, *purpose: str | int) -> Iterator[None]:
    """Run code that can only draw from torch's global generator (layer initialisation, dropout) as if seeded.

    The global state is put back afterwards, so nothing outside the block can tell that it ran.
    """
    of_accelerators = random_states()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for(seed, *purpose))
        try:
            yield
        finally:
            put_random_states(of_accelerators)
