"""Where recovery starts: shapes, order, ranking by the teacher, grids of patches."""

from __future__ import annotations

import pytest
import torch

from conftest import make_problem
from delt_host.basics.errors import InputError
from delt_host.contracts.dataset import RealData
from delt_host.contracts.problem import Problem
from delt_host.contracts.teacher import Teacher
from delt_plugins.controls.real import Real
from delt_plugins.delt.ranked import Ranked, median_out
from delt_plugins.delt.true_class import true_class_scores
from delt_plugins.forms.mosaic import Mosaic
from delt_plugins.sre2l.noise import Noise


def class_scores(problem: Problem, label: int) -> torch.Tensor:
    return problem.prepared(true_class_scores(problem))["scores"][problem.data.train.of_class(label)]


def scores_of(problem: Problem, images: torch.Tensor) -> torch.Tensor:
    """The teacher's score of the true class for initialised images."""
    images = problem.normalization.normalize(images) if images.dtype == torch.uint8 else images
    return problem.teacher_logits(images).softmax(dim=1).gather(1, problem.targets()[:, None])[:, 0]


@pytest.mark.parametrize(
    "initializer",
    [Noise(), Real(), Ranked(), Ranked(patches=2, images_per_class=40), Ranked(patches=3, images_per_class=40)],
)
def test_ipc_images_of_every_class_in_class_order(problem: Problem, initializer: Noise | Real | Ranked) -> None:
    start = initializer.initialize(problem, range(10))
    assert start.images.shape == (40, 3, 8, 8)
    kept = isinstance(initializer, Real) or (isinstance(initializer, Ranked) and initializer.whole)
    assert start.images.dtype == (torch.uint8 if kept else torch.float32), "real images stay as they are"
    assert torch.equal(start.images, initializer.initialize(problem, range(10)).images)


@pytest.mark.parametrize(
    "initializer", [Noise(), Real(), Ranked(), Ranked(selection="random"), Ranked(patches=2, images_per_class=40)]
)
def test_what_a_class_gets_does_not_depend_on_which_others_are_asked_for(
    problem: Problem, initializer: Noise | Real | Ranked
) -> None:
    every = initializer.initialize(problem, range(10)).images.unflatten(0, (10, 4))
    some = initializer.initialize(problem, [7, 2]).images.unflatten(0, (2, 4))
    assert torch.equal(some, every[[7, 2]])


def test_a_form_of_more_images_is_given_them(problem: Problem) -> None:
    mosaics = problem.in_form(Mosaic())
    for initializer in (Noise(), Real(), Ranked(), Ranked(patches=2, images_per_class=40)):
        assert len(initializer.initialize(mosaics, [3]).images) == 4 * 4
    assert torch.equal(Real().initialize(mosaics, [3]).images[:4], Real().initialize(problem, [3]).images)


def test_noise_is_standard_normal(digits: RealData, teacher: Teacher) -> None:
    images = Noise().initialize(make_problem(digits, teacher, ipc=20), range(10)).images
    assert images.mean().abs() < 0.01 and (images.std() - 1).abs() < 0.01


def test_random_real_images_are_of_their_class_and_differ_by_seed(problem: Problem) -> None:
    start = Real().initialize(problem, range(10))
    for label in range(10):
        real = problem.data.train.read(problem.data.train.of_class(label))
        for image in start.images[label * 4 : label * 4 + 4]:
            assert (real == image).flatten(1).all(dim=1).any()
    assert not torch.equal(start.images, Real().initialize(problem.with_seed(1), range(10)).images)


@pytest.mark.parametrize(
    ("selection", "order"),
    [("medium", "selection"), ("lowest", "selection"), ("highest", "selection"), ("lowest", "descending")],
)
def test_ranked_images_have_the_scores_asked_for(problem: Problem, selection: str, order: str) -> None:
    start = Ranked.model_validate({"selection": selection, "order": order}).initialize(problem, range(10))
    scores = scores_of(problem, start.images)
    for label in range(10):
        ranked = class_scores(problem, label).sort().values
        count, mid = len(ranked), (len(ranked) + 1) // 2
        expected = {
            "medium": ranked[[mid, mid + 1, mid - 1, mid + 2]],
            "lowest": ranked[:4] if order == "selection" else ranked[:4].flip(0),
            "highest": ranked[[count - 1, count - 2, count - 3, count - 4]],
        }[selection]
        torch.testing.assert_close(scores[label * 4 : label * 4 + 4], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("order", ["median-out", "ascending", "descending", "random"])
def test_order_rearranges_the_same_images(problem: Problem, order: str) -> None:
    medium = scores_of(problem, Ranked().initialize(problem, range(10)).images)
    arranged = scores_of(problem, Ranked.model_validate({"order": order}).initialize(problem, range(10)).images)
    for label in range(10):
        mine, other = medium[label * 4 : label * 4 + 4], arranged[label * 4 : label * 4 + 4]
        torch.testing.assert_close(mine.sort().values, other.sort().values)
        if order == "ascending":
            assert torch.equal(other, other.sort().values)
        if order == "median-out":
            torch.testing.assert_close(mine, other)


@pytest.mark.parametrize(("count", "places"), [(1, [0]), (2, [1, 0]), (5, [3, 4, 2, 1, 0]), (6, [3, 4, 2, 5, 1, 0])])
def test_median_out(count: int, places: list[int]) -> None:
    assert median_out(count).tolist() == places


def test_grids_hold_patches_of_the_class_with_the_best_scores(problem: Problem) -> None:
    """With `highest`, a grid's patches score at least as high as those of `lowest`, class by class."""
    high = scores_of(problem, Ranked(patches=2, selection="highest").initialize(problem, range(10)).images)
    low = scores_of(problem, Ranked(patches=2, selection="lowest").initialize(problem, range(10)).images)
    assert high.mean() > low.mean()


def test_more_patches_than_images_takes_several_from_each(problem: Problem) -> None:
    images = Ranked(patches=3, images_per_class=5, crops=2).initialize(problem, range(10)).images
    assert torch.isfinite(images).all() and len(images) == 40


@pytest.mark.parametrize("initializer", [Real(), Ranked(), Ranked(patches=2)])
def test_more_images_than_there_are_is_refused(digits: RealData, teacher: Teacher, initializer: Real | Ranked) -> None:
    problem = make_problem(digits, teacher, ipc=1000)
    with pytest.raises(InputError, match=r"class '0' has 1\d\d training images, 1000 images per class were asked for"):
        initializer.initialize(problem, range(10))
