import torch
from gradient_matcher import Gradients

from delt_plugins.kit import check, small_problem, views_of


def test_it_keeps_the_matchers_contract() -> None:
    check(Gradients(real_batch=4))


def test_the_real_images_themselves_are_no_distance_away() -> None:
    problem = small_problem()
    train = problem.data.train
    places = torch.cat([train.of_class(label) for label in (0, 1)])
    images, targets = problem.normalization.normalize(train.read(places)), train.targets[places]
    match = Gradients(real_batch=len(train)).bind(problem)

    def apart(of: torch.Tensor) -> float:
        views = views_of(problem, of.requires_grad_(True), targets)
        return float(match(views)["gradients"].detach())

    assert apart(images.clone()) < 1e-3 < 5e-3 < apart(images.flip(0))
