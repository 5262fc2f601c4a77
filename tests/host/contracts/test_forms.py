"""Forms: what is optimised decodes to the images that are read back from the file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from delt_host import Form, InputError, Pixels, load
from delt_host.cli import cli
from delt_host.contracts.packed import Packed
from delt_host.contracts.results import read_results
from delt_host.experiment.experiment import Row
from delt_host.experiment.request import Request
from delt_host.experiment.resolve import resolve
from delt_host.images.normalization import Normalization
from delt_host.images.siamese import OPERATIONS, augment, draw, parse_strategy
from delt_host.plugins.registry import load_registry
from delt_host.recovery.history import load_history
from delt_plugins.forms.mosaic import Mosaic, quarters

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
    seen = Packed.of(packed).images(form, order)
    decoded = NORMALIZATION.denormalize(form.decode(latents))[order]
    assert seen.dtype == torch.uint8
    assert int((seen.int() - decoded.int()).abs().max()) <= 1  # whole numbers before the enlarging, or after


def test_the_cells_of_a_mosaic_are_its_quarters_row_by_row() -> None:
    unit = torch.zeros(1, 3, 8, 8)
    unit[..., :4, 4:] = 1.0
    unit[..., 4:, :4] = 2.0
    unit[..., 4:, 4:] = 3.0
    assert [float(cell.unique()) for cell in quarters(unit)[0]] == [0.0, 1.0, 2.0, 3.0]


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


# --- rows in a form


def rows_of(**said: object) -> dict[str, Row]:
    request = Request.from_table({"dataset": {"name": "digits", "image_size": 8}, **said}, "the test")
    experiment = resolve(request, load_registry())
    again = resolve(Request.from_table(experiment.recipe(), "the recipe"), load_registry())
    assert again.rows == experiment.rows, "a recipe repeats the forms of rows"
    return {row.label: row for row in experiment.rows}


def test_a_row_is_stored_as_pixels_unless_it_says_otherwise_and_a_flag_says_it_for_methods() -> None:
    rows = rows_of(method=["delt"], baseline=["cda"], control=[], form="mosaic")
    assert {label: row.form.name for label, row in rows.items()} == {"delt (form=mosaic)": "mosaic", "cda": "pixels"}
    rows = rows_of(method=["delt,form=mosaic"], baseline=["delt,form.rounding=floor"], control=[])
    assert rows["delt (form=mosaic)"].form.component == Mosaic()
    assert rows["delt (form.rounding=floor)"].form.component == Pixels(rounding="floor")
    rows = rows_of(method=["delt"], baseline=["cda,form=mosaic"], control=[], set={"form.codec": "jpeg-q75"})
    assert rows["delt"].form.component == Pixels(codec="jpeg-q75")
    assert rows["cda (form=mosaic)"].form.component == Mosaic()


def test_controls_are_in_every_form_that_a_row_has() -> None:
    rows = rows_of(method=["delt,form=mosaic"], baseline=["delt"])
    controls = {label: row.form.name for label, row in rows.items() if row.role == "control"}
    assert controls == {
        "random-real": "pixels",
        "random-real (form=mosaic)": "mosaic",
        "delt start (form=mosaic)": "mosaic",
    }
    assert list(rows_of(method=["delt"], baseline=["cda"], control=["random-real"])) == ["delt", "cda", "random-real"]
    asked = rows_of(method=["delt,form=mosaic"], control=["random-real,form=mosaic"])
    assert list(asked) == ["delt (form=mosaic)", "random-real (form=mosaic)"]


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("delt,form=mosiac", "unknown form 'mosiac'; did you mean 'mosaic'"),
        ("delt,form=none", "unknown form 'none'"),
        ("delt,form.rounding=up", "form pixels.rounding must be 'nearest' or 'floor', not 'up'"),
        ("delt,form.factor=2", "form pixels has no option 'factor'"),
    ],
)
def test_a_form_that_is_none_is_a_sentence(method: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        rows_of(method=[method])


def test_a_class_must_have_as_many_images_as_the_form_wants() -> None:
    command = ["run", "--dry-run", "--set", "dataset.image_size=8", "--ipc", "40", "--no-controls", "-m"]
    with pytest.raises(InputError, match=r"--ipc 40, 160 images in the form mosaic, is more than class '\d' of .* has"):
        CliRunner().invoke(cli, [*command, "random-real,form=mosaic"], catch_exceptions=False)
    assert CliRunner().invoke(cli, [*command, "random-real"], catch_exceptions=False).exit_code == 0


@pytest.mark.usefixtures("with_teacher")
def test_random_real_mosaics_go_through_the_whole_run(tmp_path: Path) -> None:
    """From the start to the page, an export and another evaluation of the saved sets."""
    words = ["run", "-m", "random-real,form=mosaic", "--ipc", "2", "--seeds", "1", "--set", "dataset.image_size=8"]
    words += ["--set", "teacher.epochs=4", "--set", "protocol.epochs=2", "--out", "made", "-q"]
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    rows = {row.label: row for row in read_results(tmp_path / "made").rows}
    found = {label: (row.form, row.ipc, row.units, row.count, row.image_bytes) for label, row in rows.items()}
    raw = 2 * 10 * 3 * 8 * 8
    assert found == {"random-real (form=mosaic)": ("mosaic", 2, 2, 8, raw), "random-real": ("pixels", 2, 2, 2, raw)}
    place = tmp_path / "made" / "random-real-form-mosaic" / "seed-0"
    made = load(place)
    assert len(made) == 80 and made.form == "mosaic"
    assert len(load_history(place / "history.safetensors").iterations) == 80
    done = CliRunner().invoke(cli, ["evaluate", "made", "-e", "student", "-q"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    again = {row.label: row for row in read_results(tmp_path / "made/evaluations/student").rows}
    assert again == rows
    row = ["--row", "random-real (form=mosaic)", "--seed", "0"]
    done = CliRunner().invoke(
        cli, ["export", "made", *row, "--to", "out", "--format", "images"], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    assert len(list((tmp_path / "out").rglob("*.png"))) == 80 and load(tmp_path / "out").form == "mosaic"
