"""Forms: what is optimised decodes to the images that are read back from the file."""

from __future__ import annotations

import pytest
import torch

from delt_host import Form, Pixels
from delt_host.normalization import Normalization
from delt_host.siamese import OPERATIONS, augment, draw, parse_strategy
from delt_plugins.mosaic import Mosaic, cells

NORMALIZATION = Normalization((0.4, 0.5, 0.6), (0.2, 0.3, 0.25))


@pytest.mark.parametrize("form", [Pixels(), Mosaic()])
@pytest.mark.parametrize("size", [8, 9])
def test_what_lies_in_the_file_reads_as_what_was_optimised_decodes(form: Form, size: int) -> None:
    pixels = torch.randint(256, (2 * form.cells, 3, size, size), generator=torch.Generator().manual_seed(0))
    latents = form.latents(NORMALIZATION.normalize(pixels.to(torch.uint8)))
    packed = form.pack(latents, NORMALIZATION)
    count = len(form.decode(latents))
    assert count == 2 * form.cells
    order = torch.randperm(count, generator=torch.Generator().manual_seed(1))
    seen = form.read(packed, order)
    decoded = NORMALIZATION.denormalize(form.decode(latents))[order]
    assert seen.dtype == torch.uint8
    assert int((seen.int() - decoded.int()).abs().max()) <= 1  # whole numbers before the enlarging, or after


def test_the_cells_of_a_mosaic_are_its_quarters_row_by_row() -> None:
    unit = torch.zeros(1, 3, 8, 8)
    unit[..., :4, 4:] = 1.0
    unit[..., 4:, :4] = 2.0
    unit[..., 4:, 4:] = 3.0
    assert [float(cell.unique()) for cell in cells(unit)[0]] == [0.0, 1.0, 2.0, 3.0]


def test_a_mosaic_keeps_the_order_of_its_images() -> None:
    images = torch.arange(8.0).view(8, 1, 1, 1).expand(8, 3, 6, 6)
    back = Mosaic().decode(Mosaic().latents(images))
    torch.testing.assert_close(back, images.contiguous())


@pytest.mark.parametrize("operation", range(len(OPERATIONS)))
def test_one_siamese_draw_does_the_same_to_every_image(operation: int) -> None:
    images = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    one = torch.rand(1, 3, generator=torch.Generator().manual_seed(2))
    together = augment(images, operation, one)
    torch.testing.assert_close(together, torch.cat([augment(each[None], operation, one) for each in images]))
    torch.testing.assert_close(together, augment(images, operation, one.expand(3, 3)))


def test_each_image_may_have_its_own_draw_and_gradients_reach_it() -> None:
    rng = torch.Generator().manual_seed(0)
    for _ in range(20):
        operation, draws = draw(rng, 4)
        images = torch.randn(4, 3, 8, 8, generator=rng).requires_grad_(True)
        seen = augment(images, operation, draws)
        for place in range(4):
            torch.testing.assert_close(seen[place], augment(images[place][None], operation, draws[place][None])[0])
        seen.sum().backward()
        assert images.grad is not None
        assert bool(images.grad.isfinite().all())


def test_a_crop_shifts_by_whole_pixels_and_a_cutout_sets_a_square_to_zero() -> None:
    images = torch.arange(64.0).view(1, 1, 8, 8).expand(1, 3, 8, 8) + 1
    shifted = augment(images, OPERATIONS.index("crop"), torch.tensor([[0.999, 0.0, 0.0]]))
    assert torch.equal(shifted[0, :, :-1, 1:], images[0, :, 1:, :-1])
    assert float(shifted[0, :, -1].abs().sum()) == 0.0
    cut = augment(images, OPERATIONS.index("cutout"), torch.tensor([[0.5, 0.5, 0.0]]))
    assert int((cut[0, 0] == 0).sum()) == 16


def test_an_unknown_operation_is_named() -> None:
    with pytest.raises(ValueError, match="'blur' is no siamese augmentation"):
        parse_strategy("color_blur")
