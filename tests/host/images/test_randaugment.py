"""RandAugment in batches is timm's and torchvision's, done to one image after the other by Pillow, within one level."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from timm.data.auto_augment import LEVEL_TO_ARG, NAME_TO_OP, rand_augment_transform
from torch import Tensor
from torchvision.transforms import InterpolationMode, RandAugment, autoaugment
from torchvision.transforms.v2.functional import pil_to_tensor, to_pil_image

from delt_host.basics.seeding import generator
from delt_host.images import pillow
from delt_host.images.randaugment import (
    BINS,
    CODE,
    FILL,
    MOVES,
    OPERATIONS,
    apply_operations,
    parse_randaugment,
    timm_arguments,
    torchvision_arguments,
)

SIZES = (32, 64, 224)
LEVELS = (0.0, 0.71, 2.63, 5.18, 7.77, 10.0)
IN_TIMM = {"TranslateX": "TranslateXRel", "TranslateY": "TranslateYRel"}
ONE = torch.ones(1, dtype=torch.float64)
TIMM = tuple(timm_arguments(torch.zeros(1), ONE, 32))
TORCHVISION = tuple(torchvision_arguments(ONE, 32, 9))
RESAMPLE = {pillow.BILINEAR: Image.Resampling.BILINEAR, pillow.BICUBIC: Image.Resampling.BICUBIC}


def pictures(size: int) -> Tensor:
    """Smooth, grainy, with a flat square, and of one colour: (4, 3, size, size)."""
    rng = generator(0, "pictures")
    images = F.interpolate(torch.rand(4, 3, 6, 6, generator=rng), size=size, mode="bicubic") * 200 + 20
    images[1] += 15 * torch.randn(3, size, size, generator=rng)
    images[2, :, size // 3 : size // 2, size // 4 : size // 2] = 77
    images[3] = torch.tensor([200.0, 40.0, 90.0]).view(3, 1, 1)
    return images.clamp(0, 255).to(torch.uint8)


def ours(images: Tensor, name: str, argument: Tensor, resample: int) -> Tensor:
    shape = (len(images), 1)
    operation, how = (torch.full(shape, code, dtype=torch.uint8) for code in (CODE[name], resample))
    return apply_operations(images, operation, argument.float().expand(shape), how)


def by_pillow(images: Tensor, operate: Callable[[Image.Image], Image.Image]) -> Tensor:
    return torch.stack([pil_to_tensor(operate(to_pil_image(image))) for image in images])


def share_that_differs(got: Tensor, wanted: Tensor) -> float:
    """Of the levels, none of which may differ by more than one."""
    differ = (got.int() - wanted.int()).abs()
    assert int(differ.max()) <= 1
    return float((differ > 0).float().mean())


def of_timm(images: Tensor, name: str, level: float, sign: int, resample: int) -> Tensor:
    name = IN_TIMM.get(name, name)
    to_argument = LEVEL_TO_ARG[name]
    given = to_argument(level, {"translate_pct": 0.45}) if to_argument else ()
    settings = {}
    if resample:
        given, settings = (sign * abs(given[0]),), {"fillcolor": (124, 116, 104), "resample": RESAMPLE[resample]}
    if name == "Posterize" and given[0] == 0:  # black, which newer releases of Pillow refuse to make
        return torch.zeros_like(images)
    return by_pillow(images, lambda picture: NAME_TO_OP[name](picture, *given, **settings))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", TIMM)
def test_each_operation_is_timms(name: str, size: int) -> None:
    images, shares = pictures(size), []
    for level in LEVELS:
        for sign in (-1, 1) if name in MOVES else (1,):
            argument = timm_arguments(torch.tensor([level]), sign * ONE, size)[name]
            for resample in RESAMPLE if name in MOVES else (0,):
                theirs = of_timm(images, name, float(torch.tensor(level)), sign, resample)
                shares.append(share_that_differs(ours(images, name, argument, resample), theirs))
    # Moves alone sum weights in float32, and at some levels the exact sum is a whole number.
    assert sum(shares) / len(shares) <= (2e-3 if name in MOVES else 0), shares


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("place", [0, 5, 9, 30])
def test_each_operation_is_torchvisions(size: int, place: int) -> None:
    images, space = pictures(size), RandAugment()._augmentation_space(BINS, (size, size))
    assert set(space) == set(TORCHVISION)
    for name, (magnitudes, signed) in space.items():
        magnitude = float(magnitudes[place]) if magnitudes.ndim else 0.0
        for sign in (1, -1) if signed else (1,):
            theirs = by_pillow(
                images,
                lambda picture, name=name, at=sign * magnitude: autoaugment._apply_op(
                    picture, name, at, InterpolationMode.NEAREST, None
                ),
            )
            argument = torchvision_arguments(sign * ONE, size, place)[name]
            assert share_that_differs(ours(images, name, argument, pillow.NEAREST), theirs) == 0, (name, sign)


def test_timms_operations_fill_and_resample_are_those_of_delts_call() -> None:
    """What ``rand_augment_transform`` makes of the hparams of DELT's evaluation/validation/main.py."""
    theirs = rand_augment_transform("rand-m5-n4-mstd1.0", {"translate_const": 117, "img_mean": (124, 116, 104)})
    assert {operation.name for operation in theirs.ops} == {IN_TIMM.get(name, name) for name in TIMM}
    for operation in theirs.ops:
        assert operation.kwargs == {"fillcolor": (124, 116, 104), "resample": tuple(RESAMPLE.values())}
        assert (operation.prob, operation.magnitude, operation.magnitude_std) == (0.5, 5, 1.0)
    assert FILL.tolist() == [[0, 0, 0], [124, 116, 104], [124, 116, 104]]


def test_timms_draws() -> None:
    drawn = parse_randaugment("m5-n4").draw(generator(1, "ra"), 20000, 32)
    operation, argument, resample = drawn["operation"], drawn["argument"], drawn["resample"]
    assert operation.shape == (20000, 4)
    shares = torch.bincount(operation.flatten().long(), minlength=len(OPERATIONS)) / operation.numel()
    assert float(shares[0]) == pytest.approx(0.5, abs=0.01)
    torch.testing.assert_close(shares[1:], torch.full((15,), 1 / 30), atol=3e-3, rtol=0)
    assert set(resample.unique().tolist()) == {pillow.BILINEAR, pillow.BICUBIC}
    assert float((resample == pillow.BICUBIC).float().mean()) == pytest.approx(0.5, abs=0.01)
    turns = argument[operation == CODE["Rotate"]]
    assert float((turns > 0).float().mean()) == pytest.approx(0.5, abs=0.03)
    assert float(turns.abs().mean()) == pytest.approx(15, abs=0.3) and float(turns.abs().std()) == pytest.approx(
        3, abs=0.2
    )
    assert argument[operation == CODE["Posterize"]].unique().tolist() == [0, 1, 2, 3]


def test_torchvisions_draws() -> None:
    drawn = parse_randaugment("torchvision-m9-n2").draw(generator(1, "ra"), 20000, 32)
    shares = torch.bincount(drawn["operation"].flatten().long(), minlength=len(OPERATIONS)) / drawn["operation"].numel()
    wanted = torch.tensor([name in TORCHVISION for name in OPERATIONS]) / 14
    torch.testing.assert_close(shares, wanted, atol=5e-3, rtol=0)
    assert drawn["resample"].unique().tolist() == [pillow.NEAREST]
    shears = drawn["argument"][drawn["operation"] == CODE["ShearX"]]
    assert shears.abs().unique().tolist() == pytest.approx([0.09]) and float(shears.sign().mean()) == pytest.approx(
        0, abs=0.06
    )


@pytest.mark.parametrize("text", ["m5-n4", "torchvision-m9-n2"])
def test_a_batch_is_its_images_one_by_one_step_by_step(text: str) -> None:
    images = pictures(32).repeat(8, 1, 1, 1)
    drawn = parse_randaugment(text).draw(generator(2, "ra"), len(images), 32)
    whole = apply_operations(images, **drawn)
    assert torch.equal(whole, apply_operations(images, **drawn))
    single = images.clone()
    for step in range(drawn["operation"].shape[1]):
        for place in range(len(images)):
            one = {name: draws[place : place + 1, step : step + 1] for name, draws in drawn.items()}
            single[place : place + 1] = apply_operations(single[place : place + 1], **one)
    assert torch.equal(whole, single)


@pytest.mark.parametrize(
    "text", ["strong", "m11-n2", "m5-n0", "torchvision-m9.5-n2", "torchvision-m31-n2", "timm-m5-n4"]
)
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        parse_randaugment(text)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("text", ["m5-n4", "torchvision-m9-n2"])
def test_a_gpu_gives_the_same_within_a_level(text: str) -> None:
    images = pictures(64).repeat(8, 1, 1, 1)
    drawn = parse_randaugment(text.replace("n4", "n1").replace("n2", "n1")).draw(generator(3, "ra"), len(images), 64)
    assert share_that_differs(apply_operations(images.cuda(), **drawn).cpu(), apply_operations(images, **drawn)) < 1e-2
