"""EarlyLate: images that join the optimisation in rounds, so that some are optimised long and some for one round only."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from delt_host import Group, Phase, Plan, Problem, Shape
from delt_plugins.sre2l.schedule import Optimization


class EarlyLate(Optimization):
    """Images join the optimisation in rounds: the first ranks are optimised longest, the last for one round only.

    J = iterations / round_iterations rounds; round r adds IPC // J images of each class, and one more in the first
    IPC % J rounds.
    """

    source: ClassVar[str] = "DELT, section 3.3, algorithm 1, Table 4c; recover.py:24-89,98-171"

    crop: Shape | Literal["pad", "none"] = "cosine"
    """How the crop's smallest area share goes from 1 to `min_crop`; `pad`, `none`: as the constant schedule has them."""
    order: Literal["rank", "class"] = "class"
    """`class`: a group holds consecutive images of few classes, as published; `rank`: one image of each of many."""
    round_iterations: int = Field(0, ge=0)
    """RI. 0: an eighth of the iterations, the paper's 500 of 4000."""
    phases: Literal["global", "round"] = "global"
    """`global`: learning rate and crop fall over all iterations, as the published code runs (recover.py:112); `round`:
    anew in every round, so that each batch of joiners has a complete learning phase, as the paper words it."""
    moments: Literal["shared", "fresh"] = "shared"
    """`shared`: one Adam for the group, whose step count late joiners inherit, as published; `fresh`: their own."""

    @model_validator(mode="after")
    def _rounds_are_whole(self) -> EarlyLate:
        length = self.round_iterations or self.iterations // 8
        if self.iterations and (length == 0 or self.iterations % length):
            by = self.round_iterations or 8
            near = sorted({max(self.iterations // by * by, by), self.iterations // by * by + by})
            raise ValueError(
                f"iterations ({self.iterations}) must be a multiple of "
                + (f"round_iterations ({by})" if self.round_iterations else "8, or give round_iterations")
                + f": {' or '.join(map(str, near))} would do"
            )
        return self

    def stretched(self, share: float) -> Optimization:
        """As many rounds, each longer or shorter."""
        length = self.round_iterations or self.iterations // 8
        rounds, new = self.iterations // max(length, 1), max(round(length * share), 1)
        own = {"round_iterations": new} if self.round_iterations else {}
        return self.with_iterations(rounds * new, **own)

    def plan(self, problem: Problem) -> Plan:
        if self.iterations == 0:
            return self.assemble(problem, [])
        if problem.units == 1:
            problem.note(
                "early-late at one image per class: none can join late, so all run all iterations, as published"
            )
        length = self.round_iterations or self.iterations // 8
        joins = join_rounds(problem.units, self.iterations // length)
        groups = []
        for images in self.batches(problem):
            images.sort(key=lambda unit: joins[unit % problem.units])
            group_joins = [joins[unit % problem.units] for unit in images]
            # Rounds before the group's first image are left out and its time is shorter by them (recover.py).
            first = group_joins[0]
            whole = length if self.phases == "round" else self.iterations - first * length
            rate, crop = self.model_copy(update={"iterations": whole}).curves()
            phases = []
            for round_ in range(first, self.iterations // length):
                origin = {"origin": (round_ - first) * length if self.phases == "round" else 0}
                phases.append(
                    Phase(
                        active=sum(join <= round_ for join in group_joins),
                        iterations=length,
                        rates={"images": rate.model_copy(update=origin)},
                        min_crop=crop.model_copy(update=origin),
                    )
                )
            groups.append(Group(images=tuple(images), phases=tuple(phases)))
        return self.assemble(problem, groups).model_copy(update={"moments": self.moments})


def join_rounds(ipc: int, rounds: int) -> list[int]:
    """The round in which the image of each rank joins; at IPC 1 there is nothing to stagger, all join at once.

    >>> join_rounds(10, 8)
    [0, 0, 1, 1, 2, 3, 4, 5, 6, 7]
    """
    sizes = [ipc // rounds + (r < ipc % rounds) for r in range(rounds)]
    return [r for r, size in enumerate(sizes) for _ in range(size)]
