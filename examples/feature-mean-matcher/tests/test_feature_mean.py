import torch
from feature_mean import FeatureMean, distance

from delt_plugins.kit import check


def test_it_keeps_the_matchers_contract() -> None:
    check(FeatureMean(weight=0.5))


def test_only_the_mean_of_a_class_counts() -> None:
    real = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    features = torch.tensor([[1.0, 3.0], [-1.0, -3.0], [3.0, 1.0]])
    assert float(distance(features, torch.tensor([0, 0, 1]), real)) == 1.0  # class 0: 0, class 1: (4 + 0) / 2, mean 1
