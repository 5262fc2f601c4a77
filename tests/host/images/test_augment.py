"""Views as matrices equal torchvision's operations, and their draws have torchvision's distribution."""

from __future__ import annotations

import pytest
import torch
import torchvision.transforms.v2 as transforms
import torchvision.transforms.v2.functional as TF

from delt_host.basics.seeding import generator
from delt_host.images.augment import (
    apply_view,
    beta,
    crop_matrix,
    cutmix_box,
    draw_crops,
    mirror,
    roll_matrix,
    shift_matrix,
    shuffle_strips,
)

SIZE = 32


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(6, 3, SIZE, SIZE, generator=generator(0, "test images"))


def matrices(boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return crop_matrix(boxes[:, 0], boxes[:, 2], SIZE), crop_matrix(boxes[:, 1], boxes[:, 3], SIZE)


def test_crop_and_resize_equals_torchvision(images: torch.Tensor) -> None:
    boxes = draw_crops(generator(1, "crops"), len(images), SIZE, (0.08, 1.0))
    views = apply_view(images, *matrices(boxes))
    for image, box, view in zip(images, boxes.tolist(), views, strict=True):
        top, left, height, width = box
        expected = TF.resized_crop(image, top, left, height, width, [SIZE, SIZE], antialias=True)
        torch.testing.assert_close(view, expected, atol=1e-5, rtol=1e-5)


def test_whole_image_is_the_image(images: torch.Tensor) -> None:
    boxes = torch.tensor([[0, 0, SIZE, SIZE]])
    torch.testing.assert_close(apply_view(images, *matrices(boxes)), images)


def test_mirror_and_roll_follow_the_crop(images: torch.Tensor) -> None:
    boxes = draw_crops(generator(2, "crops"), len(images), SIZE, (0.2, 1.0))
    rows, columns = matrices(boxes)
    flips = torch.tensor([True, False, True, False, True, False])
    view = apply_view(
        images, roll_matrix(rows, torch.tensor([5])), roll_matrix(mirror(columns, flips), torch.tensor([-3]))
    )
    plain = apply_view(images, rows, columns)
    plain[flips] = plain[flips].flip(-1)
    torch.testing.assert_close(view, plain.roll((5, -3), dims=(2, 3)))


def test_padded_crop_equals_pad_then_crop(images: torch.Tensor) -> None:
    offsets = torch.tensor([-4, 0, 4, 1, -1, 3])
    view = apply_view(images, shift_matrix(offsets, SIZE), shift_matrix(-offsets, SIZE))
    padded = torch.nn.functional.pad(images, (4, 4, 4, 4))
    for i, offset in enumerate(offsets.tolist()):
        expected = padded[i, :, 4 + offset : 36 + offset, 4 - offset : 36 - offset]
        torch.testing.assert_close(view[i], expected)


def test_strips_are_permuted(images: torch.Tensor) -> None:
    order = torch.tensor([[1, 0]] * len(images))
    identity = torch.eye(SIZE).expand(len(images), -1, -1)
    view = apply_view(images, shuffle_strips(identity, order), identity)
    torch.testing.assert_close(view, torch.cat([images[:, :, 16:], images[:, :, :16]], dim=2))


def test_strips_that_do_not_divide_the_image_keep_the_rest(images: torch.Tensor) -> None:
    order = torch.tensor([[2, 0, 1]] * len(images))
    identity = torch.eye(SIZE).expand(len(images), -1, -1)
    view = apply_view(images, identity, shuffle_strips(identity, order))
    expected = torch.cat([images[..., 20:30], images[..., :10], images[..., 10:20], images[..., 30:]], dim=-1)
    torch.testing.assert_close(view, expected)


def test_draws_have_torchvisions_distribution() -> None:
    """Means of area share and aspect ratio over many draws agree with RandomResizedCrop.get_params."""
    ours = draw_crops(generator(3, "many"), 4000, SIZE, (0.08, 1.0)).double()
    crop = transforms.RandomResizedCrop(SIZE, antialias=True)
    image = torch.zeros(3, SIZE, SIZE)
    with torch.random.fork_rng():
        theirs = [crop.make_params([image]) for _ in range(4000)]
    for name, column in (("top", 0), ("left", 1), ("height", 2), ("width", 3)):
        values = torch.tensor([float(p[name]) for p in theirs], dtype=torch.float64)
        error = (values.var() / 4000 + ours[:, column].var() / 4000).sqrt()
        assert abs(values.mean() - ours[:, column].mean()) < 4 * error, name


def test_crops_stay_inside_the_image() -> None:
    boxes = draw_crops(generator(4, "inside"), 2000, 8, (0.08, 1.0))
    assert (boxes[:, 0] >= 0).all() and (boxes[:, 0] + boxes[:, 2] <= 8).all()
    assert (boxes[:, 1] >= 0).all() and (boxes[:, 1] + boxes[:, 3] <= 8).all()


def test_full_scale_takes_almost_always_the_whole_image() -> None:
    """At min crop 1 a box fits only where its sides round to the image's: the fall-back is the whole image."""
    boxes = draw_crops(generator(5, "full"), 200, SIZE, (1.0, 1.0))
    assert (boxes[:, 2:] == SIZE).all(dim=1).float().mean() > 0.9


def test_cutmix_share_is_the_area_left() -> None:
    for number in range(50):
        share, (top, left, bottom, right) = cutmix_box(generator(number, "cutmix"), 1.0, SIZE)
        assert 0 <= top <= bottom <= SIZE and 0 <= left <= right <= SIZE
        assert share == pytest.approx(1 - (bottom - top) * (right - left) / SIZE**2)


def test_beta_has_the_right_mean_and_variance() -> None:
    draws = torch.tensor([beta(generator(n, "beta"), 0.8) for n in range(3000)], dtype=torch.float64)
    assert draws.mean() == pytest.approx(0.5, abs=0.03)
    assert draws.var() == pytest.approx(1 / (4 * (2 * 0.8 + 1)), abs=0.01)
