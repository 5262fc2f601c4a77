"""Any image folder: train/CLASS/… and test/CLASS/… (or val/)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import ClassVar

from PIL import Image
from pydantic import Field

from delt_host.data.base import Dataset, RealData
from delt_host.data.decode import FORMATS, image_files
from delt_host.data.files import Files, load_files
from delt_host.errors import InputError
from delt_host.services import NONE, Services

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

    @property
    def published_as(self) -> str:
        return self.published

    def load(self, services: Services = NONE) -> RealData:
        root = Path(self.path).expanduser()
        if not root.is_dir():
            raise InputError(f"no folder at {root}")
        test = next((root / name for name in ("test", "val") if (root / name).is_dir()), None)
        if not (root / "train").is_dir():
            raise InputError(f"{root} has no folder train/ with a folder for each class")
        if test is None:
            raise InputError(f"{root} has neither test/ nor val/ with a folder for each class")
        train_files, names = class_files(root / "train", within=None if self.follow_links else root)
        test_files, test_names = class_files(test, within=None if self.follow_links else root)
        for name in sorted(set(names) ^ set(test_names)):
            here, there = ("train", test.name) if name in names else (test.name, "train")
            raise InputError(f"class {name!r} of {root} is in {here}/ but not in {there}/")
        size = self.image_size or _own_size(train_files.paths)
        notes = [] if self.image_size else [f"images are taken at {size} px (--set dataset.image_size=… for another)"]
        return load_files(
            f"folder {root.name}", names, train_files, test_files, size, None, self.skip_bad_images, notes, services
        )


def class_files(split: Path, subfolder: str = "", within: Path | None = None) -> tuple[Files, list[str]]:
    """The image files of a split's class folders and the class names; InputError for an empty one.

    Symbolic links must lead to something `within` that folder, where it is given.
    """
    names = sorted(entry.name for entry in split.iterdir() if entry.is_dir())
    if not names:
        raise InputError(f"{split} has no class folders")
    paths: list[Path] = []
    targets: list[int] = []
    for label, name in enumerate(names):
        folder = split / name / subfolder
        try:
            name.encode()
        except UnicodeEncodeError:
            raise InputError(f"a class folder's name in {split} is not UTF-8: {name!r}; rename it") from None
        found = image_files(folder) if folder.is_dir() else []
        if not found:
            raise InputError(f"the class folder {folder} has no images (png, jpg, webp, bmp, tiff)")
        if within is not None:
            _check_links([folder, *found], within)
        paths += found
        targets += [label] * len(found)
    return Files(paths, targets), names


def _check_links(paths: list[Path], within: Path) -> None:
    home = within.resolve()
    for path in paths:
        if path.is_symlink() and not path.resolve().is_relative_to(home):
            raise InputError(
                f"{path} is a symbolic link that leads out of {within}; to read such links: --set dataset.follow_links=true"
            )


def _own_size(paths: list[Path]) -> int:
    sizes: Counter[tuple[int, int]] = Counter()
    for path in paths[:: max(len(paths) // SAMPLE, 1)]:
        try:
            with Image.open(path, formats=FORMATS) as image:
                sizes[image.size] += 1
        except OSError:
            continue  # decoding names the file, or counts it
    (width, height), _ = sizes.most_common(1)[0] if sizes else ((0, 1), 0)
    return width if width == height and len(sizes) == 1 else DEFAULT_SIZE
