"""Distilled sets as tensors, as authors publish them: pixels, classes, labels, rates; and what files do not say is told."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from click.testing import CliRunner
from torch import Tensor

import delt_host
from conftest import lines_of, make_problem
from delt_host import InputError, Normalization
from delt_host.cli import cli
from delt_host.contracts.dataset import RealData
from delt_host.contracts.teacher import Teacher
from delt_plugins.kit import check
from delt_plugins.publish.export import png
from delt_plugins.publish.imported import Imported
from delt_plugins.publish.release import Release
from delt_plugins.publish.tensor_set import Space, is_tensor_set, read_tensor_set
from delt_plugins.publish.whitening import whitening
from delt_plugins.teachers import checkpoint, checkpoint_reader
from delt_plugins.teachers.import_teacher import read_channels


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same code without a process of its own."""

    def converted(path: Path, result: Path) -> str:
        return checkpoint_reader.convert(str(path), str(result))

    monkeypatch.setattr(checkpoint, "_converted", converted)


@pytest.fixture
def pixels(digits: RealData) -> Tensor:
    """Two real images of each class, in class order."""
    return torch.cat([digits.train.read(digits.train.of_class(label)[:2]) for label in range(10)])


TARGETS = torch.arange(10).repeat_interleave(2)
RATE = torch.tensor(0.0123)
AS_IS = Space()


def logits() -> Tensor:
    drawn = torch.randn(20, 10, generator=torch.Generator().manual_seed(0))
    return drawn + 9 * torch.nn.functional.one_hot(TARGETS, 10)


def save(path: Path, **files: Any) -> Path:
    path.mkdir()
    for name, held in files.items():
        torch.save(held, path / f"{name}.pt")
    return path


def read(path: Path, data: RealData, space: Space = AS_IS, **asked: Any) -> Release:
    assert is_tensor_set(path)
    return read_tensor_set(path, data, space, **asked)


FORMS: dict[str, Callable[[Path, Tensor], Path]] = {
    "DC and DM": lambda path, images: save(
        path, res_DM=({"data": [[images, TARGETS]], "accs_all_exps": {"ConvNet": [np.float64(0.5)]}})
    ),
    "MTT": lambda path, images: save(path, images_best=images, labels_best=TARGETS, images_100=0 * images),
    "IDC": lambda path, images: save(path, data_best=[images, TARGETS], log=argparse.Namespace()) / "data_best.pt",
    "dictionary": lambda path, images: save(path, all={"x": images.requires_grad_(), "y": TARGETS}),
    "other order": lambda path, images: save(path, all=[images.flip(0), TARGETS.flip(0).double()]),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_published_forms_give_the_images_in_class_order(
    form: str, digits: RealData, pixels: Tensor, tmp_path: Path
) -> None:
    found = read(FORMS[form](tmp_path / "set", Normalization(digits.mean, digits.std).normalize(pixels)), digits)
    expected = pixels.view(10, 2, 3, 8, 8).flip(1).view_as(pixels) if form == "other order" else pixels
    assert torch.equal(found.pixels, expected) and torch.equal(found.targets, TARGETS) and found.ipc == 2
    assert found.labels is None and found.learning_rate is None
    assert "0 is 0, 1 is 1, 2 is 2, …" in found.order


@pytest.mark.parametrize("rate", [RATE, RATE.view(1), 0.0123], ids=["scalar", "one", "float"])
@pytest.mark.parametrize("shares", [False, True], ids=["logits", "probabilities"])
def test_learned_labels_and_rates_are_the_sets(
    shares: bool, rate: object, digits: RealData, pixels: Tensor, tmp_path: Path
) -> None:
    """As DATM saves them."""
    labels = logits().softmax(dim=1) if shares else logits()
    found = read(save(tmp_path / "set", images_best=pixels, labels_best=labels, lr_best=rate), digits)
    assert found.labels is not None and found.learning_rate is not None
    assert torch.allclose(found.labels.softmax(dim=1), logits().softmax(dim=1), atol=1e-6)
    assert found.learning_rate.shape == () and float(found.learning_rate) == pytest.approx(0.0123)
    notes = " ".join(found.notes)
    assert f"taken for {'probabilities' if shares else 'logits'}; regimes with one label an image use them" in notes
    assert "its learned rate, 0.0123, is the students'" in notes


def test_a_label_that_was_learned_away_leaves_its_image_in_its_class(
    digits: RealData, pixels: Tensor, tmp_path: Path
) -> None:
    labels = logits()
    labels[3] = labels[4]
    found = read(save(tmp_path / "set", images=pixels, labels=labels), digits)
    assert torch.equal(found.targets, TARGETS)
    assert any("1 labels are largest for another class" in note for note in found.notes)


def test_what_the_values_were_taken_for_is_said(digits: RealData, pixels: Tensor, tmp_path: Path) -> None:
    unit, own = pixels.float() / 255, Space((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    given = {
        "uint8": (pixels, Space(), ""),
        "unit": (unit, Space(), "values from 0 to 1, taken as from 0 (black) to 1 (white); rounded to 256 levels"),
        "levels": (unit * 255, Space(), "taken as from 0 (black) to 255 (white)"),
        "half": (unit.half(), Space(), "from 0 (black) to 1 (white)"),
        "own": ((unit - 0.5) / 0.25, own, "normalised with mean 0.5,0.5,0.5, std 0.25,0.25,0.25 (given); rounded"),
    }
    for name, (images, space, says) in given.items():
        found = read(save(tmp_path / name, images=images, labels=TARGETS), digits, space)
        assert torch.equal(found.pixels, pixels)
        assert says in " ".join(found.notes)
    assert found.notes[0].startswith("the images of images.pt: values from -2 to 2, taken as normalised")
    beyond = unit.clone()
    beyond[:5] *= 4
    found = read(save(tmp_path / "beyond", images=(beyond - 0.5) / 0.25, labels=TARGETS), digits, own)
    share = 100 * float((beyond > 1).float().mean())
    assert found.notes[0].endswith(f"{share:.1f} % of them clipped") and share > 1
    assert torch.equal(found.pixels, (beyond * 255).round().clamp(max=255).to(torch.uint8))


def zca_by_formula(images: Tensor) -> tuple[Tensor, Tensor]:
    """Rows' mean and the whitening matrix, of values from 0 to 1, from the singular values of the centred rows."""
    rows = images.double().flatten(1) / 255
    mean = rows.mean(dim=0)
    _, singular, vectors = torch.linalg.svd(rows - mean, full_matrices=False)
    spread = singular**2 / (len(rows) - 1)
    inside = vectors.T @ torch.diag((spread + 0.1).rsqrt()) @ vectors
    return mean, inside + 0.1**-0.5 * (torch.eye(len(mean), dtype=torch.float64) - vectors.T @ vectors)


def test_whitened_images_come_back(digits: RealData, pixels: Tensor, tmp_path: Path) -> None:
    mean, matrix = zca_by_formula(digits.train.read(torch.arange(len(digits.train))))
    white = ((pixels.double().flatten(1) / 255 - mean) @ matrix).float().view_as(pixels)
    assert torch.allclose(whitening(digits).inverse(white), pixels / 255, atol=1e-4)
    path = save(tmp_path / "set", images_best=white, labels_best=TARGETS)
    found = read(path, digits, Space(zca=True))
    assert int((found.pixels.int() - pixels.int()).abs().max()) <= 1
    assert "taken as whitened by digits's training images; rounded" in found.notes[0]


def test_labels_in_another_order_are_mapped_by_the_classes_names(
    digits: RealData, pixels: Tensor, tmp_path: Path
) -> None:
    names = ("3", "1", "4", "0", "5", "9", "2", "6", "8", "7")
    place = torch.tensor([names.index(str(label)) for label in TARGETS.tolist()])
    soft = torch.stack([logits()[:, int(name)] for name in names], dim=1)
    for number, labels in enumerate((place, soft)):
        found = read(save(tmp_path / str(number), images=pixels, labels=labels), digits, class_names=names)
        assert torch.equal(found.pixels, pixels) and torch.equal(found.targets, TARGETS)
    assert found.labels is not None and torch.equal(found.labels, logits())
    with pytest.raises(InputError, match="--class-names must be the 10 classes of digits, in the order of the labels'"):
        read(tmp_path / "0", digits, class_names=names[:9])


def test_of_several_sets_one_is_taken_and_said(digits: RealData, pixels: Tensor, tmp_path: Path) -> None:
    held = {"data": [[pixels, TARGETS], [pixels.flip(0), TARGETS.flip(0)]]}
    torch.save(held, tmp_path / "res.pt")
    first = read(tmp_path / "res.pt", digits)
    assert "res.pt holds 2 sets of images; took data.0, and --inside takes another: data.1" in first.notes
    second = read(tmp_path / "res.pt", digits, inside="data.1")
    assert torch.equal(second.pixels[0], pixels[1]) and second.sha256 != first.sha256
    safetensors.torch.save_file({"images": pixels, "targets": TARGETS}, tmp_path / "set.safetensors")
    assert torch.equal(read(tmp_path / "set.safetensors", digits).pixels, pixels)


def test_what_cannot_be_a_set_is_told_in_one_sentence(digits: RealData, pixels: Tensor, tmp_path: Path) -> None:
    wrong: dict[str, tuple[dict[str, Any], str]] = {
        "size": ({"images": pixels.repeat(1, 1, 2, 2), "labels": TARGETS}, r"\(20, 3, 16, 16\); digits takes \(N, 3, 8, 8"),
        "grey": ({"images": pixels[:, :1], "labels": TARGETS}, r"\(20, 1, 8, 8\); digits takes"),
        "counts": ({"images": pixels, "labels": TARGETS.clamp(max=8)}, "as many images of each class: 0 of 9, 4 of 8"),
        "numbers": ({"images": pixels, "labels": TARGETS + 1}, "must be whole numbers from 0 to 9"),
        "classes": ({"images": pixels, "labels": torch.ones(20, 7)}, r"\(20, 7\); they must be \(20, 10\)$"),
        "infinite": ({"images": pixels, "labels": logits() / torch.eye(20)[:, :10]}, "have .* values that are not finite"),
        "no images": ({"images": pixels[:0], "labels": TARGETS[:0]}, r"are \(0, 3, 8, 8\): it has none"),
        "rate nan": ({"images": pixels, "labels": TARGETS, "lr": float("nan")}, "learned rate of .* is nan; it must be fin"),
        "rate inf": ({"images": pixels, "labels": TARGETS, "lr": RATE / 0}, "is inf; it must be finite and above 0"),
        "rate below": ({"images": pixels, "labels": TARGETS, "lr": -RATE}, "is -0.0123; it must be finite and above 0"),
        "far": ({"images": pixels / 4 - 30, "labels": TARGETS}, r"% of them would be blacker than black .* --mean"),
        "nan": ({"images": pixels * float("nan"), "labels": TARGETS}, "must be uint8, or finite floating point"),
        "unlabelled": ({"images_best": pixels}, r"has no labels for its 20 images .* nor has a file labels_best.pt"),
        "none": ({"images": TARGETS, "labels": TARGETS}, r"images.pt has no images.* it holds a tensor \(20\)"),
        "several": ({"images_1": pixels, "images_2": pixels}, "has images_1.pt, images_2.pt: name the file"),
        "empty": ({"labels": TARGETS}, "one file of images, or images_best.pt, but has none: name the file"),
    }  # fmt: skip
    for name, (files, says) in wrong.items():
        with pytest.raises(InputError, match=says):
            read(save(tmp_path / name, **files), digits)


def test_labels_and_images_are_taken_by_name(digits: RealData, pixels: Tensor, tmp_path: Path) -> None:
    steps, weights, kernels = torch.arange(20), torch.ones(20, 10), torch.ones(64, 3, 3, 3)
    taken: dict[str, dict[str, Any]] = {
        "numbers": {"all": {"images": pixels, "iter": steps, "labels": TARGETS}},
        "all classes": {"all": {"images": pixels, "weights": weights, "syn_labels": TARGETS}},
        "y": {"all": {"x": pixels, "w": weights, "y": TARGETS}},
        "file": {"images": {"images": pixels, "iter": steps}, "labels": TARGETS},
        "in the file": {"images": pixels, "labels": {"iter": steps, "label": TARGETS}},
        "only": {"all": {"images": pixels, "classes": TARGETS}},
        "kernels": {"all": {"kernels": kernels, "images": pixels, "labels": TARGETS}},
        "image": {"all": {"initial": pixels.flip(0), "image_syn": pixels, "labels": TARGETS}},
    }
    for name, files in taken.items():
        found = read(save(tmp_path / name, **files), digits)
        assert torch.equal(found.pixels, pixels) and torch.equal(found.targets, TARGETS) and found.labels is None
    several: dict[str, tuple[dict[str, Any], str]] = {
        "unnamed": ({"images": pixels, "iter": steps, "classes": TARGETS}, r"2 .* the labels, iter \(20\), classes \(20\), in"),
        "named": ({"images": pixels, "label": TARGETS, "targets": TARGETS}, r"be the labels, label \(20\), targets \(20\), in"),
        "images": ({"images": pixels, "images_0": pixels, "y": TARGETS}, r"images, images \(.*, images_0 \(.* --inside$"),
    }  # fmt: skip
    for name, (held, says) in several.items():
        with pytest.raises(InputError, match=says):
            read(save(tmp_path / f"several {name}", all=held), digits)
    assert torch.equal(read(tmp_path / "several images", digits, inside="images_0").pixels, pixels)


def test_options_that_say_nothing_of_the_images_are_refused(digits: RealData, pixels: Tensor, tmp_path: Path) -> None:
    grey, whitened = (0.5, 0.5, 0.5), Space((0.5, 0.5, 0.5), zca=True)
    levels, unit = (save(tmp_path / str(part), images=pixels / part, labels=TARGETS) for part in (1, 255))
    torch.save(pixels, levels / "images.pt")
    for space, given in ((Space(grey), "--mean"), (Space((), grey), "--std"), (whitened, "--mean, --zca")):
        with pytest.raises(InputError, match=f"are uint8, so from 0 .* to 255 .*: leave out {given}$"):
            read(levels, digits, space)
    with pytest.raises(InputError, match="either whitened or normalised, but --mean, --zca are given: leave out one"):
        read(unit, digits, whitened)
    for label in range(10):
        (tmp_path / f"files/{label}").mkdir(parents=True)
        (tmp_path / f"files/{label}/0.png").write_bytes(png(pixels[2 * label]))
    component = Imported(path=str(tmp_path / "files"), sha256="", mean=grey, zca=True)
    with pytest.raises(InputError, match="read as image files, .* not as tensors: leave out --mean, --zca$"):
        component.read(digits)
    for name in ("meta.pkl", "resnet18.pth"):
        (tmp_path / "files" / name).write_bytes(b"no tensors")
    found = component.model_copy(update={"mean": (), "zca": False}).read(digits)
    assert torch.equal(found.pixels, pixels[::2]) and "meta.pkl" in " ".join(found.notes)


@pytest.mark.parametrize("text", ["0,0,0", "0.2,-0.1,0.2", "0.2,nan,0.2", "0.2,inf,0.2"])
def test_standard_deviations_are_above_0(text: str) -> None:
    with pytest.raises(InputError, match="--std must be three numbers"):
        read_channels(text, "--std")
    assert read_channels("0,0,0", "--mean") == (0, 0, 0)


@pytest.mark.usefixtures("with_teacher")
def test_a_set_of_tensors_is_scored_with_its_labels_and_rate(
    digits: RealData, pixels: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From files as DATM saves them to scores; its own recipe gives the same set and so the same scores."""
    save(Path("datm"), images_best=pixels / 255, labels_best=logits(), lr_best=RATE)

    def call(*arguments: str) -> str:
        result = CliRunner().invoke(cli, list(arguments), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    small = ["--set", "dataset.image_size=8", "--set", "protocol.epochs=3", "--seeds", "1", "--student", "convnet3"]
    regimes = ["--regime", "fixed", "--regime", "hard"]
    output = call("import", "datm", "--dataset", "digits", "--out", "made", *regimes, *small)
    assert "made: 20 images, 2 of each class; score it with delt-host evaluate made" in output
    loaded = delt_host.load("made/datm/seed-0").distilled
    assert loaded.labels is not None and torch.equal(loaded.labels, logits())
    assert loaded.learning_rate is not None and float(loaded.learning_rate) == pytest.approx(0.0123)
    call("evaluate", "made", "-q")
    call("run", "made/experiment.toml", "-q", "--out", "again")
    again = delt_host.load("again/datm/seed-0").distilled
    assert again.fingerprint == loaded.fingerprint
    (line,) = lines_of(tmp_path / "made/evaluations/student").values()
    assert lines_of(tmp_path / "again")["datm"].headline == line.headline


def test_the_initializer_gives_what_the_classes_are_asked_for(
    digits: RealData, teacher: Teacher, pixels: Tensor, tmp_path: Path
) -> None:
    path = save(tmp_path / "set", images=pixels, labels=logits(), lr=RATE)
    component = Imported(path=str(path), sha256=read(path, digits).sha256)
    problem = make_problem(digits, teacher, ipc=2)
    check(component, problem)
    start = component.initialize(problem, [4, 2])
    assert torch.equal(start.images, pixels[[8, 9, 4, 5]])
    assert start.labels is not None and torch.equal(start.labels, logits()[[8, 9, 4, 5]])
    torch.save(pixels.flip(0), path / "images.pt")
    with pytest.raises(InputError, match="has changed since it was imported; import it anew"):
        component.initialize(problem, [4, 2])
