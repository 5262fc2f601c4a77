"""A distilled set as an artifact: soft labels that replay bit for bit, images that other libraries read, and its card."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

import pytest
import torch
from huggingface_hub import DatasetCard
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms.v2.functional import pil_to_tensor

import delt_host
from commands import cold
from conftest import make_problem
from delt_host import Answer, Batch, DistilledSet, InputError, Labels, Problem, Relabeler
from delt_host.contracts.dataset import RealData
from delt_host.contracts.labels import epoch_bytes
from delt_host.contracts.sets import Distilled
from delt_host.contracts.teacher import Teacher
from delt_host.images.normalization import Normalization
from delt_plugins import publish
from delt_plugins.labels.compressed import EightBit, Pruned, TopK
from delt_plugins.labels.packing import KEPT
from delt_plugins.labels.relabelers import Fixed, Fkd, Hard, Online
from delt_plugins.publish.export import class_folders, export
from delt_plugins.publish.soft_labels import write_labels


def real_set(problem: Problem) -> Distilled:
    indices = torch.cat([problem.data.train.of_class(c)[: problem.ipc] for c in range(problem.num_classes)])
    return Distilled.of(problem.data.train.read(indices), problem.targets())


def saved(problem: Problem, distilled: Distilled, folder: Path, **about: object) -> DistilledSet:
    made = DistilledSet(distilled, problem.class_names, problem.normalization, about)
    made.save(folder / "distilled.safetensors")
    return made


def same(one: Batch, other: Batch) -> bool:
    pairs = zip(vars(one).values(), vars(other).values(), strict=True)
    return all(a is b is None or (torch.equal(a, b) and a.dtype == b.dtype) for a, b in pairs)


VIEWS = [
    {"batch_size": 16},
    {"batch_size": 9, "mix": "mixup", "mix_alpha": 0.8, "crop": "pad"},
    {"mix": "none", "crop": "none", "flip": False},
    {"randaugment": "m5-n4", "shuffle_patches": 2, "legacy_imagenet_normalization": True, "batch_size": 7},
    {"randaugment": "torchvision-m9-n2"},
    {"siamese": "color_crop_cutout_flip_scale_rotate", "crop": "none", "mix": "none", "batch_size": 16},
]


@pytest.mark.parametrize(
    "relabeler", [Fkd(), Pruned(keep=0.4), TopK(k=3), EightBit(), Online(), Fixed(), Hard()], ids=repr
)
@pytest.mark.parametrize("settings", VIEWS, ids=str)
def test_soft_labels_replay_bit_for_bit(
    digits: RealData, teacher: Teacher, tmp_path: Path, relabeler: delt_host.Relabeler, settings: dict[str, object]
) -> None:
    """What an ordinary DataLoader gives is what students of this project see: every tensor of every batch of all epochs."""
    problem = make_problem(digits, teacher, epochs=4, **settings)
    distilled = real_set(problem)
    labels = Labels(problem, distilled, relabeler)
    saved(problem, distilled, tmp_path)
    write_labels(tmp_path, problem, distilled, labels, {"name": "tested"})
    loaded = publish.load(tmp_path)
    assert loaded.soft_labels is not None and loaded.soft_labels.kind == labels.kind
    for epoch in range(6):  # students that train longer go through the kept epochs again
        if epoch >= 4 and not isinstance(relabeler, Pruned):
            continue
        pairs = zip(loaded.loader(epoch), labels.epoch(epoch), strict=True)
        assert all(same(replayed, seen) for replayed, seen in pairs), epoch


def test_labels_take_what_the_relabeler_said(digits: RealData, teacher: Teacher, tmp_path: Path) -> None:
    """Packed labels stay packed: the file is their size, the header apart."""
    problem = make_problem(digits, teacher, epochs=4)
    distilled = real_set(problem)
    for relabeler in (Fkd(), TopK(k=2), EightBit(), Pruned(keep=0.5)):
        folder = tmp_path / type(relabeler).__name__
        folder.mkdir()
        labels = Labels(problem, distilled, relabeler)
        (file,) = write_labels(folder, problem, distilled, labels, {})
        held = sum(tensor.numel() * tensor.element_size() for tensor in load_file(file).values())
        assert held == labels.size_bytes
    assert not set(load_file(tmp_path / "TopK" / "labels-0000.safetensors")) & {"logits"}


def test_several_files_and_several_workers_give_the_same(
    digits: RealData, teacher: Teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = make_problem(digits, teacher, epochs=5, randaugment="m5-n4", batch_size=16)
    distilled = real_set(problem)
    labels = Labels(problem, distilled, Fkd())
    saved(problem, distilled, tmp_path)
    monkeypatch.setattr("delt_plugins.publish.soft_labels.BLOCK_BYTES", 2 * epoch_bytes(Fkd(), problem))
    files = write_labels(tmp_path, problem, distilled, labels, {})
    assert [len(load_file(file)["order"]) for file in files] == [2, 2, 1]
    soft = publish.load(tmp_path).soft_labels
    assert soft is not None and soft.steps == sum(1 for _ in labels.epoch(0))
    everything = [views for epoch in range(5) for views in labels.epoch(epoch)]
    loaded = list(DataLoader(soft, batch_size=None, num_workers=2, generator=torch.Generator()))
    assert len(loaded) == len(everything) == len(soft)
    assert all(same(one, other) for one, other in zip(loaded, everything, strict=True))
    with pytest.raises(IndexError):
        soft[len(soft)]
    (tmp_path / "labels-0001.safetensors").unlink()
    with pytest.raises(InputError, match="incomplete: epoch 2 is in none"):
        publish.load(tmp_path)


class Strange(Relabeler):
    """Somebody else's labels: nothing kept in a form that is known here."""

    kind: ClassVar[Literal["logits", "probabilities"]] = "probabilities"

    def bind(self, problem: Problem) -> Answer:
        return lambda batch: problem.teacher_logits(batch.images).softmax(dim=1)

    def pack(self, answers: Tensor) -> dict[str, Tensor]:
        return {"roots": answers.sqrt()}

    def unpack(self, stored: Mapping[str, Tensor], classes: int) -> Tensor:
        return stored["roots"].square()


class Misleading(Strange):
    """Names that are known here, for something else."""

    def pack(self, answers: Tensor) -> dict[str, Tensor]:
        return {"probabilities": answers.sqrt()}

    def unpack(self, stored: Mapping[str, Tensor], classes: int) -> Tensor:
        return stored["probabilities"].square()


@pytest.mark.parametrize("relabeler", [Strange(), Misleading()], ids=repr)
def test_labels_of_a_kind_not_known_here_are_written_as_they_are_seen(
    problem: Problem, tmp_path: Path, relabeler: Relabeler
) -> None:
    distilled = real_set(problem)
    labels = Labels(problem, distilled, relabeler)
    saved(problem, distilled, tmp_path)
    (file,) = write_labels(tmp_path, problem, distilled, labels, {})
    assert set(load_file(file)) & set(KEPT) == {"probabilities"}
    loaded = publish.load(tmp_path)
    for epoch in range(3):
        assert all(same(*pair) for pair in zip(loaded.loader(epoch), labels.epoch(epoch), strict=True))


def test_they_replay_without_teacher_store_and_other_plugins(problem: Problem, tmp_path: Path) -> None:
    """In a process of its own, where nobody looks for plugins, and without a store."""
    distilled = real_set(problem)
    saved(problem, distilled, tmp_path / "set")
    labels = Labels(problem, distilled, TopK(k=3))
    write_labels(tmp_path / "set", problem, distilled, labels, {})
    script = """
import sys
sys.modules["delt_host.plugins.registry"] = None
import torch
from delt_plugins import publish
loaded = publish.load("set")
network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 10))
total = 0.0
for epoch in range(loaded.soft_labels.epochs):
    for views in loaded.loader(epoch):
        total += float(views.answers.sum()) + float(loaded.soft_labels.loss(network(views.images), views)) * 0
print(repr(total))
"""
    environment = {**os.environ, "DELT_HOST_STORE": str(tmp_path / "nowhere")}
    done = cold("-c", script, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    expected = sum(float(views.answers.sum()) for epoch in range(3) for views in labels.epoch(epoch))
    assert float(done.stdout) == pytest.approx(expected, rel=1e-6)
    assert not (tmp_path / "nowhere").exists()


def test_labels_with_randaugment_in_its_former_form_are_refused(
    digits: RealData, teacher: Teacher, tmp_path: Path
) -> None:
    problem = make_problem(digits, teacher, epochs=1, randaugment="m5-n4")
    distilled = real_set(problem)
    saved(problem, distilled, tmp_path)
    (file,) = write_labels(tmp_path, problem, distilled, Labels(problem, distilled, Hard()), {})
    with safe_open(file, "pt") as opened:
        about = opened.metadata()
    tensors = load_file(file)
    tensors["level"] = tensors.pop("argument")
    save_file(tensors, file, about)
    with pytest.raises(InputError, match=r"RandAugment's views in a form that is no longer read: export the set again"):
        publish.load(tmp_path)


def test_labels_of_other_images_and_damaged_ones_are_refused(problem: Problem, tmp_path: Path) -> None:
    distilled = real_set(problem)
    other = Distilled.of(255 - distilled.read(torch.arange(40)), distilled.targets)
    saved(problem, other, tmp_path)
    (file,) = write_labels(tmp_path, problem, distilled, Labels(problem, distilled, Fkd()), {})
    with pytest.raises(InputError, match="belong to other images"):
        publish.load(tmp_path)
    saved(problem, distilled, tmp_path)
    assert publish.load(tmp_path / "distilled.safetensors").soft_labels is not None
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"labels-0000.safetensors cannot be read"):
        publish.load(tmp_path)
    save_file({"order": torch.zeros(3)}, file)
    with pytest.raises(InputError, match="a safetensors file, but not of labels"):
        publish.load(tmp_path)


def test_places_outside_the_set_are_refused_not_read(problem: Problem, tmp_path: Path) -> None:
    distilled = real_set(problem)
    saved(problem, distilled, tmp_path)
    (file,) = write_labels(tmp_path, problem, distilled, Labels(problem, distilled, Fkd()), {})
    with safe_open(file, "pt") as opened:
        about = opened.metadata()
    tensors = load_file(file)
    tensors["order"][0, 0] = 4000
    save_file(tensors, file, about)
    loaded = publish.load(tmp_path)
    with pytest.raises(InputError, match="order must be places of 40 images"):
        list(loaded.loader(0))
    assert len(list(loaded.loader(1))) == 1


def test_the_hard_labelled_set_is_an_ordinary_dataset(problem: Problem, tmp_path: Path) -> None:
    made = saved(problem, real_set(problem), tmp_path)
    loaded = publish.load(tmp_path)
    images, targets = next(iter(DataLoader(loaded.dataset(), batch_size=40, generator=torch.Generator())))
    assert torch.equal(images, made.images()) and torch.equal(targets, made.targets)
    mirrored = loaded.dataset(lambda image: image.flip(-1))
    raw, _ = next(iter(DataLoader(mirrored, batch_size=40, generator=torch.Generator())))
    assert torch.equal(raw, made.pixels.flip(-1))
    with pytest.raises(InputError, match="no soft labels beside it"):
        loaded.loader(0)


def named_set(names: tuple[str, ...], size: int = 4) -> DistilledSet:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (2 * len(names), 3, size, size), generator=generator, dtype=torch.uint8)
    targets = torch.arange(len(names)).repeat_interleave(2)
    made = Distilled.of(pixels, targets)
    return DistilledSet(made, names, Normalization((0.5,) * 3, (0.25,) * 3), {"method": "made"})


@pytest.mark.parametrize(
    ("names", "folders"),
    [
        (("airplane", "bird"), ["airplane", "bird"]),
        (("new york", "Ünder"), ["new york", "Ünder"]),
        (("bird", "airplane"), ["0-bird", "1-airplane"]),  # not in the order in which folders are read
        (("a/b", "a:b"), ["0-a-b", "1-a-b"]),
        (("A", "a"), ["0-A", "1-a"]),  # one folder where case does not count
        (("..", "x"), ["0", "1-x"]),
        (("con", "x"), ["0-con", "1-x"]),
        (("x", "é" * 80), ["0-x", "1-" + "é" * 50]),
        (tuple(map(str, range(11))), [f"{i:02d}-{i}" for i in range(11)]),
    ],
)
def test_folders_keep_the_classes_order_under_names_that_every_system_takes(
    names: tuple[str, ...], folders: list[str], tmp_path: Path
) -> None:
    assert class_folders(names) == folders and sorted(folders) == folders
    made = named_set(names)
    export(made, tmp_path / "out", "images")
    read = ImageFolder(tmp_path / "out" / "train", transform=pil_to_tensor)
    assert read.classes == folders
    assert [target for _, target in read] == made.targets.tolist()
    assert all(torch.equal(image, made.pixels[place]) for place, (image, _) in enumerate(read)), "lossless, in order"
    listed = json.loads((tmp_path / "out" / "classes.json").read_text(encoding="utf-8"))
    assert [(each["index"], each["name"], each["folder"]) for each in listed] == [
        (index, name, folder) for index, (name, folder) in enumerate(zip(names, folders, strict=True))
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_shards_hold_every_image_with_its_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from PIL import Image

    monkeypatch.setattr("delt_plugins.publish.export.SHARD_BYTES", 300)
    made = named_set(("bird", "airplane", "x"))
    export(made, tmp_path / "out", "webdataset")
    shards = sorted((tmp_path / "out").glob("train-*.tar"))
    assert len(shards) > 1
    found: dict[str, bytes] = {}
    for shard in shards:
        with tarfile.open(shard) as tar:
            for member in tar.getmembers():
                file = tar.extractfile(member)
                assert file is not None
                found[member.name] = file.read()
    assert sorted(found) == sorted(f"{place:05d}.{end}" for place in range(6) for end in ("png", "cls"))
    for place in range(6):
        picture = Image.open(io.BytesIO(found[f"{place:05d}.png"]))
        assert torch.equal(pil_to_tensor(picture), made.pixels[place])
        assert int(found[f"{place:05d}.cls"]) == made.targets[place]
    assert [each["name"] for each in json.loads((tmp_path / "out/classes.json").read_text())] == [
        "bird",
        "airplane",
        "x",
    ]


@pytest.mark.skipif(os.name != "posix", reason="needs file modes")
def test_what_is_written_to_be_shared_can_be_read_by_others(problem: Problem, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        saved(problem, real_set(problem), tmp_path)
    finally:
        os.umask(before)
    assert (tmp_path / "distilled.safetensors").stat().st_mode & 0o777 == 0o644


def test_hostile_class_names_stay_names_in_the_card(tmp_path: Path) -> None:
    names = ("a | b", "<script>alert(1)</script>", "---\nlicense: mit", "`x` [y](z)", "'\": {}")
    export(named_set(names), tmp_path / "out", "images")
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    card = DatasetCard(text)
    assert card.data.license == "unknown"
    assert tuple(card.data.distillation["classes"]) == names
    assert "<script>" not in card.text and "[y](z)" not in card.text
