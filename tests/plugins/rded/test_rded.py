"""RDED against a slow, plain reference: crops by torchvision, one image after the other, stitched pixel by pixel."""

from __future__ import annotations

import math

import pytest
import torch
import torchvision.transforms.v2.functional as TF

from delt_host.contracts.problem import Problem
from delt_plugins.delt import ranked
from delt_plugins.delt.ranked import Ranked


def plain_rded(problem: Problem, label: int, factor: int, sources: int, crops: int) -> torch.Tensor:
    """(ipc, 3, S, S): section 4 of RDED for one class, with the draws that the plugin makes."""
    size, ipc = problem.image_size, problem.ipc
    side = size // factor
    rng = problem.generator("patches", label)
    members = problem.data.train.of_class(label)
    kept: list[tuple[float, torch.Tensor]] = []
    for index in members[torch.randperm(len(members), generator=rng)[:sources]].tolist():
        image = problem.data.train.original(index)
        height, width = image.shape[1:]
        scored = []
        areas = torch.empty(crops, 10, dtype=torch.float64).uniform_(0.08, 1, generator=rng) * height * width
        places = torch.rand(crops, 2, dtype=torch.float64, generator=rng)
        for area, (y, x) in zip(areas[:, 0].tolist(), places.tolist(), strict=True):
            length = round(math.sqrt(area))  # the digits are square: the first fits
            top, left = int(y * (height - length + 1)), int(x * (width - length + 1))
            crop = TF.resized_crop(image.float()[None] / 255, top, left, length, length, [side, side], antialias=True)
            crop = problem.normalization.normalize(crop)
            whole = torch.zeros(1, 3, size, size)
            start = (size - side) // 2
            whole[:, :, start : start + side, start : start + side] = crop
            loss = torch.nn.functional.cross_entropy(problem.network(whole), torch.tensor([label]))
            scored.append((loss.item(), crop[0]))
        kept.append(min(scored, key=lambda pair: pair[0]))
    best = [crop for _, crop in sorted(kept, key=lambda pair: pair[0])][: ipc * factor**2]
    images = torch.zeros(ipc, 3, size, size)
    for q in range(ipc):
        for i in range(factor):
            for j in range(factor):
                cell = best[(i * factor + j) * ipc + q]
                images[q, :, i * side : (i + 1) * side, j * side : (j + 1) * side] = cell
    return images


def test_the_same_images_as_the_plain_reference(problem: Problem) -> None:
    for factor in (1, 2):
        ours = Ranked(selection="highest", cut=True, patches=factor, images_per_class=20).initialize(problem, range(10))
        for label in (0, 7):
            expected = plain_rded(problem, label, factor, sources=20, crops=5)
            torch.testing.assert_close(ours.images[problem.targets() == label], expected, atol=1e-4, rtol=1e-4)


def test_rded_cuts_patches_where_delt_takes_whole_images(problem: Problem) -> None:
    whole = Ranked(selection="highest").initialize(problem, range(10)).images
    whole = problem.normalization.normalize(whole)
    cut = Ranked(selection="highest", cut=True, images_per_class=20).initialize(problem, range(10)).images
    real = problem.normalization.normalize(problem.data.train.read(torch.arange(len(problem.data.train))))

    def is_real(images: torch.Tensor) -> list[bool]:
        return [bool((real - image).abs().flatten(1).amax(dim=1).min() < 1e-4) for image in images]

    assert all(is_real(whole))
    assert sum(is_real(cut)) < len(cut) / 4
    scores = problem.teacher_logits(cut).softmax(dim=1).gather(1, problem.targets()[:, None])[:, 0]
    per_class = scores.view(problem.num_classes, problem.ipc)
    assert bool((per_class[:, :-1] >= per_class[:, 1:] - 1e-4).all()), "best patches come first"


def test_crops_of_many_images_are_scored_at_once(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    """30 images of 5 crops are one pass, or two of at most 75 crops; the same patches are chosen."""
    cut = Ranked(selection="highest", cut=True, patches=2, images_per_class=30)
    seen: list[int] = []
    hook = problem.network.register_forward_pre_hook(lambda _network, given: seen.append(len(given[0])))
    try:
        whole = cut.initialize(problem, [3]).images
        monkeypatch.setattr(ranked, "SCORED_AT_ONCE", 79)
        halves = cut.initialize(problem, [3]).images
    finally:
        hook.remove()
    assert seen == [150, 75, 75]
    torch.testing.assert_close(halves, whole)
