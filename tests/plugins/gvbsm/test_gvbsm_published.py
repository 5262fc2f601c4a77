"""G-VBSM beside what its published code printed: four steps of its loop, patches of 16, groups, and a committee's labels."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from committees import batches_of, check_recovery, committee_problem
from delt_host.basics.seeding import isolated_rng
from delt_host.contracts.relabeler import Batch
from delt_plugins.gvbsm.committee import CommitteeLabels
from delt_plugins.gvbsm.general_statistics import GeneralStatistics
from delt_plugins.gvbsm.plugin import GVBSM
from delt_plugins.gvbsm.real_moments import Asked, moments_of_batch
from made_inputs import waves
from published import golden

FIGURES = golden("gvbsm")


def test_four_steps_with_moving_averages_and_densification() -> None:
    matcher = GeneralStatistics(teachers=("first", "second"), drop=0.0, real_crop="none")
    check_recovery(committee_problem(), waves(20, 3, 12, 12) * 0.05, matcher, FIGURES["recover"])


def test_patches_of_sixteen_pixels_over_two_batches_of_a_map_of_24() -> None:
    with isolated_rng(0, "weights that nothing depends on"):
        network = nn.Sequential(nn.Conv2d(4, 2, 3, padding=1))
    asked = Asked(16, "none", 4, by_class=False)
    parts = [
        moments_of_batch(network, images, torch.zeros(len(images), dtype=torch.int64), 1, asked)
        for images in waves(6, 4, 24, 24, pitch=0.23).split([4, 2])
    ]
    found = {
        name: sum(part[f"0.{name}"][0] for part in parts) / 6 for name in ("patch-mean", "patch-variance", "variance")
    }
    published = FIGURES["patches of 16"]
    for name, theirs in (("patch-mean", "mean"), ("patch-variance", "variance"), ("variance", "channel variance")):
        assert found[name].tolist() == pytest.approx(published[theirs], rel=1e-5), name


@pytest.mark.parametrize(
    ("dataset", "ipc", "classes"),
    [("cifar10", 10, 10), ("cifar100", 10, 100), ("tiny-imagenet", 50, 200), ("imagenet", 10, 1000)],
)
def test_groups_are_what_each_gpu_has_of_a_batch(dataset: str, ipc: int, classes: int) -> None:
    published = FIGURES["batches"][f"{dataset} {ipc}"]
    assert batches_of(GVBSM, dataset, ipc, classes)[: len(published)] == published


@pytest.mark.parametrize(("branch", "rescale"), [("CIFAR_10", False), ("full_ImageNet_1k", True)])
def test_labels_of_a_committee(branch: str, rescale: bool) -> None:
    images, places, classes = waves(6, 3, 12, 12), torch.arange(6), torch.arange(6)
    batch = Batch(images, places, classes, places, classes, torch.ones(6))
    found = CommitteeLabels(rescale=rescale).bind(committee_problem())(batch)
    torch.testing.assert_close(found, torch.tensor(FIGURES["labels"][branch]), rtol=1e-5, atol=1e-5)
