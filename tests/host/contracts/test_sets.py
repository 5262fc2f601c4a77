"""Sets as they are read: by slices, from what their form packed, wherever it lies."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import safetensors
import torch
from safetensors.torch import load_file, save_file

from delt_host import Distilled, DistilledSet, InputError, MemorySplit, Problem, load
from delt_host.basics.errors import RunError
from delt_host.contracts import packed as packed_sets
from delt_host.contracts.form import Form, Pixels
from delt_host.contracts.packed import Packed, Piece, check_packed
from delt_host.contracts.sets import fingerprint_of
from delt_host.contracts.teacher import TEACHER_FILES as TEACHER
from delt_host.recovery.history import HISTORY_FILES as HISTORY
from delt_host.recovery.latents import Latents
from delt_host.runs.distilled import SET_FILES as SET
from delt_host.store.store import Store
from delt_host.store.tensor_file import Held
from delt_host.store.tensors import FileKind, Header
from delt_plugins import publish
from delt_plugins.controls.real import Real
from delt_plugins.forms.mosaic import Mosaic
from delt_plugins.publish.soft_labels import FILE as LABELS


def distilled_in(form: Form, problem: Problem) -> Distilled:
    """Random real images in a form."""
    problem = problem.in_form(form)
    latents = Latents.of(problem, Real().initialize(problem, range(10))).images
    packed = Packed.of(form.pack(latents, problem.normalization))
    return Distilled(
        form=form,
        packed=packed,
        targets=problem.targets(),
        fingerprint=fingerprint_of(form, packed, problem.targets()),
    )


@pytest.mark.parametrize("form", [Pixels(), Mosaic()], ids=["pixels", "mosaic"])
def test_a_set_is_gone_through_in_slices(problem: Problem, form: Form) -> None:
    whole = distilled_in(form, problem)
    assert len(whole) == 40 * form.cells
    assert whole.read(torch.arange(0)).shape == (0, 3, 8, 8)
    seen = list(whole.slices())
    assert torch.equal(torch.cat([images for _, images in seen]), whole.read(torch.arange(len(whole))))


def test_a_fingerprint_is_of_images_targets_and_the_form_with_its_options() -> None:
    images, targets = torch.arange(24, dtype=torch.uint8).view(2, 3, 2, 2), torch.tensor([0, 1])
    found = {
        fingerprint_of(form, Packed.of({"images": pixels}), classes)
        for form, pixels, classes in [
            (Pixels(), images, targets),
            (Pixels(), images.flip(-1), targets),
            (Pixels(), images, targets.flip(0)),
            (Pixels(rounding="floor"), images, targets),
            (Mosaic(), images, targets),
        ]
    }
    assert len(found) == 5
    assert Distilled.of(images, targets).fingerprint in found


def test_a_set_of_a_split_reads_it_and_holds_nothing() -> None:
    images = torch.arange(24, dtype=torch.uint8).view(2, 3, 2, 2)
    split = MemorySplit(images, torch.tensor([1, 0]))
    made = Distilled.of_reader(split, "its own")
    assert torch.equal(made.read(torch.tensor([1])), images[1:])
    assert (made.fingerprint, made.size_bytes, made.packed, made.targets.tolist()) == ("its own", 24, None, [1, 0])


def test_a_set_in_pieces_is_that_of_one_and_what_becomes_of_its_files_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = torch.arange(9 * 192).view(9, 3, 8, 8).to(torch.uint8)
    store, where = Store(tmp_path), [torch.tensor([7, 0, 3]), torch.tensor([1, 2, 4, 5]), torch.tensor([8, 6])]
    for place, units in enumerate(where):
        store.make("pack", {"piece": place}, lambda units=units: ({"images": images[units]}, {}))
    opened = [store.open("pack", {"piece": place}) for place in range(3)]
    packed = Packed([Piece(each.rows, units) for each, units in zip(opened, where, strict=True)])
    assert (len(packed), packed.nbytes, packed.shape("images")) == (9, images.nbytes, (9, 3, 8, 8))
    targets = torch.arange(9)
    for most in (0, packed_sets.SMALL):
        monkeypatch.setattr(packed_sets, "SMALL", most)
        for places in ([], [3], [8, 0, 0, 5], list(range(9))):
            assert torch.equal(packed.take(torch.tensor(places, dtype=torch.int64))["images"], images[places])
        assert fingerprint_of(Pixels(), packed, targets) == Distilled.of(images, targets).fingerprint
    with pytest.raises(IndexError):
        packed.take(torch.tensor([9]))
    place = store.place("pack", store.key("pack", {"piece": 1}))
    place.unlink()
    assert torch.equal(packed.take(torch.arange(9))["images"], images), "a small set is read once"
    monkeypatch.setattr(packed_sets, "SMALL", 0)
    packed = Packed([Piece(each.rows, units) for each, units in zip(opened, where, strict=True)])
    assert torch.equal(packed.take(torch.tensor([3, 6]))["images"], images[[3, 6]])
    with pytest.raises(RunError, match=f"{place} is gone since it was made or found; the same command makes it anew"):
        packed.take(torch.tensor([1, 3]))
    store.make("pack", {"piece": 1}, lambda: ({"images": images[where[1]]}, {"other": "facts, and so another header"}))
    with pytest.raises(RunError, match=f"{place} is not what it was .another file has taken its place"):
        packed.take(torch.tensor([1, 3]))


def test_pieces_that_are_packed_in_two_ways_are_none() -> None:
    one, other = Held({"images": torch.zeros(2, 3, 4, 4)}), Held({"images": torch.zeros(2, 3, 8, 8)})
    with pytest.raises(
        RunError, match=r"packed some units as 'images' torch.float32 \[3, 4, 4\], and others as .*8, 8"
    ):
        Packed([Piece(one, torch.tensor([0, 1])), Piece(other, torch.tensor([2, 3]))])


def test_a_damaged_entry_is_not_opened(tmp_path: Path) -> None:
    store, inputs = Store(tmp_path), {"what": "set"}
    entry = store.make("pack", inputs, lambda: ({"images": torch.zeros(16, 3, 64, 64, dtype=torch.uint8)}, {}))
    file = store.place("pack", entry.key)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert store.open("pack", inputs) is None


@pytest.mark.parametrize("name", ["pixels", "mosaic"])
def test_a_file_holds_what_the_form_packed_and_reads_the_same(problem: Problem, tmp_path: Path, name: str) -> None:
    form = {"pixels": Pixels(rounding="floor"), "mosaic": Mosaic()}[name]
    made = distilled_in(form, problem)
    file = tmp_path / "distilled.safetensors"
    DistilledSet(made, problem.class_names, problem.normalization, {"ipc": 4}, name).save(file)
    assert load_file(file)["images"].shape == (40, 3, 8, 8), "the bytes of four raw images a class"
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    loaded = load(file)
    places = torch.tensor([len(made) - 1, 0, 7])
    assert torch.equal(loaded.read(places), made.read(places))
    assert (loaded.form, loaded.distilled.form, loaded.image_size) == (name, form, 8)
    assert loaded.distilled.fingerprint == made.fingerprint and loaded.distilled.size_bytes == made.size_bytes
    assert len(loaded.pixels) == len(loaded) == 40 * form.cells
    image, label = publish.load(file).dataset()[len(loaded) - 1]
    assert torch.equal(image, problem.normalization.normalize(made.read(places[:1]))[0]) and label == 9


def test_learned_labels_and_rate_are_kept_in_the_file(problem: Problem, tmp_path: Path) -> None:
    labels, rate = torch.randn(40, 10, generator=torch.Generator().manual_seed(0)), torch.tensor(0.02)
    made = dataclasses.replace(distilled_in(Pixels(), problem), labels=labels, learning_rate=rate)
    DistilledSet(made, problem.class_names, problem.normalization).save(tmp_path / "set.safetensors")
    read = load(tmp_path / "set.safetensors").distilled
    assert read.labels is not None and read.learning_rate is not None
    assert torch.equal(read.labels, labels) and torch.equal(read.learning_rate, rate)
    assert read.size_bytes == made.size_bytes, "that of the images"


def with_header(file: Path, **changes: object) -> None:
    with safetensors.safe_open(file, "pt") as opened:
        header = json.loads(opened.metadata()[SET.key])
    tensors = {name: each.clone() for name, each in load_file(file).items()}
    save_file(tensors, file, {SET.key: json.dumps({**header, **changes})})


def test_a_form_that_is_not_installed_and_a_wrong_one_are_a_sentence(problem: Problem, tmp_path: Path) -> None:
    file = tmp_path / "set.safetensors"
    DistilledSet(distilled_in(Mosaic(), problem), problem.class_names, problem.normalization, {}, "mosaic").save(file)
    with_header(file, form="mosiac")
    with pytest.raises(
        InputError, match="in a form that is not installed: unknown form 'mosiac'; did you mean 'mosaic'"
    ):
        load(file)
    with_header(file, form="pixels")
    with pytest.raises(InputError, match="does not hold images in the form pixels.*must be 160 units"):
        load(file)
    with_header(file, form="mosaic", options={"factor": 3})
    with pytest.raises(InputError, match="the form mosaic of .*set.safetensors has no option 'factor'"):
        load(file)


@pytest.mark.parametrize(
    ("packed", "said"),
    [
        ({}, "packed nothing"),
        ({"targets": torch.zeros(4)}, "'targets', a name that the host uses itself"),
        ({"images": torch.zeros(3, 3, 8, 8, dtype=torch.uint8)}, "whose first dimension must be 4 units"),
        ({"images": torch.zeros(4, 3, 8, 8)}, r"read an image as torch.float32 \(1, 3, 8, 8\), not uint8"),
        ({"images": torch.zeros(4, 3, 8, 7, dtype=torch.uint8)}, r"not uint8 \(1, 3, 8, 8\)"),
    ],
)
def test_what_a_form_breaks_is_named(packed: dict[str, torch.Tensor], said: str) -> None:
    with pytest.raises(RunError, match=said):
        check_packed(Pixels(), packed, 4, 8)


def test_what_was_learned_beside_the_images_is_part_of_a_set() -> None:
    pixels, targets = torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.arange(4)
    packed = Packed.of({"images": pixels})
    labels = torch.eye(4)
    told = [
        fingerprint_of(Pixels(), packed, targets, learned) for learned in ({}, {"labels": labels}, {"labels": -labels})
    ]
    assert len(set(told)) == 3 and told[0] == Distilled.of(pixels, targets).fingerprint


@pytest.mark.parametrize(
    ("kind", "called"),
    [(SET, "distilled set"), (TEACHER, "teacher"), (HISTORY, "history"), (LABELS, "labels")],
    ids=str,
)
def test_a_file_of_a_newer_format_is_refused_by_every_reader(
    tmp_path: Path, kind: FileKind[Header], called: str
) -> None:
    """Also one that is not there, one of something else, and one without a tensor that it needs."""
    path, needed = tmp_path / "file.safetensors", {name: torch.zeros(1) for name in kind.needs}
    with pytest.raises(InputError, match=f"no {called} at {path}"):
        kind.read(path)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(InputError, match=f"^{path} "):
        kind.read(path)
    read_any = dataclasses.replace(kind, header=Header)
    read_any.write(path, {"format": 2}, needed)
    with pytest.raises(InputError, match=f"the {called} {path} is of format 2; this delt-host reads up to 1"):
        read_any.read(path)
    if needed:
        read_any.write(path, {}, {"x": torch.zeros(1)})
        with pytest.raises(InputError, match=f"the {called} {path} cannot be read: it has no tensor"):
            kind.read(path)
    read_any.write(path, {}, needed)
    assert set(read_any.read(path)[1]) == set(kind.needs) and [each.name for each in tmp_path.iterdir()] == [path.name]
