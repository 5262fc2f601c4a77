"""How a distilled set came to be: where its images started, how long each was optimised, and how the losses fell.

Small beside the set itself: a few start images, one number for each image, and fifty points of each loss curve.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch
from pydantic import BaseModel, FiniteFloat
from torch import Tensor

from delt_host.basics.brief import Brief
from delt_host.basics.errors import InputError
from delt_host.contracts.initializer import Start
from delt_host.contracts.packed import Packed
from delt_host.contracts.plan import Plan
from delt_host.contracts.problem import Problem
from delt_host.recovery.latents import Latents
from delt_host.store.tensors import FileKind, Header

SHOWN_CLASSES = 10  # whose longest and shortest optimised images are kept as they started


class LossCurve(BaseModel):
    """Loss terms of groups that were logged at the same iterations, averaged over these groups."""

    groups: int
    iteration: list[int]
    terms: dict[str, list[FiniteFloat]]


@dataclass(frozen=True, repr=False)
class History(Brief):
    """What recovery did to each image."""

    iterations: Tensor
    """(N,) int64: in how many iterations each image was optimised; zeros where nothing was."""
    images: Tensor
    """(M,) int64: which images' starts are kept: of each shown class the one optimised longest and the one shortest."""
    start: Tensor
    """(M, 3, S, S) uint8 RGB: these images as the initializer made them, in the set's form."""
    curves: tuple[LossCurve, ...] = ()

    def save(self, path: Path) -> None:
        tensors = {name: getattr(self, name) for name in TENSORS}
        HISTORY_FILES.write(path, {"curves": [curve.model_dump() for curve in self.curves]}, tensors)


def load_history(path: Path) -> History:
    """Read a `history.safetensors`; InputError where it is missing, damaged or something else."""
    about, tensors = HISTORY_FILES.read(path)
    iterations, images, start = (tensors[name] for name in TENSORS)
    whole = iterations.dtype == images.dtype == torch.int64 and iterations.ndim == images.ndim == 1
    if not whole or start.dtype != torch.uint8 or start.ndim != 4 or start.shape[:2] != (len(images), 3):
        raise InputError(f"the history {path}: its tensors are not those of one")
    if len(images) and not 0 <= int(images.min()) <= int(images.max()) < len(iterations):
        raise InputError(f"the history {path} has starts of images that it has not")
    if any(len(values) != len(curve.iteration) for curve in about.curves for values in curve.terms.values()):
        raise InputError(f"the history {path}: a loss curve and its iterations differ in length")
    return History(iterations, images, start, about.curves)


class _Header(Header):
    curves: tuple[LossCurve, ...] = ()


TENSORS = ("iterations", "images", "start")
HISTORY_FILES = FileKind("history", "delt_host.history", _Header, "{path} is no history of a distilled set", TENSORS)


def recorded(plan: Plan, start: Callable[[Tensor], Start], problem: Problem, curves: tuple[LossCurve, ...]) -> History:
    """What is kept of a recovery by `plan`, whose units (U,) began as `start` tells; starts are as the set's form
    would have stored them."""
    cells, targets = problem.form.cells, problem.targets()
    iterations = iterations_of(plan, problem.num_units).repeat_interleave(cells)
    images = shown(iterations, targets)
    units, unit = (images // cells).unique(return_inverse=True)
    packed = Packed.of(problem.form.pack(Latents.of(problem, start(units), units).images, problem.normalization))
    return History(iterations, images, packed.images(problem.form, unit * cells + images % cells), curves)


def iterations_of(plan: Plan, count: int) -> Tensor:
    """(count,) int64: in how many iterations of the plan each unit is optimised."""
    lengths = torch.zeros(count, dtype=torch.int64)
    for group in plan.groups:
        members = torch.tensor(group.images)
        for phase in group.phases:
            lengths[members[: phase.active]] += phase.iterations
    return lengths


def shown(iterations: Tensor, targets: Tensor) -> Tensor:
    """(M,) int64: of each of the first classes the images optimised longest and shortest, in this order."""
    chosen: list[int] = []
    for label in targets.unique()[:SHOWN_CLASSES]:
        own = (targets == label).nonzero().flatten()
        order = own[iterations[own].argsort(descending=True, stable=True)]
        chosen += dict.fromkeys([int(order[0]), int(order[-1])])
    return torch.tensor(chosen, dtype=torch.int64)


def averaged(curves: Sequence[Mapping[str, Sequence[float]]]) -> tuple[LossCurve, ...]:
    """The curves of a plan's groups, those logged at the same iterations as one."""
    alike: dict[tuple[float, ...], list[Mapping[str, Sequence[float]]]] = {}
    for curve in curves:
        alike.setdefault(tuple(curve["iteration"]), []).append(curve)
    return tuple(
        LossCurve(
            groups=len(group),
            iteration=[int(each) for each in iteration],
            terms={
                name: [fmean(values) for values in zip(*(curve[name] for curve in group), strict=True)]
                for name in group[0]
                # A term that came or went midway has fewer points than the iteration, and no place to stand.
                if name != "iteration" and all(len(curve.get(name, ())) == len(iteration) for curve in group)
            },
        )
        for iteration, group in alike.items()
    )
