"""What RDED and DELT select, stitch, shuffle and test on: figures that their code printed, and torchvision's draws."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.v2.functional import to_pil_image

from conftest import FP32
from delt_host.basics.seeding import generator, isolated_rng
from delt_host.contracts.dataset import IMAGENET_MEAN, IMAGENET_STD
from delt_host.contracts.problem import Problem
from delt_host.contracts.protocol import Protocol
from delt_host.contracts.teacher import Teacher
from delt_host.contracts.zoomed import Zoomed
from delt_host.images.augment import apply_view, shuffle_strips
from delt_host.images.normalization import Normalization
from delt_host.images.zoom import zoom
from delt_plugins.datasets.decode import fit
from delt_plugins.datasets.files import Files, load_files
from delt_plugins.delt import ranked
from delt_plugins.delt.ranked import Ranked, draw_squares
from delt_plugins.delt.true_class import true_class_scores
from made_inputs import linear, picture, square
from published import golden

IMAGENET = Normalization(IMAGENET_MEAN, IMAGENET_STD)
LEVEL = 1 / 255 / min(IMAGENET_STD)
"""Of a normalised value."""


def of_files(folder: Path, numbers: list[range], shape: tuple[int, int], size: int, ipc: int) -> Problem:
    """Classes of these made pictures, in files of this shape, and a linear teacher of images of `size` pixels a side."""
    paths, targets = [], []
    for label, each in enumerate(numbers):
        for number in each:
            paths.append(folder / f"{number}.png")
            targets.append(label)
            to_pil_image(picture(number, *shape)).save(paths[-1])
    files, names = Files(paths, targets), tuple(map(str, range(len(numbers))))
    data = load_files("made", names, files, files, size)
    teacher = Teacher("linear", dict(linear(size, len(numbers)).state_dict()), names, IMAGENET_MEAN, IMAGENET_STD, size)
    return Problem(data, (teacher,), ipc, 0, Protocol(), FP32, models={"linear": lambda n, s: linear(s, n)})


@pytest.mark.parametrize(("factor", "ipc"), [(1, 2), (2, 2), (3, 1)])
def test_the_same_crops_are_scored_chosen_and_stitched(
    factor: int, ipc: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = of_files(tmp_path, [range(10), range(10, 20)], (30, 40), 16, ipc)

    def squares(_rng: object, count: int, height: int, width: int) -> Tensor:
        return torch.tensor([square(number, height, width) for number in range(count)])

    monkeypatch.setattr(ranked, "draw_squares", squares)
    images = Ranked(selection="highest", cut=True, patches=factor, crops=3).initialize(problem, range(2)).images
    unit = images * torch.tensor(IMAGENET_STD).view(3, 1, 1) + torch.tensor(IMAGENET_MEAN).view(3, 1, 1)
    theirs = torch.tensor(golden("selection_rded")["selected"][f"factor {factor} ipc {ipc}"])
    torch.testing.assert_close(unit.flatten(1)[:, ::37], theirs, atol=2e-6, rtol=0)


@pytest.mark.parametrize("zoomed", [True, False])
def test_delt_ranks_the_same_images_by_the_same_scores(zoomed: bool, tmp_path: Path) -> None:
    """Files of 64 px, which its code reads at 72 and of which it sees the centre."""
    figures = golden("selection_delt")
    problem = of_files(tmp_path, [range(1, 50, 7), range(71, 127, 7)], (64, 64), 64, ipc=4)
    scores = problem.prepared(true_class_scores(problem, zoomed))["scores"]
    theirs = torch.tensor(
        [figures["scores"][f"{label}/{n}.png"] for label, count in ((0, 7), (1, 8)) for n in range(count)]
    )
    if not zoomed:  # the whole images have other scores, and not by a rounding
        assert (scores - theirs).abs().max() > 0.02
        return
    torch.testing.assert_close(scores, theirs, atol=4e-3, rtol=0)  # a level here and there, of Pillow's resizing
    train = Zoomed(problem.data.train)
    for selection in ("medium", "highest", "lowest"):
        images = Ranked.model_validate({"selection": selection, "zoom": True}).initialize(problem, range(2)).images
        places = [7 * label + place for label in (0, 1) for place in figures[selection][label]]
        assert torch.equal(images, train.read(torch.tensor(places))), selection


@pytest.mark.parametrize("shape", [(64, 64), (72, 72), (64, 96), (120, 90)])
def test_test_images_are_seen_as_rded_sees_them(shape: tuple[int, int]) -> None:
    image = picture(5, *shape)
    seen = zoom(image, 64) if shape == (64, 64) else fit(image, 64)
    theirs = torch.tensor(golden("selection_rded")["validation"][f"{shape[0]} x {shape[1]}"])
    differ = (IMAGENET.normalize(seen[None]).flatten()[::331] - theirs).abs()
    assert differ.max() < 1.01 * LEVEL and (differ > LEVEL / 2).float().mean() < 0.15


def test_a_protocol_that_zooms_shows_students_other_test_images(tmp_path: Path) -> None:
    problem = of_files(tmp_path, [range(2), range(2, 4)], (64, 64), 64, ipc=1)
    whole = problem.scored.read(torch.arange(4))
    seen = problem.under(Protocol(test_zoom=True)).scored.read(torch.arange(4))
    assert torch.equal(whole, problem.data.test.read(torch.arange(4))) and torch.equal(seen, zoom(whole, 64))
    assert (seen.float() - whole.float()).abs().mean() > 5, "levels of 255"


def test_small_images_are_seen_whole() -> None:
    image = picture(1, 32, 32)
    assert torch.equal(zoom(image, 32), image)


@pytest.mark.parametrize("factor", [2, 4])
def test_patches_are_shuffled_alike(factor: int) -> None:
    turned = torch.arange(1, factor + 1)[None] % factor  # the first goes to the end
    rows = columns = torch.eye(8)[None]
    view = apply_view(picture(3, 8, 8)[None].float(), shuffle_strips(rows, turned), shuffle_strips(columns, turned))
    assert view[0, 0].int().tolist() == golden("selection_rded")["shuffled"][f"factor {factor}"]


def test_whole_levels_are_kept_where_published_code_loses_some() -> None:
    """RDED saves a fifth of them one level lower, float32 having made 254 of 255; `floor` is of what was optimised."""
    levels = torch.arange(256).repeat(3, 1).view(1, 3, 16, 16).to(torch.uint8)
    assert torch.equal(IMAGENET.denormalize(IMAGENET.normalize(levels), "floor"), levels)
    assert golden("selection_rded")["levels lost"] == [59, 38, 32]


def torchvisions(count: int, height: int, width: int) -> Tensor:
    image = torch.empty(3, height, width)
    with isolated_rng(0, "torchvision's crops"):
        return torch.tensor([RandomResizedCrop.get_params(image, [0.08, 1], [1, 1])[:3] for _ in range(count)])


@pytest.mark.parametrize("shape", [(375, 500), (300, 500), (500, 300), (32, 32)])
def test_squares_are_drawn_as_torchvision_draws_them(shape: tuple[int, int]) -> None:
    height, width = shape
    theirs, mine = torchvisions(4000, *shape), draw_squares(generator(0, "squares"), 20000, *shape)
    assert (mine >= 0).all() and (mine[:, 0] + mine[:, 2] <= height).all() and (mine[:, 1] + mine[:, 2] <= width).all()

    def fall_back(boxes: Tensor) -> float:
        short = min(shape)
        middle = torch.tensor([(height - short) // 2, (width - short) // 2, short])
        return float((boxes == middle).all(dim=1).float().mean())

    def of_the_short_side(boxes: Tensor) -> float:
        return float((boxes[:, 2] == min(shape)).float().mean())

    def deciles(boxes: Tensor) -> Tensor:
        return boxes.double().quantile(torch.linspace(0, 1, 11).double(), dim=0)

    assert fall_back(mine) == pytest.approx(fall_back(theirs), abs=0.004)
    if height != width:
        assert of_the_short_side(mine) == pytest.approx(of_the_short_side(theirs), abs=0.005)
        assert of_the_short_side(mine) < 0.012, "a third, were what does not fit cut"
    assert (deciles(mine) - deciles(theirs)).abs().max() < 0.04 * max(shape)
