import torch
from kmeans_method import KMeansStart, nearest_distinct

from delt_plugins.kit import check


def test_it_keeps_the_initializers_contract() -> None:
    check(KMeansStart(restarts=1))


def test_no_image_is_taken_twice() -> None:
    assert nearest_distinct(torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])).tolist() == [0, 1]
