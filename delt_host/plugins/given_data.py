"""Datasets that lie in memory as people have them: arrays, torch datasets, or a `RealData`, in place of a dataset's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as transforms

from delt_host.basics.errors import InputError
from delt_host.basics.folder_names import slug
from delt_host.contracts.dataset import Dataset, MemorySplit, RealData
from delt_host.contracts.held_out import TEST_SHARE, held_out
from delt_host.contracts.in_memory import in_memory
from delt_host.contracts.services import NO_SERVICES, Services

SPLITS = ("train", "test")
WAYS = (
    "a dataset is a name, a delt_host.Dataset, a RealData, a torch dataset of (image, class), images with their classes as "
    "two arrays, or a pair of these: (train, test)"
)


def dataset_of(given: Any) -> type[Dataset]:
    """The dataset that these data are, and its images, all of which lie in memory.

    `given`: a `RealData`; images (N, 3, S, S), (N, S, S, 3) or (N, S, S), as uint8 or as float in 0..1, with classes (N,) of
    0 to C - 1; a torch dataset of known length, of images (PIL, or arrays as above) and classes; a pair of two of these, or a
    table, ``{"train": …, "test": …}``. Of a single one a fifth of each class is held out for testing. InputError for whatever
    else, naming what would be right.
    """
    data = given if isinstance(given, RealData) else _read(given)
    made = type(slug(data.name), (InMemory,), {"data": data, "__module__": __name__})
    assert issubclass(made, InMemory)
    return made


class InMemory(Dataset):
    """Given in Python."""

    data: ClassVar[RealData]

    def load(self, services: Services = NO_SERVICES) -> RealData:
        return self.data


def _read(given: Any) -> RealData:
    parts = _parts(given)
    names = _class_names(parts)
    splits = [_split(part, f"the {name} data") for name, part in zip(SPLITS, parts, strict=False)]
    classes = 1 + max(int(split.targets.max()) for split in splits)
    if names and len(names) < classes:
        raise InputError(f"the data have classes up to {classes - 1}, and {len(names)} names of classes")
    names = names or [str(label) for label in range(classes)]
    notes: list[str] = []
    if len(splits) == 1:
        both, (train, test) = splits[0], held_out(splits[0].targets, class_names=names)
        splits = [MemorySplit(both.images[part], both.targets[part]) for part in (train, test)]
        notes.append(
            f"{100 * TEST_SHARE:.0f} % of each class are held out for testing: {len(test)} of {len(both)} images; "
            "a pair (train, test) says otherwise"
        )
    sizes = {split.images.shape[-1] for split in splits}
    if len(sizes) > 1:
        raise InputError(f"training and test images are of different sizes: {' and '.join(map(str, sizes))} px")
    return in_memory(_name(parts[0]), names, splits[0], splits[1], notes)


def _parts(given: Any) -> list[Any]:
    """Training and test data, or one of both kinds."""
    if isinstance(given, Mapping):
        if set(given) != set(SPLITS):
            raise InputError(f"a table of data has the keys train and test, not {', '.join(map(str, given)) or 'none'}")
        return [given[name] for name in SPLITS]
    if isinstance(given, tuple | list) and len(given) == 2 and not _is_pair_of_arrays(given):
        return list(given)
    return [given]


def _is_pair_of_arrays(given: Any) -> bool:
    """Images with their classes."""
    if not (isinstance(given, tuple | list) and len(given) == 2):
        return False
    shape = getattr(given[0], "shape", None)
    return shape is not None and len(shape) >= 3 and np.ndim(given[1]) == 1


def _split(given: Any, where: str) -> MemorySplit:
    if isinstance(given, MemorySplit):
        return given
    if _is_pair_of_arrays(given):
        return MemorySplit(_pixels(given[0], where), _classes(given[1], len(given[0]), where))
    if not (hasattr(given, "__getitem__") and hasattr(given, "__len__")) or isinstance(
        given, str | bytes | tuple | list
    ):
        raise InputError(f"{where} cannot be read from a {type(given).__name__}: {WAYS}")
    images, targets = [], []
    for place in range(len(given)):
        item = given[place]
        if not isinstance(item, tuple | list) or len(item) != 2:
            raise InputError(f"{where}: item {place} of {type(given).__name__} is no pair of an image and its class")
        images.append(_one(item[0], f"{where}: image {place}"))
        targets.append(item[1])
        if images[-1].shape != images[0].shape:
            sizes = " and ".join(f"{each.shape[2]} x {each.shape[1]}" for each in (images[0], images[-1]))
            raise InputError(
                f"{where}: images are of different sizes, {sizes} px: give them a transform that brings them to one, "
                "or name their folder, as folder:PATH"
            )
    if not images:
        raise InputError(f"{where} have no image")
    return MemorySplit(_pixels(torch.stack(images), where), _classes(targets, len(images), where))


def _one(image: Any, where: str) -> Tensor:
    """An image as (3, H, W); its values stay as they are."""
    if isinstance(image, Image.Image):
        return transforms.pil_to_tensor(image.convert("RGB"))
    array = torch.as_tensor(np.asarray(image) if not isinstance(image, Tensor) else image)
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3:
        raise InputError(f"{where} has the shape {tuple(array.shape)}, not (3, S, S), (S, S, 3) or (S, S)")
    return _channels_first(array[None], where)[0]


def _channels_first(images: Tensor, where: str) -> Tensor:
    """(N, 3, H, W) of (N, C, H, W) or (N, H, W, C) for one channel or three, or of (N, H, W)."""
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim != 4:
        raise InputError(f"{where} have the shape {tuple(images.shape)}, not (N, 3, S, S), (N, S, S, 3) or (N, S, S)")
    if images.shape[1] not in (1, 3) and images.shape[3] <= 4:
        images = images.permute(0, 3, 1, 2)
    if images.shape[1] not in (1, 3):
        raise InputError(f"{where} have {images.shape[1]} channels; they must be grey or RGB")
    return images.expand(-1, 3, -1, -1)


def _pixels(given: Any, where: str) -> Tensor:
    """(N, 3, S, S) uint8. Floats are from 0 to 1."""
    images = _channels_first(torch.as_tensor(np.asarray(given) if not isinstance(given, Tensor) else given), where)
    if images.shape[2] != images.shape[3]:
        raise InputError(f"{where} are {images.shape[3]} x {images.shape[2]} px; they must be square")
    if images.dtype == torch.uint8:
        return images.contiguous()
    low, high = float(images.min()), float(images.max())
    if not images.is_floating_point() or not 0 <= low <= high <= 1:
        raise InputError(
            f"{where} are {str(images.dtype).removeprefix('torch.')} from {low:g} to {high:g}: they must be uint8, or float "
            "from 0 to 1, before they are normalised"
        )
    return (images.float() * 255).round().to(torch.uint8).contiguous()


def _classes(given: Any, count: int, where: str) -> Tensor:
    try:
        numbers = [int(each) for each in given]
        whole = all(number == each for number, each in zip(numbers, given, strict=True))
    except (TypeError, ValueError):
        whole, numbers = False, []
    if not whole or min(numbers, default=0) < 0:
        raise InputError(f"{where}: the class of each image must be a whole number from 0")
    if len(numbers) != count:
        raise InputError(f"{where} have {count} images, and the classes of {len(numbers)}")
    return torch.as_tensor(numbers)


def _class_names(parts: Sequence[Any]) -> list[str]:
    """As torchvision's datasets have them, in order; none where nobody tells."""
    for part in parts:
        names = getattr(part, "classes", None)
        if isinstance(names, list | tuple):
            return [str(name) for name in names]
    return []


def _name(part: Any) -> str:
    return "arrays" if isinstance(part, tuple | list | MemorySplit) else type(part).__name__
