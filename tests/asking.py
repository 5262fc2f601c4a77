"""Small runs by `delt_host.run`, for tests of what a caller of Python is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

import delt_host
from delt_host import Matcher, Problem, Result, Views

FRESH = {"scheduler.iterations": 2, "matcher.networks": "fresh"}
TINY: dict[str, Any] = {
    "teacher": "none", "regime": "hard", "ipc": 1, "seeds": 1, "controls": False, "quiet": True, "threads": 1,
    "set": {"dataset.image_size": 8, "protocol.epochs": 1},
}  # fmt: skip
"""The least that leaves a set and a score; what is asked is put over it."""


class Mean(Matcher):
    """The mean of a group's images, by its weight."""

    weight: float = 1.0
    """Of its only term."""

    def bind(self, problem: Problem) -> Any:
        def match(views: Views) -> dict[str, Tensor]:
            return {"mean": self.weight * views.images.square().mean().expand(views.groups)}

        return match


def tiny(tmp_path: Path, **more: Any) -> Result:
    sets = {**TINY["set"], **more.pop("set", {})}
    places = {"store": tmp_path / "store", "out": tmp_path / "run"}
    return delt_host.run(**{"method": "random-real", **TINY, **places, **more, "set": sets})
