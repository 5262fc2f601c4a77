"""How batches are mixed for labels, against what SRe2L's relabelling printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from delt_host.basics.seeding import generator, isolated_rng
from delt_host.contracts.dataset import MemorySplit
from delt_host.contracts.relabeler import Batch
from delt_host.contracts.replay import ViewSettings, replay_batch
from delt_host.images import augment
from delt_host.images.normalization import Normalization
from delt_plugins.labels.relabelers import Online
from made_inputs import SmallNetwork, made_levels, made_order, waves
from made_problem import IMAGENET, made_problem
from published import golden, places_of

FIGURES = golden("sre2l_relabel")
COUNT, SIZE, CLASSES = 12, 32, 6


def batch_of(mix: str, share: float, box: Sequence[int]) -> Batch:
    """The batch that stored views stand for: whole images, mixed."""
    whole = torch.tensor([[0, 0, SIZE, SIZE]]).expand(COUNT, -1)
    views = {
        "order": torch.arange(COUNT),
        "box": whole,
        "flip": torch.zeros(COUNT, dtype=torch.bool),
        "partner": made_order(COUNT),
        "mix": torch.tensor([[share, *box]]),
    }
    settings = ViewSettings(COUNT, "resized", mix, Normalization(*IMAGENET))  # type: ignore[arg-type]
    split = MemorySplit(made_levels(COUNT, SIZE), torch.arange(COUNT) % CLASSES)
    return replay_batch(settings, split, views, 0)


@pytest.mark.parametrize(("share", "down", "right", "box"), FIGURES["boxes"])
def test_boxes_are_the_published_ones(
    share: float, down: int, right: int, box: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(augment, "beta", lambda _rng, _alpha: share)
    monkeypatch.setattr(torch, "randint", lambda _high, _shape, generator: torch.tensor([down, right]))
    kept, ours = augment.cutmix_box(generator(0, "box"), 1.0, SIZE)
    top, left, bottom, right = box
    if (bottom - top) * (right - left):
        assert list(ours) == box
    assert kept == pytest.approx(1 - (bottom - top) * (right - left) / SIZE**2)


@pytest.mark.parametrize("mix", ["cutmix", "mixup"])
def test_mixed_batches_are_the_published_ones(mix: str) -> None:
    theirs = FIGURES[mix]
    images = batch_of(mix, theirs["share"], theirs["box"] or [0, 0, 0, 0]).images.contiguous()
    assert float(images.norm()) == pytest.approx(theirs["norm"], rel=1e-5)
    assert places_of(images).tolist() == pytest.approx(theirs["some"], abs=1e-4)


def test_a_teacher_left_in_train_mode_drifts_and_is_not_the_shared_one() -> None:
    """As in SRe2L's CIFAR-100 script: the statistics of each batch normalise it, and move the running ones."""
    problem = made_problem(4, 16, 1, IMAGENET)
    batch = replace(batch_of("mixup", 0.5, [0, 0, 0, 0]), images=waves(6, 3, 16, 16))
    frozen, drifting = Online().bind(problem), Online(train_mode=True).bind(problem)
    before = frozen(batch)
    with isolated_rng(0, "made"):
        theirs = SmallNetwork(4).train()
    torch.testing.assert_close(drifting(batch), theirs(batch.images))
    assert (drifting(batch) - before).abs().max() > 0.01
    assert torch.equal(frozen(batch), before)
