"""`--validate`: which images are held out, and that nobody sees them or test images."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from delt_host import InputError, RealData, RunError
from delt_host.contracts.dataset import MemorySplit, PartOf, UnreadSplit
from delt_host.contracts.validation import with_validation
from delt_plugins.engines.parcel import pack_data, unpack_data


def test_a_share_of_each_class_is_held_out_and_the_rest_is_all_there_is(digits: RealData) -> None:
    data = with_validation(digits, 0.2)
    assert len(data.train) + len(data.scored) == len(digits.train) and data.split == "validation"
    for label in range(10):
        assert len(data.scored.of_class(label)) == round(0.2 * len(digits.train.of_class(label)))
    everything = {image.numpy().tobytes() for image in digits.train.read(torch.arange(len(digits.train)))}
    parts = [
        [image.numpy().tobytes() for image in split.read(torch.arange(len(split)))]
        for split in (data.train, data.scored)
    ]
    assert {*parts[0], *parts[1]} == everything
    pixels = data.train.read(torch.arange(len(data.train))).double() / 255
    assert data.mean == pytest.approx(pixels.mean((0, 2, 3)).tolist()) and data.mean != digits.mean, "of the rest alone"
    assert data.fingerprint not in (digits.fingerprint, with_validation(digits, 0.3).fingerprint)
    again = with_validation(digits, 0.2)
    assert again.fingerprint == data.fingerprint and torch.equal(
        again.train.read(torch.arange(9)), data.train.read(torch.arange(9))
    )
    assert with_validation(digits, 0) is digits


def test_nobody_looks_at_test_images(digits: RealData) -> None:
    test = with_validation(digits, 0.2).test
    for look in (lambda: test.read(torch.arange(1)), lambda: test.targets, lambda: len(test), lambda: test.original(0)):
        with pytest.raises(RunError, match="test images are not looked at under --validate"):
            look()


@pytest.mark.parametrize("share", [20, 1, -0.1, float("nan")])
def test_a_share_that_is_none(digits: RealData, share: float) -> None:
    with pytest.raises(InputError, match="--validate is the share of the training images to hold out"):
        with_validation(digits, share)


def test_a_class_of_one_image_has_none_to_hold_out(digits: RealData) -> None:
    places = torch.cat([digits.train.of_class(0)[:1], *(digits.train.of_class(label) for label in range(1, 10))])
    few = replace(digits, train=MemorySplit(digits.train.read(places), digits.train.targets[places]))
    with pytest.raises(
        InputError, match=r"--validate 0\.2 holds out images of every class of digits: class '0' has 1 image"
    ):
        with_validation(few, 0.2)


def test_data_that_nobody_indexed_stay_unread_and_others_are_read_where_they_lie(digits: RealData) -> None:
    data = with_validation(replace(digits, train=UnreadSplit(digits.train.targets), unread="not yet"), 0.2)
    assert isinstance(data.train, PartOf) and len(data.scored) > 0 and data.mean == digits.mean
    with pytest.raises(RunError, match="not indexed"):
        data.train.read(torch.arange(1))


def test_engines_send_what_is_held_out_and_no_test_image(digits: RealData) -> None:
    data = with_validation(digits, 0.2)
    sent = unpack_data(pack_data(data))
    assert sent is not None and sent.split == "validation" and sent.fingerprint == data.fingerprint
    assert torch.equal(sent.scored.targets, data.scored.targets)
    with pytest.raises(RunError):
        len(sent.test)
