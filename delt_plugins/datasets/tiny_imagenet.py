"""Tiny-ImageNet: train/WNID/images, val/images with val_annotations.txt, wnids.txt; or validation images in class folders."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from delt_host import Dataset, InputError, RealData, Services
from delt_host.toolbox import NO_SERVICES
from delt_plugins.datasets.files import Files, load_files
from delt_plugins.datasets.walk import PassedOver, images_below, images_in

STATISTICS = ((0.4802, 0.4481, 0.3975), (0.2302, 0.2265, 0.2262))  # SRe2L, CDA


class TinyImageNet(Dataset):
    """200 classes of 500 training and 50 validation images at 64 px, or the classes that wnids.txt lists.

    Classes are WordNet ids in sorted order; the validation images are the test split, as in all papers.
    """

    location: ClassVar[str] = "root"

    root: str = "data/tiny-imagenet-200"
    """The folder that tiny-imagenet-200.zip is unpacked to."""
    image_size: int = Field(64, ge=8)
    """Pixels a side that the images of 64 px are brought to."""
    skip_bad_images: bool = False
    """Leave out images that cannot be read, and count them."""

    def load(self, services: Services = NO_SERVICES) -> RealData:
        root = Path(self.root).expanduser()
        for needed in ("wnids.txt", "train", "val"):
            if not (root / needed).exists():
                raise InputError(
                    f"Tiny-ImageNet at {root} lacks {needed}; unpack tiny-imagenet-200.zip there, or give its folder: "
                    "--dataset tiny-imagenet:PATH"
                )
        names = sorted((root / "wnids.txt").read_text(encoding="utf-8").split())
        passed = PassedOver()
        train, test = _of_classes(root / "train", names, passed), _validation_files(root, names, passed)
        return load_files(
            "tiny-imagenet",
            names,
            train,
            test,
            self.image_size,
            STATISTICS,
            self.skip_bad_images,
            passed.notes(),
            services,
        )


def _of_classes(split: Path, names: list[str], passed: PassedOver) -> Files:
    """The images of WNID/images/, or of WNID/ as scripts leave them."""
    paths: list[str] = []
    targets: list[int] = []
    for label, name in enumerate(names):
        inner = split / name / "images"
        folder = inner if images_below(inner) else split / name
        if not folder.is_dir() or not (found := images_in(folder, passed)):
            raise InputError(f"the class folder {folder} has no images")
        paths += found
        targets += [label] * len(found)
    return Files(paths, targets)


def _validation_files(root: Path, names: list[str], passed: PassedOver) -> Files:
    """The images that val_annotations.txt gives one of our classes: file, wnid, box, separated by tabs; or those in folders of
    their classes, where they were moved to."""
    if not images_below(root / "val" / "images"):
        if any((root / "val" / name).is_dir() for name in names):
            return _of_classes(root / "val", names, passed)
        raise InputError(f"{root / 'val'} has neither images/ with images, nor folders of the classes in wnids.txt")
    if not (root / "val" / "val_annotations.txt").is_file():
        raise InputError(
            f"{root / 'val'} lacks val_annotations.txt, which says of what class the images in images/ are"
        )
    label_of = {name: label for label, name in enumerate(names)}
    annotations = root / "val" / "val_annotations.txt"
    paths: list[str] = []
    targets: list[int] = []
    for number, line in enumerate(annotations.read_text(encoding="utf-8").splitlines(), 1):
        parts = line.split("\t")
        if len(parts) < 2:
            raise InputError(f"{annotations} line {number} is not a file name, a tab and a class: {line[:60]!r}")
        path = root / "val" / "images" / parts[0]
        if parts[1] not in label_of:
            continue
        if not path.is_file():
            raise InputError(f"{annotations} line {number} names {parts[0]}, which is not in {path.parent}")
        paths.append(str(path))
        targets.append(label_of[parts[1]])
    missing = sorted(set(range(len(names))) - set(targets))
    if missing:
        raise InputError(f"class {names[missing[0]]!r} has no validation image in {annotations}")
    return Files(paths, targets)
