"""What lies where a published dataset was looked for and is not, and what would be right there."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from torchvision.datasets.utils import check_integrity

from delt_host import InputError
from delt_plugins.datasets.layout import layout_of


@dataclass(frozen=True)
class Published:
    """How a dataset is published: an archive, and the folder that it unpacks to."""

    name: str
    """As ``--dataset`` has it."""
    archive: str
    md5: str | None
    url: str
    inner: str
    files: Mapping[str, str]
    """In `inner`, with their MD5; none where only the folder is known."""

    def way_out(self, root: Path, asked: bool) -> str:
        """What is wrong at `root` and what to do, to go on in a sentence; `asked`: a download was, and failed."""
        if root.name == self.inner or any((root / file).is_file() for file in self.files):
            return (
                f"that is the folder inside the dataset's; name the one it lies in: --dataset {self.name}:{root.parent}"
            )
        if seen := as_classes(root, self.name):
            return seen
        for file, md5 in self.files.items() if (root / self.inner).is_dir() else ():
            if not check_integrity(root / self.inner / file, md5):
                state = "damaged" if (root / self.inner / file).is_file() else "missing"
                return f"{self.inner}/{file} is {state}; unpack {self.archive} there again"
        if (root / self.archive).is_file():
            if not check_integrity(root / self.archive, self.md5):
                return f"its archive {self.archive} there is truncated or damaged; remove it and fetch it again from {self.url}"
            return f"its archive is there; unpack it: tar -xf {root / self.archive} -C {root}"
        if asked:
            return f"fetch {self.url} where there is a network, and unpack it there"
        return f"fetch it with --set dataset.download=true, or name its folder: --dataset {self.name}:PATH"


def as_classes(root: Path, name: str) -> str:
    """The way out where class folders of training and test images lie at `root`; empty where they do not."""
    with suppress(InputError):
        if layout_of(root).test is not None:
            return f"there are folders of classes, which are read with --dataset folder:{root} --set dataset.published={name}"
    return ""
