"""No image is alone in a batch, whatever the protocol, and all other batches are as they were."""

from __future__ import annotations

import math

import pytest
import torch

from conftest import make_problem
from delt_host import InputError
from delt_host.basics import batching
from delt_host.basics.seeding import isolated_rng
from delt_host.contracts.dataset import RealData
from delt_host.contracts.replay import draw_epoch, replay_epoch
from delt_host.contracts.sets import Distilled
from delt_host.contracts.teacher import Teacher
from delt_host.networks.build import build_model, check_trains_on_one
from delt_plugins.networks.plugin import delt_models


@pytest.mark.parametrize("size", [2, 3, 10, 50])
def test_a_single_image_joins_the_batch_before(size: int) -> None:
    for count in range(2, 205):
        batches = [batching.places(count, size, step) for step in range(batching.steps(count, size))]
        assert [place for batch in batches for place in batch] == list(range(count))
        assert all(len(batch) > 1 for batch in batches)
        if count % size != 1:
            assert batches == [range(at, min(at + size, count)) for at in range(0, count, size)]
            assert batching.steps(count, size) == math.ceil(count / size)


@pytest.mark.parametrize(
    "protocol", [{}, {"mix": "mixup"}, {"siamese": "flip_scale"}], ids=["fair", "mixup", "siamese"]
)
@pytest.mark.parametrize("count", [11, 21, 31, 41, 51, 101])
def test_a_network_with_one_position_is_trained_on_any_number(
    digits: RealData, teacher: Teacher, count: int, protocol: dict[str, object]
) -> None:
    problem = make_problem(digits, teacher, ipc=1, batch_size=10, **protocol)
    distilled = Distilled.of(digits.train.read(torch.arange(count)), digits.train.targets[:count])
    views = draw_epoch(problem, 0, count)
    batches = list(replay_epoch(problem, distilled, views))
    assert [len(batch.images) for batch in batches] == [10] * (count // 10 - 1) + [11]
    assert len(views["mix"]) == problem.protocol.steps_an_epoch(problem, count) == len(batches)
    norm = torch.nn.BatchNorm2d(3).train()
    for batch in batches:
        norm(batch.images.mean(dim=(2, 3), keepdim=True))


def test_one_image_a_batch_is_refused_where_the_network_cannot() -> None:
    with isolated_rng(0, "test"):
        check_trains_on_one(build_model("convnet3", 3, 32, delt_models()), "convnet3", 32)
        with pytest.raises(
            InputError, match=r"torchvision:resnet18 cannot be trained on a batch of one image .*batch_size"
        ):
            check_trains_on_one(build_model("torchvision:resnet18", 3, 32), "torchvision:resnet18", 32)
