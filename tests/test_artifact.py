"""A distilled set as an artifact: soft labels that replay bit for bit, images that other libraries read, and its card."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from huggingface_hub import DatasetCard
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms.v2.functional import pil_to_tensor

import delt_host
from conftest import make_problem
from delt_host import DistilledSet, InputError, LabelledViews, Labels, Problem, RunError
from delt_host.artifact.export import class_folders, export
from delt_host.artifact.packing import PER_VIEW
from delt_host.artifact.soft_labels import write_labels
from delt_host.cli import cli
from delt_host.components import Distilled
from delt_host.data.base import RealData
from delt_host.normalization import Normalization
from delt_host.teacher import Teacher
from delt_plugins.compressed import EightBit, Pruned, TopK
from delt_plugins.labels import Fixed, Fkd, Hard, Online

RUN = [
    "run", "-m", "delt", "-b", "cda", "--ipc", "2", "--seeds", "2", "--no-controls", "--set", "dataset.image_size=8",
    "--set", "teacher.epochs=4", "--set", "scheduler.iterations=16", "--set", "protocol.epochs=3", "-q", "--out", "made",
]  # fmt: skip


def call(*arguments: object) -> str:
    result = CliRunner().invoke(cli, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def said(*arguments: object) -> str:
    with pytest.raises(InputError) as caught:
        CliRunner().invoke(cli, list(map(str, arguments)), catch_exceptions=False)
    return str(caught.value)


def real_set(problem: Problem) -> Distilled:
    indices = torch.cat([problem.data.train.of_class(c)[: problem.ipc] for c in range(problem.num_classes)])
    return Distilled(problem.data.train.read(indices), problem.targets())


def saved(problem: Problem, distilled: Distilled, folder: Path, **about: object) -> DistilledSet:
    made = DistilledSet(distilled.pixels, distilled.targets, problem.class_names, problem.normalization, about)
    made.save(folder / "distilled.safetensors")
    return made


def same(one: LabelledViews, other: LabelledViews) -> bool:
    return all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(one, other, strict=True))


VIEWS = [
    {"batch_size": 16},
    {"batch_size": 9, "mix": "mixup", "mix_alpha": 0.8, "crop": "pad"},
    {"mix": "none", "crop": "none", "flip": False},
    {"randaugment": "m5-n4", "shuffle_patches": 2, "legacy_imagenet_normalization": True, "batch_size": 7},
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
    labels = relabeler.relabel(problem, distilled)
    saved(problem, distilled, tmp_path)
    write_labels(tmp_path, problem, distilled, labels, {"name": "tested"})
    loaded = delt_host.load(tmp_path)
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
        labels = relabeler.relabel(problem, distilled)
        (file,) = write_labels(folder, problem, distilled, labels, {})
        held = sum(tensor.numel() * tensor.element_size() for tensor in load_file(file).values())
        assert held == labels.size_bytes
    assert not set(load_file(tmp_path / "TopK" / "labels-0000.safetensors")) & {"logits"}


def test_several_files_and_several_workers_give_the_same(
    digits: RealData, teacher: Teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = make_problem(digits, teacher, epochs=5, randaugment="m5-n4", batch_size=16)
    distilled = real_set(problem)
    labels = Fkd().relabel(problem, distilled)
    saved(problem, distilled, tmp_path)
    monkeypatch.setattr("delt_host.artifact.soft_labels.BLOCK_BYTES", 2 * Fkd().epoch_bytes(problem))
    files = write_labels(tmp_path, problem, distilled, labels, {})
    assert [len(load_file(file)["order"]) for file in files] == [2, 2, 1]
    soft = delt_host.load(tmp_path).soft_labels
    assert soft is not None and soft.steps == sum(1 for _ in labels.epoch(0))
    everything = [views for epoch in range(5) for views in labels.epoch(epoch)]
    loaded = list(DataLoader(soft, batch_size=None, num_workers=2, generator=torch.Generator()))
    assert len(loaded) == len(everything) == len(soft)
    assert all(same(one, other) for one, other in zip(loaded, everything, strict=True))
    with pytest.raises(IndexError):
        soft[len(soft)]
    (tmp_path / "labels-0001.safetensors").unlink()
    with pytest.raises(InputError, match="incomplete: epoch 2 is in none"):
        delt_host.load(tmp_path)


class Strange(Labels):
    """Somebody else's labels: nothing kept in a form that is known here."""

    kind = "probabilities"
    size_bytes = 0

    def __init__(self, inner: Labels, shift: int = 0) -> None:
        self.inner, self.shift = inner, shift

    def epoch(self, number: int) -> Iterator[LabelledViews]:
        for views in self.inner.epoch(number + self.shift):
            yield views._replace(targets=(views.targets / 7).softmax(dim=1))

    def stored(self, number: int) -> dict[str, Tensor]:
        return dict(self.inner.stored(number) or {})  # logits, which are not what `epoch` gives


def test_labels_of_a_kind_not_known_here_are_written_as_they_are_seen(problem: Problem, tmp_path: Path) -> None:
    distilled = real_set(problem)
    labels = Strange(Fkd().relabel(problem, distilled))
    saved(problem, distilled, tmp_path)
    (file,) = write_labels(tmp_path, problem, distilled, labels, {})
    assert set(load_file(file)) & set(PER_VIEW) == {"probabilities"}
    loaded = delt_host.load(tmp_path)
    for epoch in range(3):
        assert all(same(*pair) for pair in zip(loaded.loader(epoch), labels.epoch(epoch), strict=True))
    with pytest.raises(RunError, match="in epoch 0 they show other views than the protocol fair"):
        write_labels(tmp_path, problem, distilled, Strange(Fkd().relabel(problem, distilled), shift=1), {})


def test_they_replay_without_teacher_store_and_plugins(problem: Problem, tmp_path: Path) -> None:
    """In a process of its own, with our plugins out of reach and no store."""
    distilled = real_set(problem)
    saved(problem, distilled, tmp_path / "set")
    labels = TopK(k=3).relabel(problem, distilled)
    write_labels(tmp_path / "set", problem, distilled, labels, {})
    script = """
import sys, types
sys.modules["delt_plugins"] = None
import delt_host, torch
loaded = delt_host.load("set")
network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 10))
total = 0.0
for epoch in range(loaded.soft_labels.epochs):
    for views in loaded.loader(epoch):
        total += float(views.targets.sum()) + float(loaded.soft_labels.loss(network(views.images), views)) * 0
print(repr(total))
"""
    environment = {**os.environ, "DELT_HOST_STORE": str(tmp_path / "nowhere")}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    expected = sum(float(views.targets.sum()) for epoch in range(3) for views in labels.epoch(epoch))
    assert float(done.stdout) == pytest.approx(expected, rel=1e-6)
    assert not (tmp_path / "nowhere").exists()


def test_labels_of_other_images_and_damaged_ones_are_refused(problem: Problem, tmp_path: Path) -> None:
    distilled = real_set(problem)
    saved(problem, replace(distilled, pixels=255 - distilled.pixels), tmp_path)
    (file,) = write_labels(tmp_path, problem, distilled, Fkd().relabel(problem, distilled), {})
    with pytest.raises(InputError, match="belong to other images"):
        delt_host.load(tmp_path)
    saved(problem, distilled, tmp_path)
    assert delt_host.load(tmp_path / "distilled.safetensors").soft_labels is not None
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"labels-0000.safetensors cannot be read"):
        delt_host.load(tmp_path)
    save_file({"order": torch.zeros(3)}, file)
    with pytest.raises(InputError, match="a safetensors file, but not of labels"):
        delt_host.load(tmp_path)


def test_places_outside_the_set_are_refused_not_read(problem: Problem, tmp_path: Path) -> None:
    distilled = real_set(problem)
    saved(problem, distilled, tmp_path)
    (file,) = write_labels(tmp_path, problem, distilled, Fkd().relabel(problem, distilled), {})
    with safe_open(file, "pt") as opened:
        about = opened.metadata()
    tensors = load_file(file)
    tensors["order"][0, 0] = 4000
    save_file(tensors, file, about)
    loaded = delt_host.load(tmp_path)
    with pytest.raises(InputError, match="order must be places of 40 images"):
        list(loaded.loader(0))
    assert len(list(loaded.loader(1))) == 1


def test_the_hard_labelled_set_is_an_ordinary_dataset(problem: Problem, tmp_path: Path) -> None:
    made = saved(problem, real_set(problem), tmp_path)
    loaded = delt_host.load(tmp_path)
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
    return DistilledSet(pixels, targets, names, Normalization((0.5,) * 3, (0.25,) * 3), {"method": "made"})


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

    monkeypatch.setattr("delt_host.artifact.export.SHARD_BYTES", 300)
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


@pytest.fixture
def made(tmp_path: Path) -> Path:
    call(*RUN)
    return tmp_path / "made"


def test_a_run_is_exported_with_its_labels_and_its_card_says_what_was_measured(made: Path, tmp_path: Path) -> None:
    output = call("export", "made", "--to", "out", "--labels", "--row", "cda", "--seed", "1", "--license", "cc-by-4.0")
    assert "cda, seed 1, 20 images as images" in output and "soft labels of 3 epochs" in output
    loaded = delt_host.load("out")
    original = delt_host.load(made / "cda" / "seed-1")
    assert torch.equal(loaded.pixels, original.pixels) and loaded.about == original.about
    assert loaded.soft_labels is not None
    head = DatasetCard((tmp_path / "out" / "README.md").read_text(encoding="utf-8")).data
    facts = head.distillation
    assert head.license == "cc-by-4.0" and head.task_categories == ["image-classification"]
    assert (facts["method"], facts["seed"], facts["images_per_class"], facts["image_size"]) == ("cda", 1, 2, 8)
    assert facts["classes"] == [str(digit) for digit in range(10)]
    assert facts["labels"] == {
        "relabeler": {"name": "fkd"}, "bytes": loaded.soft_labels.size_bytes, "epochs": 3, "stored": True,
    }  # fmt: skip
    results = json.loads((made / "results.json").read_text())
    line = next(line for line in results["lines"] if line["label"] == "cda")
    (score,) = facts["measured"]
    assert score["by_seed"] == line["scores"] and set(score["by_seed"]) == {"0", "1"}
    assert (score["mean"], score["std"], score["n"]) == (line["summary"]["mean"], line["summary"]["std"], 2)
    assert facts["cost"]["image_iterations"] == line["image_iterations"]

    call("evaluate", "made", "-e", "diversity", "-q", "--set", "evaluator.real_images=50")
    call("export", "made", "--to", "again", "-q", "--format", "safetensors")
    head = DatasetCard((tmp_path / "again" / "README.md").read_text(encoding="utf-8")).data
    assert [score["score"] for score in head.distillation["measured"]] == ["top1", "similarity"]
    assert head.distillation["labels"]["stored"] is False and "configs" not in head.to_dict()

    call("export", "out", "--to", "copied", "--format", "webdataset", "-q")
    copied = delt_host.load("copied")
    assert copied.soft_labels is not None
    pairs = zip(copied.loader(2), loaded.loader(2), strict=True)
    assert all(same(one, other) for one, other in pairs)


def test_exported_labels_are_those_that_the_runs_students_saw(made: Path, tmp_path: Path) -> None:
    """A student trained by the loader alone, as the evaluator trains it, gets the same score to the last digit."""
    from delt_host.data.digits import Digits
    from delt_host.train import train_student

    shutil.rmtree(tmp_path / "store" / "labels")  # made anew by the same teacher
    call("export", "made", "--to", "out", "--labels", "-q")
    loaded = delt_host.load("out")
    results = json.loads((made / "results.json").read_text())
    measured = next(m for m in results["measurements"] if (m["label"], m["seed"]) == ("delt", 0))

    class Replayed(Labels):
        kind = "logits"
        size_bytes = 0

        def epoch(self, number: int) -> Iterator[LabelledViews]:
            yield from loaded.loader(number)

    teacher = Teacher("convnet3", {}, loaded.class_names, *(tuple(v) for v in vars(loaded.normalization).values()), 8)  # type: ignore[arg-type]
    problem = make_problem(Digits(image_size=8).load(), teacher, ipc=2, **loaded.about["protocol"])
    from delt_host.compute import Compute

    problem = replace(problem, compute=Compute.choose("cpu", results["experiment"]["precision"]))
    assert train_student(problem, Replayed(), "convnet3").last == measured["scores"]["last"]


def test_mistakes_are_named(made: Path, tmp_path: Path) -> None:
    assert "did you mean 'delt'" in said("export", "made", "--to", "out", "--row", "delta")
    assert "its seeds are 0, 1" in said("export", "made", "--to", "out", "--seed", "7")
    assert "no distilled set at" in said("export", "nowhere", "--to", "out")
    assert "has no soft labels; give the run's folder" in said("export", "made/delt/seed-0", "--to", "out", "--labels")
    assert "--row and --seed have no place" in said("export", "made/delt/seed-0", "--to", "out", "--seed", "0")
    (tmp_path / "there").mkdir()
    assert "exists already" in said("export", "made", "--to", "there")
    (tmp_path / "file").write_text("")
    assert "cannot be written" in said("export", "made", "--to", "file/out")
    (made / "delt" / "seed-0" / "distilled.safetensors").write_bytes(b"no")
    assert "cannot be read" in said("export", "made", "--to", "out")
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out-*"))


def test_the_page_on_the_artifact_does_what_it_says(tmp_path: Path) -> None:
    """Its commands and snippets, one after the other, on a run of the size of its example."""
    call(
        "run", "-m", "delt", "--ipc", "2", "--seeds", "2", "--no-controls", "--set", "teacher.epochs=4", "--set",
        "scheduler.iterations=16", "--set", "protocol.epochs=3", "-q", "--out", "runs/first",
    )  # fmt: skip
    page = (Path(__file__).parents[1] / "docs" / "artifact.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    assert [language for language, _ in blocks].count("python") >= 4
    names: dict[str, object] = {}
    with torch.random.fork_rng(devices=[]):
        for language, text in blocks:
            if language == "python":
                exec(compile(text, "docs/artifact.md", "exec"), names)
                continue
            for line in text.splitlines():
                call(*shlex.split(line)[1:])
    lines = json.loads(Path("runs/imported/evaluations/student/results.json").read_text())["lines"]
    assert [line["label"] for line in lines] == ["published"]
    imported, exported = delt_host.load("runs/imported/published/seed-0"), delt_host.load("digits-delt")
    assert torch.equal(imported.pixels, exported.pixels)
    fields = exported.soft_labels.blocks[0].header.model_dump() if exported.soft_labels else {}
    assert [name for name in fields if f"`{name}`" not in page] == []
    with safe_open("digits-delt/labels-0000.safetensors", "pt") as file:
        assert [name for name in file.keys() if f"`{name}`" not in page] == []  # noqa: SIM118
