"""Datasets in their real layouts, made small: what is read, converted, counted and refused."""

from __future__ import annotations

import hashlib
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from conftest import DATASETS
from delt_host.basics.errors import InputError
from delt_host.basics.seeding import generator
from delt_host.contracts.dataset import RealData
from delt_host.contracts.services import NO_SERVICES, Services
from delt_host.store.store import Store
from delt_plugins.datasets import files as files_module
from delt_plugins.datasets.decode import decode, fit
from delt_plugins.datasets.reading import ReadingReport


def picture(seed: int, size: int | tuple[int, int] = 16) -> Image.Image:
    width, height = (size, size) if isinstance(size, int) else size
    pixels = torch.randint(256, (height, width, 3), generator=generator(seed, "picture"), dtype=torch.uint8)
    return Image.fromarray(pixels.numpy())


def make_folder(root: Path, classes: tuple[str, ...] = ("ant", "bee"), count: int = 3, test: str = "test") -> Path:
    for split, number in (("train", count), (test, 2)):
        for label, name in enumerate(classes):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(number):
                picture(1000 * label + 10 * i + len(split)).save(folder / f"{i}.png")
    return root


def folder(path: Path, services: Services = NO_SERVICES, **options: object) -> RealData:
    return DATASETS["folder"](path=str(path), **options).load(services)  # type: ignore[call-arg]


@pytest.mark.parametrize("test", ["test", "val"])
def test_a_folder_is_read_as_it_is(tmp_path: Path, test: str) -> None:
    data = folder(make_folder(tmp_path / "d", test=test))
    assert data.class_names == ("ant", "bee") and data.image_size == 16
    assert (len(data.train), len(data.test)) == (6, 4)
    assert data.train.targets.tolist() == [0, 0, 0, 1, 1, 1]
    expected = torch.from_numpy(np.array(Image.open(tmp_path / "d/train/bee/0.png"))).permute(2, 0, 1)
    assert torch.equal(data.train.read(torch.tensor([3]))[0], expected)
    unit = data.train.read(torch.arange(6)).double() / 255
    assert data.mean == pytest.approx(unit.mean(dim=(0, 2, 3)).tolist())
    assert data.std == pytest.approx(unit.std(dim=(0, 2, 3), unbiased=False).tolist())


def test_the_second_reading_comes_from_the_store_and_a_damaged_one_is_redone(tmp_path: Path) -> None:
    path = make_folder(tmp_path / "d")
    kept = Services(Store(tmp_path / "kept"))
    first = folder(path, kept)
    (cache,) = (tmp_path / "kept" / "decode").iterdir()
    assert folder(path, kept).fingerprint == first.fingerprint
    content = bytearray(cache.read_bytes())
    content[-1] ^= 1
    cache.write_bytes(content)
    again = folder(path, kept)
    assert cache.read_bytes() != content and not (tmp_path / "store").exists()
    assert again.fingerprint == first.fingerprint
    assert torch.equal(again.train.read(torch.arange(6)), first.train.read(torch.arange(6)))


def test_the_fingerprint_follows_the_content(tmp_path: Path) -> None:
    path = make_folder(tmp_path / "d")
    before = folder(path).fingerprint
    shutil.copytree(path, tmp_path / "copy")
    assert folder(tmp_path / "copy").fingerprint == before
    picture(99).save(path / "train/ant/0.png")
    assert folder(path).fingerprint != before


def test_large_folders_are_read_on_demand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_folder(tmp_path / "d")
    in_memory = folder(path)
    monkeypatch.setattr(files_module, "IN_MEMORY", 1)
    data = folder(path)
    assert isinstance(data.train, files_module.FileSplit)
    order = torch.tensor([5, 0, 3])
    assert torch.equal(data.train.read(order), in_memory.train.read(order))
    assert data.mean == pytest.approx(in_memory.mean)
    (path / "train/ant/1.png").write_bytes(b"not an image")
    assert len(folder(path, skip_bad_images=True).train) == 5
    with pytest.raises(InputError, match=r"ant/1.png cannot be read"):
        folder(path)


def test_sizes_other_than_the_images_own(tmp_path: Path) -> None:
    path = make_folder(tmp_path / "d")
    assert folder(path, image_size=8).train.read(torch.tensor([0])).shape == (1, 3, 8, 8)
    picture(1, (20, 30)).save(path / "train/ant/x.png")
    data = folder(path)
    assert data.image_size == 64 and "64 px" in data.notes[0]
    assert folder(path, published="imagenet").image_size == 224, "at the size that settings were published for"
    assert data.train.original(3).shape == (3, 30, 20)


def test_fit_is_the_papers_resize_and_centre_crop() -> None:
    assert fit(torch.zeros(3, 300, 500, dtype=torch.uint8), 224).shape == (3, 224, 224)
    image = torch.from_numpy(np.array(picture(3, (40, 30)))).permute(2, 0, 1)
    as_is = fit(image[:, :30, 5:35], 30)
    assert torch.equal(as_is, image[:, :30, 5:35])


def refuse(path: Path, message: str, **options: object) -> None:
    with pytest.raises(InputError, match=message):
        folder(path, **options)


def test_folders_that_cannot_be_are_refused_in_a_sentence(tmp_path: Path) -> None:
    refuse(tmp_path / "nothing", "no folder at .*nothing")
    (tmp_path / "c" / "train").mkdir(parents=True)
    (tmp_path / "c" / "test").mkdir()
    refuse(tmp_path / "c", "train has no class folders")
    path = make_folder(tmp_path / "d")
    shutil.rmtree(path / "test" / "bee")
    refuse(path, "class 'bee' of .* is in train/ but not in test/")
    path = make_folder(tmp_path / "e")
    for image in (path / "train" / "ant").iterdir():
        image.unlink()
    refuse(path, r"the class folder .*train/ant has no images")


@pytest.mark.parametrize("content", [b"", b"hello", "truncated"])
def test_a_bad_image_is_named_or_skipped_and_counted(tmp_path: Path, content: bytes | str) -> None:
    path = make_folder(tmp_path / "d")
    bad = path / "train/ant/1.png"
    bad.write_bytes(bad.read_bytes()[:200] if isinstance(content, str) else content)
    refuse(path, r"image .*train/ant/1.png cannot be read: .*--skip-bad-images")
    data = folder(path, skip_bad_images=True)
    assert len(data.train) == 5 and data.train.targets.tolist() == [0, 0, 1, 1, 1]
    assert any("skipped 1 bad images" in note and "1.png" in note for note in data.notes)


def test_a_class_without_a_readable_image_is_refused(tmp_path: Path) -> None:
    path = make_folder(tmp_path / "d")
    for image in (path / "test" / "bee").iterdir():
        image.write_bytes(b"")
    refuse(path, "class 'bee' of folder d has no test image that can be read", skip_bad_images=True)


def test_other_modes_are_converted_and_counted(tmp_path: Path) -> None:
    report = ReadingReport()

    def read(image: Image.Image, name: str) -> torch.Tensor:
        image.save(tmp_path / name)
        return decode(tmp_path / name, report)

    grey = Image.fromarray(np.full((4, 4), 77, dtype=np.uint8))
    assert (read(grey, "grey.png") == 77).all()
    deep = Image.fromarray(np.full((4, 4), 257 * 200, dtype=np.uint16))
    assert (read(deep, "deep.png") == 200).all()
    assert (read(deep, "deep.tiff") == 200).all()
    half = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    assert (read(half, "alpha.png") == 255).all()
    red = Image.new("RGB", (4, 4), (255, 0, 0))
    assert read(red.convert("P"), "palette.png")[:, 0, 0].tolist() == [255, 0, 0]
    cyan = read(Image.new("CMYK", (4, 4), (255, 0, 0, 0)), "ink.jpg")
    assert cyan[0].max() < 30 and cyan[1:].min() > 150
    assert report.converted == {"grey": 1, "16-bit": 2, "alpha": 1, "palette": 1, "CMYK": 1}
    assert report.notes() == ("converted to RGB: 2 16-bit, 1 CMYK, 1 alpha, 1 grey, 1 palette; 65535 is white",)


def test_only_known_formats_are_opened(tmp_path: Path) -> None:
    picture(0).save(tmp_path / "x.pcx")
    (tmp_path / "x.pcx").rename(tmp_path / "x.png")
    with pytest.raises(InputError, match="cannot be read"):
        decode(tmp_path / "x.png")


def test_digits_are_all_of_scikit_learns_and_split_evenly() -> None:
    data = DATASETS["digits"]().load()
    assert len(data.train) + len(data.test) == 1797 and data.image_size == 16
    counts = torch.bincount(data.test.targets)
    assert counts.min() >= 43 and counts.max() <= 46
    assert data.class_names == tuple("0123456789")


def write_cifar(root: Path, name: str) -> None:
    """The real layout of cifar-10-python.tar.gz or cifar-100-python.tar.gz, unpacked, ten images a file."""
    maker = {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[name]
    base = root / maker.base_folder
    base.mkdir(parents=True)
    classes = 10 if name == "cifar10" else 100
    key = "labels" if name == "cifar10" else "fine_labels"
    for number, (file, _) in enumerate(maker.train_list + maker.test_list):
        rng = generator(number, name)
        batch = {
            "data": torch.randint(256, (classes, 3072), generator=rng, dtype=torch.uint8).numpy(),
            key: list(range(classes)),
        }
        (base / file).write_bytes(pickle.dumps(batch))
    meta = {maker.meta["key"]: [f"class{i}" for i in range(classes)]}
    (base / maker.meta["filename"]).write_bytes(pickle.dumps(meta))


@pytest.mark.parametrize(("name", "classes", "train"), [("cifar10", 10, 50), ("cifar100", 100, 100)])
def test_cifar_through_torchvisions_loader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, classes: int, train: int
) -> None:
    write_cifar(tmp_path, name)
    # The real files have known checksums, ours have not; everything behind the check is torchvision's own code.
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda path, md5=None: Path(path).is_file())
    data = DATASETS[name](root=str(tmp_path)).load()  # type: ignore[call-arg]
    assert data.num_classes == classes and (len(data.train), len(data.test)) == (train, classes)
    assert data.train.read(torch.tensor([0])).shape == (1, 3, 32, 32)


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "imagenette", "imagenet", "imagenet100", "tiny-imagenet"])
def test_a_missing_dataset_says_where_it_looked_and_how_to_get_it(name: str) -> None:
    with pytest.raises(InputError, match=r"data.*(download=true|ILSVRC2012|unpack tiny-imagenet-200.zip)"):
        DATASETS[name]().load()


def test_download_is_torchvisions_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def fetch(url: str, *_args: object, **_options: object) -> None:
        asked.append(url)
        raise RuntimeError("no network")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", fetch)
    monkeypatch.setattr("torchvision.datasets.imagenette.download_and_extract_archive", fetch)
    for name in ("cifar10", "imagenette"):
        with pytest.raises(InputError, match="no network"):
            DATASETS[name](root=str(tmp_path), download=True).load()  # type: ignore[call-arg]
    assert [url.rpartition("/")[2] for url in asked] == ["cifar-10-python.tar.gz", "imagenette2-320.tgz"]


def test_imagenette_in_its_layout(tmp_path: Path) -> None:
    wnids = ["n01440764", "n02102040", "n02979186"]
    for split in ("train", "val"):
        for label, wnid in enumerate(wnids):
            folder_ = tmp_path / "imagenette2-320" / split / wnid
            folder_.mkdir(parents=True)
            for i in range(2):
                picture(label * 10 + i, (200, 160)).save(folder_ / f"{wnid}_{i}.JPEG")
    data = DATASETS["imagenette"](root=str(tmp_path)).load()  # type: ignore[call-arg]
    assert data.class_names == tuple(wnids) and data.image_size == 128 and len(data.test) == 6
    assert data.train.original(0).shape == (3, 160, 200)


def write_imagenet(root: Path, wnids: list[str]) -> None:
    for split in ("train", "val"):
        for label, wnid in enumerate(wnids):
            folder_ = root / split / wnid
            folder_.mkdir(parents=True)
            picture(label, (80, 60)).save(folder_ / f"{wnid}_0.JPEG")
    torch.save(({wnid: (wnid, "name") for wnid in wnids}, wnids), root / "meta.bin")


def test_imagenet_and_its_hundred_classes(tmp_path: Path) -> None:
    hundred = (Path(files_module.__file__).parent / "imagenet100.txt").read_text().split()
    assert len(set(hundred)) == 100
    write_imagenet(tmp_path, sorted([*hundred, "n00000001", "n99999999"]))
    whole = DATASETS["imagenet"](root=str(tmp_path), image_size=32).load()  # type: ignore[call-arg]
    assert whole.num_classes == 102 and whole.class_names[0] == "n00000001"
    part = DATASETS["imagenet100"](root=str(tmp_path), image_size=32).load()  # type: ignore[call-arg]
    assert part.class_names == tuple(sorted(hundred)) and len(part.test) == 100
    first = whole.class_names.index(part.class_names[0])
    assert torch.equal(part.train.read(torch.tensor([0])), whole.train.read(torch.tensor([first])))


def test_imagenet_100_needs_its_classes(tmp_path: Path) -> None:
    write_imagenet(tmp_path, ["n00000001", "n00000002"])
    with pytest.raises(InputError, match="lacks 100 of ImageNet-100's classes"):
        DATASETS["imagenet100"](root=str(tmp_path)).load()  # type: ignore[call-arg]


def write_tiny(root: Path) -> Path:
    for label, wnid in enumerate(("n02", "n01")):
        images = root / "train" / wnid / "images"
        images.mkdir(parents=True)
        for i in range(2):
            picture(label * 10 + i, 64).save(images / f"{wnid}_{i}.JPEG")
    (root / "val" / "images").mkdir(parents=True)
    lines = []
    for i, wnid in enumerate(("n01", "n02", "n01")):
        picture(50 + i, 64).convert("L").save(root / "val" / "images" / f"val_{i}.JPEG")
        lines.append(f"val_{i}.JPEG\t{wnid}\t0\t0\t9\t9")
    (root / "val" / "val_annotations.txt").write_text("\n".join(lines))
    (root / "wnids.txt").write_text("n02\nn01\n")
    return root


def tiny(root: Path) -> RealData:
    return DATASETS["tiny-imagenet"](root=str(root)).load()  # type: ignore[call-arg]


def test_tiny_imagenet_in_its_layout(tmp_path: Path) -> None:
    data = tiny(write_tiny(tmp_path / "t"))
    assert data.class_names == ("n01", "n02") and data.test.targets.tolist() == [0, 1, 0]
    assert data.notes == ("converted to RGB: 3 grey",)


def test_tiny_imagenet_that_is_not_whole(tmp_path: Path) -> None:
    root = write_tiny(tmp_path / "t")
    (root / "val" / "images" / "val_1.JPEG").unlink()
    with pytest.raises(InputError, match=r"line 2 names val_1.JPEG, which is not in"):
        tiny(root)
    (root / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn01\n")
    with pytest.raises(InputError, match="class 'n02' has no validation image"):
        tiny(root)
    (root / "val" / "val_annotations.txt").write_text("val_0.JPEG n01\n")
    with pytest.raises(InputError, match="line 1 is not a file name, a tab and a class"):
        tiny(root)
    shutil.rmtree(root / "train" / "n01")
    with pytest.raises(InputError, match="train/n01 has no images"):
        tiny(root)
    (root / "wnids.txt").unlink()
    with pytest.raises(InputError, match="lacks wnids.txt"):
        tiny(root)


def test_file_digests_are_sha256(tmp_path: Path) -> None:
    from delt_host.store.entry import file_digest

    (tmp_path / "x").write_bytes(b"abc")
    assert file_digest(tmp_path / "x") == hashlib.sha256(b"abc").hexdigest()
