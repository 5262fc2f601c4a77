"""CIFAR-10 and -100, ImageNette, ImageNet-1K and ImageNet-100 through torchvision's own loaders and downloads."""

from __future__ import annotations

import tarfile
from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torchvision import datasets

from delt_host import Dataset, InputError, MemorySplit, RealData, Services
from delt_host.toolbox import IMAGENET_MEAN, IMAGENET_STD, NO_SERVICES, data_fingerprint
from delt_plugins.datasets.files import Files, load_files
from delt_plugins.datasets.missing import Published, as_classes
from delt_plugins.datasets.walk import hidden

Channels = tuple[float, float, float]


class _Torchvision(Dataset):
    """Options that all have."""

    location: ClassVar[str] = "root"

    root: str = "data"
    """The folder that torchvision downloads to and reads from."""

    @abstractmethod
    def _way_out(self, root: Path) -> str:
        """What to do where it cannot be read."""

    def _open(self, how: Callable[[], Any]) -> Any:
        try:
            return how()
        except (RuntimeError, OSError, ValueError, KeyError, EOFError, tarfile.TarError) as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            # What torchvision goes on to say is of its own options, not of ours.
            reason = reason.partition(" You ")[0].rstrip(".")
            way_out = self._way_out(Path(self.root).expanduser())
            raise InputError(f"{type(self).__name__} is not at {self.root!r}: {reason}; {way_out}") from None


class _Downloadable(_Torchvision):
    download: bool = False
    """Fetch the dataset to `root` where it is missing."""

    @property
    @abstractmethod
    def _published(self) -> Published:
        """How it is published."""

    def _way_out(self, root: Path) -> str:
        return self._published.way_out(root, self.download)


class Cifar10(_Downloadable):
    """CIFAR-10: 10 classes, 50,000 and 10,000 images at 32 px (Krizhevsky 2009)."""

    maker: ClassVar[Callable[..., Any]] = datasets.CIFAR10
    mean: ClassVar[Channels] = (0.4914, 0.4822, 0.4465)
    std: ClassVar[Channels] = (0.2023, 0.1994, 0.2010)

    @property
    def image_size(self) -> int:
        return 32

    def load(self, services: Services = NO_SERVICES) -> RealData:
        train, names = self._split(train=True)
        test, _ = self._split(train=False)
        name = type(self).__name__.lower()
        return RealData(name, names, 32, self.mean, self.std, train, test, data_fingerprint(names, train, test))

    def _split(self, train: bool) -> tuple[MemorySplit, tuple[str, ...]]:
        part = self._open(partial(self.maker, self.root, train=train, download=self.download))
        images = torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous()
        return MemorySplit(images, torch.tensor(part.targets)), tuple(part.classes)

    @property
    def _published(self) -> Published:
        maker: Any = self.maker
        files = dict([*maker.train_list, *maker.test_list])
        files[maker.meta["filename"]] = maker.meta["md5"]
        return Published(
            type(self).__name__.lower(), maker.filename, maker.tgz_md5, maker.url, maker.base_folder, files
        )


class Cifar100(Cifar10):
    """CIFAR-100: 100 classes, 50,000 and 10,000 images at 32 px (Krizhevsky 2009)."""

    maker: ClassVar[Callable[..., Any]] = datasets.CIFAR100
    mean: ClassVar[Channels] = (0.5071, 0.4867, 0.4408)
    std: ClassVar[Channels] = (0.2675, 0.2565, 0.2761)


class _Photographs(_Torchvision):
    skip_bad_images: bool = False
    """Leave out images that cannot be read, and count them."""


class Imagenette(_Photographs, _Downloadable):
    """ImageNette: 10 easy ImageNet classes (fast.ai); classes are WordNet ids in sorted order."""

    image_size: int = Field(128, ge=32)
    """Pixels a side."""
    size: Literal["full", "320px", "160px"] = "320px"
    """Which of the three published sizes is fetched and read."""

    def load(self, services: Services = NO_SERVICES) -> RealData:
        train, val = (
            self._open(partial(datasets.Imagenette, self.root, split, self.size, download=self._missing()))
            for split in ("train", "val")
        )
        return load_files(
            "imagenette",
            train.wnids,
            _files(train._samples),
            _files(val._samples),
            self.image_size,
            (IMAGENET_MEAN, IMAGENET_STD),
            self.skip_bad_images,
            services=services,
        )

    def _missing(self) -> bool:
        # torchvision refuses to download onto a folder that is there.
        return self.download and not (Path(self.root) / self._published.inner).is_dir()

    @property
    def _published(self) -> Published:
        url, md5 = datasets.Imagenette._ARCHIVES[self.size]
        archive = url.rpartition("/")[2]
        return Published("imagenette", archive, md5, url, archive.removesuffix(".tgz"), {})


class ImageNet(_Photographs):
    """ImageNet-1K (ILSVRC 2012) from the archives that image-net.org gives after a login; classes are WordNet ids."""

    image_size: int = Field(224, ge=32)
    """Pixels a side."""

    def _way_out(self, root: Path) -> str:
        return as_classes(root, type(self).__name__.lower()) or (
            "put ILSVRC2012_devkit_t12.tar.gz, ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar there "
            "(--dataset imagenet:PATH); torchvision unpacks them"
        )

    def wanted(self, wnids: Sequence[str]) -> list[str]:
        """The classes taken out of those that are there."""
        return list(wnids)

    def load(self, services: Services = NO_SERVICES) -> RealData:
        train, val = (self._open(partial(datasets.ImageNet, self.root, split)) for split in ("train", "val"))
        wnids = self.wanted(train.wnids)
        label_of = {train.wnids.index(name): label for label, name in enumerate(wnids)}
        return load_files(
            type(self).__name__.lower(),
            wnids,
            _files([(path, label_of[t]) for path, t in train.samples if t in label_of]),
            _files([(path, label_of[t]) for path, t in val.samples if t in label_of]),
            self.image_size,
            (IMAGENET_MEAN, IMAGENET_STD),
            self.skip_bad_images,
            services=services,
        )


class ImageNet100(ImageNet):
    """The 100 ImageNet classes of CMC (Tian et al. 2020), out of an ImageNet-1K folder."""

    def wanted(self, wnids: Sequence[str]) -> list[str]:
        chosen = files("delt_plugins.datasets").joinpath("imagenet100.txt").read_text(encoding="utf-8").split()
        missing = sorted(set(chosen) - set(wnids))
        if missing:
            raise InputError(
                f"ImageNet at {self.root!r} lacks {len(missing)} of ImageNet-100's classes: {missing[0]}, …"
            )
        return chosen


def _files(samples: Sequence[tuple[str, int]]) -> Files:
    """Without what another system hides among images, which torchvision takes."""
    seen = [(str(path), target) for path, target in samples if not hidden(Path(path).name)]
    return Files([path for path, _ in seen], [target for _, target in seen])
