"""Any image folder: train/CLASS/… and test/CLASS/… (or val/)."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from delt_host import Dataset, InputError, RealData, Services
from delt_host.toolbox import NO_SERVICES
from delt_plugins.datasets.decode import size_of
from delt_plugins.datasets.files import Files, load_files
from delt_plugins.datasets.walk import READ_SUFFIXES, PassedOver, check_link, folders_in, images_in

DEFAULT_SIZE = 224  # of photographs of various sizes
SAMPLE = 100  # files whose size is looked at


class ImageFolder(Dataset):
    """Images in class folders; classes in alphabetical order, mean and std from the training images."""

    location: ClassVar[str] = "path"

    path: str
    image_size: int = Field(0, ge=0)
    """Pixels a side. 0: the images' own size where a sample is square and equal, else 224."""
    published: str = ""
    """Take what methods and protocols publish for this dataset, e.g. cifar10 for a folder with CIFAR-10's images."""
    skip_bad_images: bool = False
    """Leave out images that cannot be read, and count them."""
    follow_links: bool = False
    """Read symbolic links that lead out of the folder too."""
    white: float = Field(0.0, ge=0, allow_inf_nan=False)
    """The value that is white in images of more than 8 bits a value, 4095 for 12 bits; 0: 16 bits to the full."""

    @property
    def published_as(self) -> str:
        return self.published

    def load(self, services: Services = NO_SERVICES) -> RealData:
        root = Path(self.path).expanduser()
        if not root.is_dir():
            raise InputError(f"no folder at {root}")
        test = next((root / name for name in ("test", "val") if (root / name).is_dir()), None)
        if not (root / "train").is_dir():
            raise InputError(f"{root} has no folder train/ with a folder for each class")
        if test is None:
            raise InputError(f"{root} has neither test/ nor val/ with a folder for each class")
        passed, within = PassedOver(), None if self.follow_links else root
        for split in (root / "train", test):
            check_link(split, within)
        train_files, names = class_files(root / "train", passed, within)
        test_files, test_names = class_files(test, passed, within)
        for name in sorted(set(names) ^ set(test_names)):
            here, there = ("train", test.name) if name in names else (test.name, "train")
            others = sorted(set(test_names if here == "train" else names) ^ set(names).intersection(test_names))
            near = [other for other in others if other.casefold() == name.casefold()]
            hint = f", which has {near[0]!r}" if near else ""
            raise InputError(f"class {name!r} of {root} is in {here}/ but not in {there}/{hint}")
        size = self.image_size or _own_size(train_files.paths)
        notes = [] if self.image_size else [f"images are taken at {size} px (--set dataset.image_size=… for another)"]
        notes += [*alike(names), *passed.notes()]
        return load_files(
            f"folder {root.name}", names, train_files, test_files, size, None, self.skip_bad_images, notes, services,
            white=self.white,
        )  # fmt: skip


def class_files(split: Path, passed: PassedOver, within: Path | None = None) -> tuple[Files, list[str]]:
    """The image files of a split's class folders, those in folders below included, and the class names in composed Unicode,
    sorted; what is no image is counted in `passed`. InputError for a class without images, and for two of one name.

    Symbolic links must lead to something `within` that folder, where it is given.
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
    paths: list[Path] = []
    targets: list[int] = []
    for label, name in enumerate(names := sorted(found)):
        images = images_in(found[name], passed, within)
        if not images:
            images_in(found[name], there := PassedOver(), within)
            said = "; ".join(["", *there.notes()])
            raise InputError(f"the class folder {found[name]} has no images ({READ_SUFFIXES}){said}")
        paths += images
        targets += [label] * len(images)
    return Files(paths, targets), names


def alike(names: Sequence[str]) -> list[str]:
    """A note where two classes differ in case alone."""
    by_case: dict[str, str] = {}
    for name in names:
        if (other := by_case.setdefault(name.casefold(), name)) != name:
            return [f"classes {other!r} and {name!r} differ in upper and lower case alone: they are taken as two"]
    return []


def _own_size(paths: list[Path]) -> int:
    sizes = Counter(filter(None, map(size_of, paths[:: max(len(paths) // SAMPLE, 1)])))
    (width, height), _ = sizes.most_common(1)[0] if sizes else ((0, 1), 0)
    return width if width == height and len(sizes) == 1 else DEFAULT_SIZE
