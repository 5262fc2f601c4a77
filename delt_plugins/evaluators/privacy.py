"""Privacy: how near the distilled images come to training images, and whether they tell who was a training image.

The DELT paper names its real starting images as a limitation and measures nothing; this does.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from delt_host import Distilled, Evaluation, Evaluator, Problem, Split, Taught, hookimpl
from delt_host.toolbox import FEATURE_BATCH, FeatureSpace


class Privacy(Evaluator):
    """Near copies of training images, and membership inference by distance.

    `near-copies`: the share of distilled images whose nearest training image is closer than `threshold` (root mean square
    difference of pixels in 0..1), in percent; `pixel-distance` and `feature-distance` (1 - cosine) are the means over
    distilled images. `membership`: the area under the ROC curve of an attack that calls an image a training image when
    a distilled one is near it in features, on as many training images as test images, or under `--validate` those held out, in
    percent; 50 tells nothing.
    """

    source: ClassVar[str] = "this project; membership by distance: Chen et al., GAN-Leaks, CCS 2020, section 4.2"
    per: ClassVar[Literal["set", "regime", "table"]] = "set"
    headline: ClassVar[str] = "near-copies"
    better: ClassVar[Literal["higher", "lower"]] = "lower"

    threshold: float = Field(0.05, ge=0)
    """Root mean square pixel difference below which an image counts as a copy."""
    members: int = Field(10_000, ge=1)
    """Training images, and as many test images, or under `--validate` those held out, that the attack is tried on; fewer where
    there are fewer."""

    @property
    def title(self) -> str:
        return "privacy"

    def evaluate(self, problem: Problem, distilled: Distilled, taught: Taught | None) -> Evaluation:
        train, test = problem.data.train, problem.data.scored
        found = [nearest_pixels(images, train) for _, images in distilled.slices()]
        pixel, nearest = (torch.cat(parts) for parts in zip(*found, strict=True))
        space = FeatureSpace(problem)
        features = F.normalize(space.of_split(distilled, torch.arange(len(distilled))), dim=1)
        closest = torch.full((len(features),), 2.0)
        for chunk in torch.arange(len(train)).split(FEATURE_BATCH):
            real = F.normalize(space(train.read(chunk)), dim=1)
            closest = torch.minimum(closest, 1 - (features @ real.T).amax(dim=1))
        count = min(self.members, len(train), len(test))
        inside, outside = (self._distances(problem, split, count, space, features) for split in (train, test))
        scores = {
            "near-copies": 100 * float((pixel < self.threshold).float().mean()),
            "pixel-distance": float(pixel.mean()),
            "feature-distance": float(closest.clamp_min(0).mean()),
            "membership": 100 * area_under_curve(-inside, -outside),
        }
        return Evaluation(scores, {"nearest_training_image": nearest.tolist(), "pixel_distance": pixel.tolist()})

    def _distances(self, problem: Problem, split: Split, count: int, space: FeatureSpace, features: Tensor) -> Tensor:
        """(count,): for random images of a split, the cosine distance of the nearest distilled image."""
        # One purpose for both splits: neither the draw nor anything else tells them apart.
        chosen = torch.randperm(len(split), generator=problem.generator("privacy"))[:count]
        return 1 - (F.normalize(space.of_split(split, chosen), dim=1) @ features.T).amax(dim=1)


def nearest_pixels(pixels: Tensor, split: Split) -> tuple[Tensor, Tensor]:
    """For uint8 images (N, 3, S, S): the root mean square difference to the nearest image of a split, and its index."""
    mine = pixels.flatten(1).double() / 255
    best, where = torch.full((len(mine),), torch.inf, dtype=torch.float64), torch.zeros(len(mine), dtype=torch.long)
    for chunk in torch.arange(len(split)).split(FEATURE_BATCH):
        # Exact distances: the expanded form of cdist loses the small ones, which are what is looked for.
        theirs = split.read(chunk).flatten(1).double() / 255
        distance = torch.cdist(mine, theirs, compute_mode="donot_use_mm_for_euclid_dist")
        value, place = distance.min(dim=1)
        where = torch.where(value < best, chunk[place], where)
        best = torch.minimum(best, value)
    return (best / mine.shape[1] ** 0.5).float(), where


def area_under_curve(positive: Tensor, negative: Tensor) -> float:
    """The probability that a random `positive` score is above a random `negative` one, ties counting half."""
    ranks = torch.cat([positive, negative]).double()
    order, inverse, counts = ranks.unique(return_inverse=True, return_counts=True)
    middle = counts.cumsum(0) - (counts - 1) / 2  # the mean rank of equal scores, counted from 1
    total = middle[inverse][: len(positive)].sum() - len(positive) * (len(positive) + 1) / 2
    return float(total / (len(positive) * len(negative))) if len(order) else 0.5


@hookimpl
def delt_evaluators() -> dict[str, type[Evaluator]]:
    return {"privacy": Privacy}
