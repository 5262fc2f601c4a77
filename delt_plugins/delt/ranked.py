"""Real images, or grids of their patches, that the teacher ranks: DELT's start, and RDED's images as they are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from delt_host import Initializer, Prepared, Problem, Start
from delt_host.toolbox import Zoomed
from delt_plugins.controls.real import too_few_images
from delt_plugins.delt.true_class import true_class_scores

Order = Literal["median-out", "ascending", "descending", "random"]

SCORED_AT_ONCE = 500  # crops; 300 MB of them at 224 px
ATTEMPTS = 10  # torchvision's RandomResizedCrop gives up after ten tries

# The order in which each selection lists its images when the user names none: data_selection.py.
NATURAL_ORDER: dict[str, Order] = {
    "medium": "median-out",
    "lowest": "ascending",
    "highest": "descending",
    "random": "random",
}


class Ranked(Initializer):
    """Real images, or grids of real patches, chosen by the teacher's score of their true class."""

    source: ClassVar[str] = "DELT, section 3.2 and Tables 3, 4a, 4b, 10; RDED, section 3.2 for grids"

    selection: Literal["medium", "lowest", "highest", "random"] = "medium"
    """Which scores are taken within each class; `medium`: those nearest to the median."""
    order: Literal["selection", "median-out", "ascending", "descending", "random"] = "selection"
    """The order within a class, which EarlyLate turns into time: the first is optimised longest. `selection`: the
    selection's own (medium: median-out, lowest: ascending, highest: descending)."""
    zoom: bool = False
    """Take whole images as DELT's code does although their files have the size asked for: the centres of enlarged ones, 64 px
    of 72. Files of another size are read so anyway."""
    patches: int = Field(1, ge=1, le=5)
    """Patches along a side: 1 takes whole images, g > 1 stitches g x g patches into one image."""
    cut: bool = False
    """Cut patches for a 1 x 1 grid too, as RDED does, rather than take whole images. Larger grids are always cut."""
    crops: int = Field(5, ge=1)
    """Random crops scored per image, of which the best are patches; where patches are cut."""
    images_per_class: int = Field(300, ge=1)
    """Images of each class that patches are cut from."""

    @property
    def whole(self) -> bool:
        """Whether whole images are taken."""
        return self.patches == 1 and not self.cut

    @property
    def dtype(self) -> torch.dtype:  # type: ignore[override]
        """Whole images are as they lie in the dataset; crops are resized, and so between levels."""
        return torch.uint8 if self.whole else torch.float32

    def prepares(self, problem: Problem) -> list[Prepared]:
        return [true_class_scores(problem, self.zoom)] if self.whole else []

    def passes(self, problem: Problem) -> float:
        if self.whole:
            return 0.0
        sources = torch.bincount(problem.data.train.targets).clamp_max(self.images_per_class)
        keep = (problem.count * self.patches**2 / sources).ceil()
        return float((sources * keep.clamp_min(self.crops)).sum())

    def initialize(self, problem: Problem, classes: Sequence[int]) -> Start:
        scores = problem.prepared(true_class_scores(problem, self.zoom))["scores"] if self.whole else torch.empty(0)
        train = Zoomed(problem.data.train) if self.zoom else problem.data.train
        parts = []
        for label in classes:
            available = train.of_class(label)
            if len(available) < problem.count:
                raise too_few_images(problem.class_names[label], len(available), problem.count)
            if self.whole:
                chosen = self._choose(problem, label, scores[available], problem.count)
                parts.append(train.read(available[chosen]))
            else:
                parts.append(self._grids(problem, label, available))
            problem.advance(problem.count)
        return Start(torch.cat(parts))

    def _choose(self, problem: Problem, label: int, scores: Tensor, count: int) -> Tensor:
        """Positions (count,) into `scores`, in the order in which the images are to join."""
        rng = problem.generator("ranked", label)
        by_score = scores.argsort(stable=True)
        place = torch.arange(len(scores))
        outward = median_out(len(scores))
        picks = {
            "medium": outward,
            "lowest": place,
            "highest": place.flip(0),
            "random": torch.randperm(len(scores), generator=rng),
        }
        picked = picks[self.selection][:count]
        order = NATURAL_ORDER[self.selection] if self.order == "selection" else self.order
        if order == "median-out":
            picked = picked[outward.argsort()[picked].argsort()]
        elif order == "random":
            picked = picked[torch.randperm(count, generator=rng)]
        else:
            picked = picked.sort(descending=order == "descending").values
        return by_score[picked]

    def _grids(self, problem: Problem, label: int, available: Tensor) -> Tensor:
        """(count, 3, S, S) normalised grids; image q takes patches q, q + count, q + 2 count, … of the chosen ones."""
        side, count = problem.image_size // self.patches, problem.count
        rng = problem.generator("patches", label)
        sources = available[torch.randperm(len(available), generator=rng)[: self.images_per_class]]
        needed = count * self.patches**2
        keep = math.ceil(needed / len(sources))
        crops_each = max(self.crops, keep)
        patches, scores = [], []
        for originals in self._originals(problem, sources, max(SCORED_AT_ONCE // crops_each, 1)):
            crops = torch.cat([self._crop(problem, original, side, crops_each, rng) for original in originals])
            likelihood = self._score(problem, crops, label).view(len(originals), crops_each)
            best = likelihood.argsort(dim=1, descending=True)[:, :keep]
            first = torch.arange(len(originals))[:, None] * crops_each
            patches.append(crops[(first + best).flatten()])
            scores.append(likelihood.gather(1, best).flatten())
        pool, ranking = torch.cat(patches), torch.cat(scores)
        chosen = pool[self._choose(problem, label, ranking, needed)]
        return stitch(chosen.view(self.patches, self.patches, count, 3, side, side), problem.image_size)

    def _originals(self, problem: Problem, sources: Tensor, size: int) -> Iterator[list[Tensor]]:
        """The images as their files have them, so many at a time; the next ones are decoded while these are scored."""
        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            waiting: list[Iterator[Tensor]] = []
            for part in sources.split(size):
                waiting.append(pool.map(problem.data.train.original, part.tolist()))
                if len(waiting) > 1:
                    yield list(waiting.pop(0))
            for last in waiting:
                yield list(last)

    def _crop(self, problem: Problem, original: Tensor, side: int, count: int, rng: torch.Generator) -> Tensor:
        """(count, 3, side, side) normalised square crops (RDED: antialiased)."""
        crops = []
        for top, left, length in draw_squares(rng, count, *original.shape[1:]).tolist():
            part = original[None, :, top : top + length, left : left + length].float() / 255
            crops.append(F.interpolate(part, size=side, mode="bilinear", antialias=True))
        return problem.normalization.normalize(torch.cat(crops))

    def _score(self, problem: Problem, crops: Tensor, label: int) -> Tensor:
        """The teacher's score of the class for crops padded with zeros, in normalised space, to the image size."""
        before = (problem.image_size - crops.shape[-1]) // 2
        after = problem.image_size - crops.shape[-1] - before
        padded = F.pad(crops, (before, after, before, after))
        return problem.teacher_logits(padded).softmax(dim=1)[:, label].cpu()


def draw_squares(rng: torch.Generator, count: int, height: int, width: int) -> Tensor:
    """Boxes (count, 3) int64 of (top, left, side): torchvision's `RandomResizedCrop` with its scale of 0.08 to 1 and ratio 1.

    A square that does not fit into the image is drawn again; after ten tries it is the largest one, in the middle.
    """
    area = torch.empty(count, ATTEMPTS, dtype=torch.float64).uniform_(0.08, 1, generator=rng) * height * width
    place = torch.rand(count, 2, dtype=torch.float64, generator=rng)
    sides, largest = area.sqrt().round().long(), min(height, width)
    fits = (sides > 0) & (sides <= largest)
    found = fits.any(dim=1)
    side = torch.where(found, sides.gather(1, fits.int().argmax(dim=1, keepdim=True))[:, 0], largest)
    room = torch.tensor([height, width]) - side[:, None]
    corner = torch.where(found[:, None], (place * (room + 1)).long(), room // 2)
    return torch.cat([corner, side[:, None]], dim=1)


def stitch(cells: Tensor, size: int) -> Tensor:
    """(count, 3, size, size) of cells (k, k, count, 3, s, s), by row and column; where k does not divide the size the first
    rows and columns are a pixel larger, their cells enlarged by nearest neighbour (RDED's `mix_images`)."""
    k = len(cells)
    sides = [size // k + (place < size % k) for place in range(k)]
    rows = []
    for height, line in zip(sides, cells, strict=True):
        parts = [F.interpolate(cell, size=(height, width)) for width, cell in zip(sides, line, strict=True)]
        rows.append(torch.cat(parts, dim=3))
    return torch.cat(rows, dim=2)


def median_out(count: int) -> Tensor:
    """Positions 0..count-1 of a sorted list from its middle outwards: mid, mid + 1, mid - 1, mid + 2, …

    mid = ceil(count / 2) as in DELT's data_selection.py, which runs past the end at count 1.
    """
    middle = min(math.ceil(count / 2), count - 1)
    places = sorted(range(count), key=lambda place: (abs(place - middle), place < middle))
    return torch.tensor(places)
