"""Any image folder: CLASS/…, of which a share is held out to test with, or train/CLASS/… and test/CLASS/…."""

from __future__ import annotations

import math
import time
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from delt_host import Dataset, InputError, RealData, Services
from delt_host.toolbox import NO_SERVICES, TEST_SHARE, held_out
from delt_plugins.datasets.decode import size_of
from delt_plugins.datasets.files import Files, load_files
from delt_plugins.datasets.glance import UNSEEN, listing_patience
from delt_plugins.datasets.layout import layout_of
from delt_plugins.datasets.walk import READ_SUFFIXES, PassedOver, folders_in, images_in

DEFAULT_SIZE = 64  # of photographs of various sizes: an hour on a CPU, where 224 px take a day
PUBLISHED_SIZE = 224  # where settings are taken that were published for photographs
SAMPLE = 100  # files whose size is looked at


class ImageFolder(Dataset):
    """Images in class folders; classes in alphabetical order, mean and std from the training images."""

    location: ClassVar[str] = "path"

    path: str
    """The folder."""
    image_size: int = Field(0, ge=0)
    """Pixels a side. 0: the images' own size where a sample is square and equal, else 64, or 224 with `published`."""
    published: str = ""
    """Take what methods and protocols publish for this dataset, e.g. cifar10 for a folder with CIFAR-10's images."""
    skip_bad_images: bool = False
    """Leave out images that cannot be read, and count them."""
    follow_links: bool = False
    """Read symbolic links that lead out of the folder too."""
    white: float = Field(0.0, ge=0, allow_inf_nan=False)
    """The value that is white in images of more than 8 bits a value, 4095 for 12 bits; 0: 16 bits to the full."""
    upright: bool = True
    """Turn photographs as their EXIF orientation says; torchvision takes them as they are stored."""
    test_share: float = Field(TEST_SHARE, gt=0, lt=1)
    """Of each class, what is held out to test with, where the folder has no test split."""
    test_seed: int = 0
    """Draws which images these are; apart from the seeds of the comparison, which all test with the same images."""

    @property
    def published_as(self) -> str:
        return self.published

    def load(self, services: Services = NO_SERVICES) -> RealData:
        root = Path(self.path).expanduser()
        if not root.is_dir():
            raise InputError(f"no folder at {root}")
        within = None if self.follow_links else root
        layout, passed = layout_of(root, within), PassedOver()
        notes = [*layout.notes]
        patience = listing_patience(layout.train, services)
        train, names = class_files(layout.train, passed, within, patience=patience)
        if layout.test is None:
            train, test = self._held_out(train, names, layout.train)
            every = len(train.paths) + len(test.paths)
            notes.append(
                f"no test split: of the {every} images of {layout.train.name}/, {len(test.paths)} are held out to test with, "
                f"{self.test_share:g} of each class by seed {self.test_seed} (dataset.test_share, dataset.test_seed)"
            )
        else:
            test, test_names = class_files(layout.test, passed, within, names, patience)
            _check_same(root, (layout.train.name, names), (layout.test.name, test_names))
            if self.test_share != TEST_SHARE:
                notes.append(f"dataset.test_share is not used: {layout.test.name}/ is there to test with")
        if len(names) == 1:
            raise InputError(f"{layout.train} has one class folder alone, {names[0]!r}; it takes two to tell apart")
        size = self.image_size or _own_size(train.paths) or (PUBLISHED_SIZE if self.published else DEFAULT_SIZE)
        if not self.image_size:
            notes.append(f"images are taken at {size} px (--set dataset.image_size=… for another)")
        notes += [*alike(names), *passed.notes()]
        return load_files(
            f"folder {root.name}", names, train, test, size, None, self.skip_bad_images, notes, services,
            white=self.white, upright=self.upright,
        )  # fmt: skip

    def _held_out(self, files: Files, names: Sequence[str], where: Path) -> tuple[Files, Files]:
        try:
            parts = held_out(torch.tensor(files.targets), self.test_share, self.test_seed, names)
        except InputError as error:
            raise InputError(f"{where} has no test split, and nothing can be held out for one: {error}") from None
        train, test = (
            Files([files.paths[i] for i in part], [files.targets[i] for i in part])
            for part in map(Tensor.tolist, parts)
        )
        return train, test


def _check_same(root: Path, *splits: tuple[str, Sequence[str]]) -> None:
    """InputError where two splits, each a folder's name and its classes, differ in their classes."""
    for (here, names), (there, others) in (splits, splits[::-1]):
        for name in names:
            if name not in others:
                near = [other for other in others if other not in names and other.casefold() == name.casefold()]
                hint = f", which has {near[0]!r}" if near else ""
                raise InputError(f"class {name!r} of {root} is in {here}/ but not in {there}/{hint}")


def class_files(
    split: Path,
    passed: PassedOver,
    within: Path | None = None,
    known: Sequence[str] = (),
    patience: float = math.inf,
) -> tuple[Files, list[str]]:
    """The image files of a split's class folders, those in folders below included, and the class names in composed Unicode,
    sorted; what is no image is counted in `passed`. InputError for a class without images, and for two of one name.

    Symbolic links must lead to something `within` that folder, where it is given. Where classes are `known`, a folder without
    images and of another name is none: it is left when images were moved into folders of their classes. Class folders that are
    not listed after so many seconds of `patience` are taken to have as many images as those before, `UNSEEN`.
    """
    found: dict[str, Path] = {}
    for folder in folders_in(split, passed):
        try:
            folder.name.encode()
        except UnicodeEncodeError:
            raise InputError(f"a class folder's name in {split} is not UTF-8: {folder.name!r}; rename it") from None
        # macOS writes an accent as a character of its own: the same name in both splits is the same class.
        if (name := unicodedata.normalize("NFC", folder.name)) in found:
            raise InputError(f"{split} has two folders {name!r}, their accents coded in two ways; rename or join them")
        found[name] = folder
    if not found:
        raise InputError(f"{split} has no class folders")
    images, until = dict[str, list[str]](), time.perf_counter() + patience
    for name in sorted(found):
        late = images and time.perf_counter() > until
        images[name] = [UNSEEN] * _mean(images) if late else images_in(found[name], passed, within)
    images = {name: files for name, files in images.items() if files or not known or name in known}
    for name, files in images.items():
        if not files:
            images_in(found[name], there := PassedOver(), within)
            said = "; ".join(["", *there.notes()])
            raise InputError(f"the class folder {found[name]} has no images ({READ_SUFFIXES}){said}")
    targets = [label for label, files in enumerate(images.values()) for _ in files]
    return Files([file for files in images.values() for file in files], targets), list(images)


def _mean(images: Mapping[str, Sequence[str]]) -> int:
    """How many images a class has, about."""
    return max(round(sum(map(len, images.values())) / len(images)), 1)


def alike(names: Sequence[str]) -> list[str]:
    """A note where two classes differ in case alone."""
    by_case: dict[str, str] = {}
    for name in names:
        if (other := by_case.setdefault(name.casefold(), name)) != name:
            return [f"classes {other!r} and {name!r} differ in upper and lower case alone: they are taken as two"]
    return []


def _own_size(paths: list[str]) -> int:
    """Of square images of one size; 0 for others."""
    sample = [path for path in paths[:: max(len(paths) // SAMPLE, 1)] if path != UNSEEN]
    sizes = Counter(filter(None, map(size_of, sample)))
    (width, height), _ = sizes.most_common(1)[0] if sizes else ((0, 1), 0)
    return width if width == height and len(sizes) == 1 else 0
