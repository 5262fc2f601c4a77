"""EDC beside what its published code printed: four steps of its loop, the targets of a class, and groups."""

from __future__ import annotations

import pytest

from committees import batches_of, check_recovery, committee_problem
from delt_plugins.edc.plugin import EDC
from delt_plugins.gvbsm.general_statistics import GeneralStatistics
from delt_plugins.gvbsm.real_moments import of_layer, real_moments
from published import golden

FIGURES = golden("edc")


def matcher(*, swapped: bool = False) -> GeneralStatistics:
    return GeneralStatistics(
        teachers=("first", "second"),
        drop=0.0,
        diversity=0.0,
        class_wise=0.5,
        real_crop="none",
        legacy_swapped_patches=swapped,
    )


@pytest.mark.parametrize("swapped", [True, False], ids=["as its files are", "files put right"])
def test_four_steps_with_moving_averages_class_by_class(swapped: bool) -> None:
    problem = committee_problem()
    pixels = problem.data.train.read(problem.targets().new_tensor(range(20)))
    start = problem.normalization.normalize(pixels).roll(2, dims=0)
    published = FIGURES["recover" if swapped else "recover, files put right"]
    check_recovery(problem, start, matcher(swapped=swapped), published)


def test_a_class_has_the_mean_of_its_images_own_moments_and_its_files_have_patches_exchanged() -> None:
    problem = committee_problem()
    real = problem.prepared(real_moments(problem, 0, matcher().asked))
    found = {name: each[3].tolist() for name, each in of_layer(real, 2, "classes")}
    files = FIGURES["files"]
    for name, theirs in (
        ("mean", "dd_mean"),
        ("variance", "dd_var"),
        ("patch-mean", "patch_var"),
        ("patch-variance", "patch_mean"),
    ):
        assert found[name] == pytest.approx(files[f"running_{theirs}"], rel=1e-5), name


@pytest.mark.parametrize(
    ("dataset", "ipc", "classes"),
    [
        ("cifar10", 10, 10),
        ("cifar100", 10, 100),
        ("tiny-imagenet", 10, 200),
        ("imagenet", 10, 1000),
        ("imagenette", 50, 10),
    ],
)
def test_groups_are_what_each_gpu_has_of_a_batch(dataset: str, ipc: int, classes: int) -> None:
    published = FIGURES["batches"][f"{dataset} {ipc}"]
    assert batches_of(EDC, dataset, ipc, classes)[: len(published)] == published
