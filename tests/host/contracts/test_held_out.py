"""What is held out for testing: a share of each class, the same for everybody who asks with the same seed."""

from __future__ import annotations

import pytest
import torch

from delt_host.basics.errors import InputError
from delt_host.contracts.held_out import held_out

MIXED = torch.tensor([0, 1, 0, 2, 1, 0, 2, 0, 0, 1, 0, 0, 0, 0, 2, 0])  # ten, three, three


@pytest.mark.parametrize(
    ("share", "of_each"), [(0.2, [2, 1, 1]), (0.5, [5, 2, 2]), (0.01, [1, 1, 1]), (0.99, [9, 2, 2])]
)
def test_a_share_of_each_class_and_never_all_or_none(share: float, of_each: list[int]) -> None:
    train, test = held_out(MIXED, share)
    assert torch.bincount(MIXED[test]).tolist() == of_each
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(16))
    assert train.tolist() == sorted(train.tolist()) and test.tolist() == sorted(test.tolist())


def test_the_seed_alone_decides() -> None:
    targets = torch.arange(300) % 3
    first, again, other = (held_out(targets, 0.2, seed)[1].tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_classes_are_drawn_apart() -> None:
    """Else all classes of one size had the same places held out; and another class in the folder moved them all."""
    targets = torch.arange(300) // 100
    test = held_out(targets, 0.2, 0, ("cat", "dog", "fox"))[1]
    cat, dog, fox = (set((test[targets[test] == label] % 100).tolist()) for label in range(3))
    assert cat != dog != fox != cat
    without = held_out(targets[:200], 0.2, 0, ("cat", "fox"))[1]
    assert set((without[without >= 100] - 100).tolist()) == fox


def test_what_cannot_be_held_out_is_named() -> None:
    with pytest.raises(InputError, match="class 'wren' has 1 image: it takes two"):
        held_out(torch.tensor([0, 0, 1]), class_names=("owl", "wren"))
    with pytest.raises(InputError, match="class 'wren' has no images"):
        held_out(torch.tensor([0, 0]), class_names=("owl", "wren"))
    with pytest.raises(InputError, match="class '1' has 1 image"):
        held_out(torch.tensor([0, 0, 1]))
    for share in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="between 0 and 1, not"):
            held_out(MIXED, share)
