"""Sets as they are read: by slices, from what their form packed, mapped and not held."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import pytest
import safetensors
import torch
from safetensors.torch import load_file, save_file

from delt_host import Distilled, DistilledSet, InputError, MemorySplit, Problem, load
from delt_host.basics.errors import RunError
from delt_host.contracts.form import Form, Pixels
from delt_host.contracts.sets import check_packed, fingerprint_of
from delt_host.contracts.teacher import TEACHER_FILES as TEACHER
from delt_host.recovery.history import HISTORY_FILES as HISTORY
from delt_host.recovery.latents import Latents
from delt_host.runs.distilled import SET_FILES as SET
from delt_host.store.store import Store
from delt_host.store.tensors import FileKind, Header
from delt_plugins import publish
from delt_plugins.controls.real import Real
from delt_plugins.forms.mosaic import Mosaic
from delt_plugins.publish.soft_labels import FILE as LABELS


def distilled_in(form: Form, problem: Problem) -> Distilled:
    """Random real images in a form."""
    problem = problem.in_form(form)
    latents = Latents.of(problem, Real().initialize(problem, range(10))).images
    packed = form.pack(latents, problem.normalization)
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
        fingerprint_of(form, {"images": pixels}, classes)
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
    assert (made.fingerprint, made.size_bytes, made.packed, made.targets.tolist()) == ("its own", 24, {}, [1, 0])


def mapped(file: Path, tensor: torch.Tensor) -> bool:
    """Whether the tensor lies where a file is mapped into this process."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(str(file)):
            first, last = (int(place, 16) for place in line.split()[0].split("-"))
            if first <= tensor.data_ptr() < last:
                return True
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux what is mapped")
def test_an_entry_and_a_file_are_mapped_not_read(problem: Problem, tmp_path: Path) -> None:
    store, inputs = Store(tmp_path / "store"), {"what": "set"}
    images = torch.zeros(16, 3, 64, 64, dtype=torch.uint8)
    store.make("finish", inputs, lambda: ({"images": images}, {}))
    entry = store.read("finish", inputs)
    assert entry is not None
    file = store.place("finish", entry.key)
    assert mapped(file, entry.tensors["images"])
    made = Distilled.of(images, torch.zeros(16, dtype=torch.int64))
    DistilledSet(made, ("a",), problem.normalization).save(tmp_path / "set.safetensors")
    loaded = load(tmp_path / "set.safetensors")
    assert mapped(tmp_path / "set.safetensors", loaded.distilled.packed["images"])
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert store.read("finish", inputs) is None, "its checksum is still looked at"


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
    packed = {"images": pixels}
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
