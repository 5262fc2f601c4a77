"""Folders as people have them: without splits, with one, with splits of other names; what is taken and left is said."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageOps
from test_data import folder, make_folder, picture, refuse, tiny, write_cifar, write_tiny

from conftest import DATASETS
from delt_host.basics.errors import InputError
from delt_host.contracts.dataset import RealData
from delt_plugins.datasets import files as files_module

HELD_OUT = "no test split: of the 20 images of {}/, 4 are held out to test with, 0.2 of each class by seed 0"


def fill(*folders: Path, count: int = 10) -> None:
    """Images that are all different."""
    for where in folders:
        where.mkdir(parents=True)
        for i in range(count):
            picture(hash_of(where) + i).save(where / f"{i}.png")


def hash_of(where: Path) -> int:
    return sum(ord(letter) * 31**place for place, letter in enumerate(f"{where.parent.name}/{where.name}"))


def said(data: RealData) -> str:
    return "\n".join(data.notes)


def pixels(data: RealData) -> set[bytes]:
    return {image.numpy().tobytes() for image in data.test.read(torch.arange(len(data.test)))}


def test_without_splits_a_share_of_each_class_is_held_out_and_said(tmp_path: Path) -> None:
    fill(tmp_path / "d" / "Bär ö", tmp_path / "d" / "cat")
    data = folder(tmp_path / "d")
    assert data.class_names == ("Bär ö", "cat") and (len(data.train), len(data.test)) == (16, 4)
    assert torch.bincount(data.test.targets).tolist() == [2, 2]
    assert HELD_OUT.format("d") in said(data) and "dataset.test_share" in said(data)
    trained_on = {image.numpy().tobytes() for image in data.train.read(torch.arange(16))}
    assert len(trained_on | pixels(data)) == 20, "no image is on both sides"
    assert pixels(folder(tmp_path / "d")) == pixels(data) != pixels(folder(tmp_path / "d", test_seed=1))
    assert folder(tmp_path / "d", test_seed=1).fingerprint != data.fingerprint
    assert len(folder(tmp_path / "d", test_share=0.5).test) == 10


@pytest.mark.parametrize("only", ["train", "Training", "val"])
def test_one_split_alone_is_divided(tmp_path: Path, only: str) -> None:
    fill(tmp_path / "d" / only / "ant", tmp_path / "d" / only / "bee")
    data = folder(tmp_path / "d")
    assert (len(data.train), len(data.test)) == (16, 4) and HELD_OUT.format(only) in said(data)


@pytest.mark.parametrize(
    ("train", "test"), [("Train", "valid"), ("TRAIN", "VAL"), ("training", "validation"), ("Training", "Testing")]
)
def test_other_names_of_splits_are_taken_and_said(tmp_path: Path, train: str, test: str) -> None:
    make_folder(tmp_path / "d", test=test)
    (tmp_path / "d" / "train").rename(tmp_path / "d" / "renamed")
    (tmp_path / "d" / "renamed").rename(tmp_path / "d" / train)
    data = folder(tmp_path / "d", test_share=0.5)
    assert (len(data.train), len(data.test)) == (6, 4) and f"trained on {train}/, tested on {test}/" in data.notes
    assert f"dataset.test_share is not used: {test}/ is there to test with" in data.notes


def test_of_several_test_splits_the_first_is_taken_and_the_others_are_counted(tmp_path: Path) -> None:
    make_folder(tmp_path / "d", test="test")
    fill(tmp_path / "d/val/ant", tmp_path / "d/val/bee", tmp_path / "d/more", count=1)
    (tmp_path / "d/scripts").mkdir()
    data = folder(tmp_path / "d")
    assert len(data.test) == 4 and "left out: more/ (1 image), val/ (2 images)" in data.notes


@pytest.mark.parametrize("unlabelled", [".", "images"])
def test_an_unlabelled_test_split_never_wins(tmp_path: Path, unlabelled: str) -> None:
    make_folder(tmp_path / "d", test="val")
    lies = tmp_path / "d" / "test" / unlabelled
    fill(lies / "x" if unlabelled == "." else lies, count=3)
    if unlabelled == ".":
        for image in (lies / "x").iterdir():
            image.rename(lies / image.name)
        (lies / "x").rmdir()
    data = folder(tmp_path / "d")
    assert len(data.test) == 4 and "trained on train/, tested on val/" in data.notes
    assert "left out: test/ (3 images, no class folders)" in data.notes


def test_an_unlabelled_test_split_alone_tests_nothing(tmp_path: Path) -> None:
    fill(tmp_path / "d/train/ant", tmp_path / "d/train/bee", tmp_path / "d/test/images")
    data = folder(tmp_path / "d")
    assert len(data.test) == 4 and HELD_OUT.format("train") in said(data)
    assert "left out: test/ (10 images, no class folders)" in data.notes


def test_a_class_may_have_the_name_of_a_split(tmp_path: Path) -> None:
    fill(tmp_path / "d/car", tmp_path / "d/train", count=10)
    data = folder(tmp_path / "d")
    assert data.class_names == ("car", "train") and HELD_OUT.format("d") in said(data)


def test_a_folder_alone_in_another_is_looked_into(tmp_path: Path) -> None:
    """As archives are unpacked: birds/birds/CLASS, or with splits."""
    fill(tmp_path / "a/birds/owl", tmp_path / "a/birds/wren")
    assert "read from birds/, which is alone in" in said(folder(tmp_path / "a"))
    make_folder(tmp_path / "b/images")
    assert len(folder(tmp_path / "b").test) == 4


def test_folders_that_nobody_can_divide_are_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refuse(tmp_path / "empty", "empty has no class folders$")
    fill(tmp_path / "flat", count=2)
    refuse(
        tmp_path / "flat", "flat has no class folders, but images: put those of each class into a folder of its name"
    )
    fill(tmp_path / "alone/cat", count=2)
    refuse(tmp_path / "alone", "alone has one class folder alone, 'cat'; it takes two to tell apart")
    fill(tmp_path / "few/cat", tmp_path / "few/dog", count=1)
    refuse(tmp_path / "few", "few has no test split, and nothing can be held out for one: class 'cat' has 1 image")
    fill(tmp_path / "tests/val/cat", tmp_path / "tests/test/cat", count=1)
    refuse(tmp_path / "tests", "tests has test/ and val/, but no train/ with a folder for each class")
    fill(tmp_path / "inside/cat/train", tmp_path / "inside/cat/val", tmp_path / "inside/dog/train", count=1)
    refuse(tmp_path / "inside", "inside/cat has train/ and val/ in it; splits lie above the classes: inside/train/cat/")
    with pytest.raises(Exception, match="test_share"):
        DATASETS["folder"](path=".", test_share=1.0)  # type: ignore[call-arg]


def test_tiny_imagenet_whose_validation_images_were_moved_into_class_folders(tmp_path: Path) -> None:
    root = write_tiny(tmp_path / "t")
    before = tiny(root)
    for place, wnid in enumerate(("n01", "n02", "n01")):
        (root / "val" / wnid / "images").mkdir(parents=True, exist_ok=True)
        (root / f"val/images/val_{place}.JPEG").rename(root / f"val/{wnid}/images/val_{place}.JPEG")
    fill(root / "test" / "images", count=2)  # its unlabelled test images; val/images is still there, empty
    moved, as_folder = tiny(root), folder(root)
    for data in (moved, as_folder):
        assert data.class_names == ("n01", "n02") and data.test.targets.tolist() == [0, 0, 1]
        assert pixels(data) == pixels(before)
    (root / "val/images").rmdir()
    (root / "val/val_annotations.txt").unlink()
    for image in (root / "val" / "n01" / "images").iterdir():
        image.rename(image.parent.parent / image.name)  # and without the folder between
    assert pixels(tiny(root)) == pixels(before)


def test_tiny_imagenet_without_labels_of_its_validation_images(tmp_path: Path) -> None:
    root = write_tiny(tmp_path / "t")
    (root / "val/val_annotations.txt").unlink()
    with pytest.raises(InputError, match="val lacks val_annotations.txt, which says of what class"):
        tiny(root)
    shutil.rmtree(root / "val/images")
    with pytest.raises(InputError, match="val has neither images/ with images, nor folders of the classes"):
        tiny(root)


def refused(name: str, root: Path, **options: object) -> str:
    with pytest.raises(InputError) as error:
        DATASETS[name](root=str(root), **options).load()  # type: ignore[call-arg]
    return str(error.value)


@pytest.mark.parametrize("name", ["imagenet", "cifar10", "imagenette"])
def test_a_published_dataset_as_class_folders_is_sent_to_the_reader_that_reads_it(tmp_path: Path, name: str) -> None:
    make_folder(tmp_path / "d", test="val")
    said = refused(name, tmp_path / "d")
    assert f"--dataset folder:{tmp_path / 'd'} --set dataset.published={name}" in said
    assert "download" not in said and "put ILSVRC" not in said
    assert DATASETS["folder"](path=str(tmp_path / "d"), published=name).published_as == name  # type: ignore[call-arg]


def test_cifars_inner_folder_a_truncated_archive_and_a_whole_one_are_told_apart(tmp_path: Path) -> None:
    write_cifar(tmp_path, "cifar10")
    inner = tmp_path / "cifar-10-batches-py"
    assert f"name the one it lies in: --dataset cifar10:{tmp_path}" in refused("cifar10", inner)
    assert "cifar-10-batches-py/data_batch_1 is damaged" in refused("cifar10", tmp_path)
    (inner / "data_batch_1").unlink()
    assert "cifar-10-batches-py/data_batch_1 is missing" in refused("cifar10", tmp_path)
    shutil.rmtree(inner)
    assert "fetch it with --set dataset.download=true" in refused("cifar10", tmp_path)
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"the first part")
    said = refused("cifar10", tmp_path)
    assert "cifar-10-python.tar.gz there is truncated or damaged; remove it and fetch it again from https://" in said
    assert "download=" not in said


def test_a_download_that_failed_is_not_advised_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_args: object, **_options: object) -> None:
        raise RuntimeError("no network")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", fetch)
    said = refused("cifar10", tmp_path, download=True)
    assert "no network; fetch https://" in said and "download=" not in said


def test_links_that_lead_out_are_refused_whatever_the_split_is_called(tmp_path: Path) -> None:
    make_folder(tmp_path / "real")
    (tmp_path / "d").mkdir()
    for name, leads in (("Train", "train"), ("valid", "test")):
        (tmp_path / "d" / name).symlink_to(tmp_path / "real" / leads)
    with pytest.raises(InputError, match="Train is a symbolic link that leads out of"):
        folder(tmp_path / "d")
    assert len(folder(tmp_path / "d", follow_links=True).test) == 4


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_are_turned_upright_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, orientation: int, held: bool
) -> None:
    if not held:
        monkeypatch.setattr(files_module, "IN_MEMORY", 1)
    make_folder(tmp_path / "d")
    photograph = tmp_path / "d/train/ant/0.png"
    stored = Image.open(photograph).copy()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored.save(photograph, exif=exif)
    with Image.open(photograph) as image:
        upright = ImageOps.exif_transpose(image)  # Pillow's own
    data, as_stored = folder(tmp_path / "d"), folder(tmp_path / "d", upright=False)
    for each, wanted in ((data, upright), (as_stored, stored)):
        expected = torch.from_numpy(np.array(wanted)).permute(2, 0, 1)
        assert torch.equal(each.train.read(torch.tensor([0]))[0], expected)
        assert torch.equal(each.train.original(0), expected)
    assert (data.fingerprint != as_stored.fingerprint) or (held and orientation == 1)
    assert ("turned 1 image upright" in said(data)) == (held and orientation != 1) and "turned" not in said(as_stored)


def test_exif_that_nobody_can_read_turns_nothing(tmp_path: Path) -> None:
    make_folder(tmp_path / "d")
    picture(1).save(tmp_path / "d/train/ant/0.png", exif=b"Exif\0\0MM\0*\0\0\0\xff")
    assert len(folder(tmp_path / "d").train) == 6
