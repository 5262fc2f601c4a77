"""Published distilled sets as tensors in files of torch's or safetensors': images, one label each, learned rates.

Read are a folder or one of its files of `images_best.pt`, `labels_best.pt`, `lr_best.pt` (MTT, TESLA, FTD, DATM), one file
with `data`, a list of experiments with images and labels (DC, DSA, DM), a list of images and labels (IDC, DREAM), and
dictionaries of such. What such a file does not say is in which space its images are: values from 0 to 1, normalised, or
whitened (ZCA), so that has to be known, and what was taken is said.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from delt_host import InputError
from delt_host.workshop import plain
from delt_plugins.datasets.files import IN_MEMORY
from delt_plugins.publish.release import Release, has_class_folders
from delt_plugins.publish.whitening import whitening
from delt_plugins.teachers.checkpoint import Contents, Place, read_contents

if TYPE_CHECKING:
    from delt_host import RealData

SUFFIXES = (".pt", ".pth", ".pkl", ".safetensors")
ASIDE = re.compile(r"(syn_?)?(labels?|lrs?|targets?|weights?|hals?)(_.*)?", re.IGNORECASE)
"""Names of files beside one of images."""
RATE = re.compile(r"(syn_?)?(lr|learning_?rate)", re.IGNORECASE)
LABELS = re.compile(r"label|target|(?<![a-z])ys?(?![a-z])", re.IGNORECASE)
"""In names of labels."""
IMAGES = re.compile(r"image|img|pixel|data|syn|(?<![a-z])xs?(?![a-z])", re.IGNORECASE)
"""In names of images."""
MOST_CLIPPED = 0.25
"""The share of values outside of black to white from which images are not in the space that they were taken for."""
SLACK = 0.02
"""Of 0 to 1, what images that were not clamped may be beyond it."""
SHOWN = 4


@dataclass(frozen=True)
class Space:
    """What the values of published images are."""

    mean: tuple[float, ...] = ()
    """That they are normalised with; empty: the dataset's."""
    std: tuple[float, ...] = ()
    """Likewise."""
    zca: bool = False
    """Whether they are whitened, as MTT and its successors do with ``--zca``."""

    def given(self) -> str:
        """The options that say so."""
        options = {"--mean": bool(self.mean), "--std": bool(self.std), "--zca": self.zca}
        return ", ".join(option for option, is_given in options.items() if is_given)


@dataclass(frozen=True)
class Found:
    """What lies in files."""

    images: Tensor
    labels: Tensor
    rate: Tensor | None
    where: str
    notes: tuple[str, ...]


def is_tensor_set(path: Path) -> bool:
    """Whether it is a file of tensors, or a folder with some and without class folders of images."""
    if path.is_dir():
        return any(file.suffix in SUFFIXES[:3] for file in path.iterdir()) and not has_class_folders(path)
    return path.suffix in SUFFIXES


def read_tensor_set(
    path: Path, data: RealData, space: Space, class_names: Sequence[str] = (), inside: str = ""
) -> Release:
    """The set in the dataset's class order; `class_names` are the labels' classes where their numbers are not the dataset's.

    InputError, with what would be right, where it is not images and labels, as many of each class, of the dataset's size.
    """
    classes, size = data.num_classes, data.image_size
    found = _found(_file_of(path), inside, size)
    count = len(found.images)
    if tuple(found.images.shape[1:]) != (3, size, size):
        raise InputError(f"{found.where} are {_shape(found.images)}; {data.name} takes (N, 3, {size}, {size})")
    if found.images.numel() > IN_MEMORY:
        raise InputError(f"{found.where} hold {count:,} images; at most {IN_MEMORY / 2**30:.0f} GiB of pixels are read")
    targets, labels, told = _labels(found.labels, count, classes, found.where)
    order, place = _order(class_names, data)
    targets = place[targets]
    if labels is not None:
        labels = torch.empty_like(labels).index_copy_(1, place, labels)
    counts = torch.bincount(targets, minlength=classes)
    if int(counts.min()) != int(counts.max()):
        few, many = int(counts.argmin()), int(counts.argmax())
        raise InputError(
            f"{path} must have as many images of each class: {counts[few]} of {data.class_names[few]}, "
            f"{counts[many]} of {data.class_names[many]}"
        )
    pixels, seen = _pixels(found.images, space, data, found.where)
    by_class = targets.argsort(stable=True)
    learned = {"labels": None if labels is None else labels[by_class], "learning_rate": found.rate}
    return Release(
        pixels[by_class],
        targets[by_class],
        int(counts[0]),
        order,
        _digest(found),
        (*seen, *told, *_rate_told(found.rate), *found.notes),
        **learned,
    )


def _file_of(path: Path) -> Path:
    """The file that holds the images."""
    if not path.is_dir():
        return path
    files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and not ASIDE.fullmatch(file.stem))
    best = [file for file in files if file.stem.endswith("best")] or files
    if len(best) != 1:
        names = ", ".join(file.name for file in best[:SHOWN]) or "none"
        raise InputError(f"{path} must have one file of images, or images_best.pt, but has {names}: name the file")
    return best[0]


def _found(file: Path, inside: str, size: int) -> Found:
    """Images with the labels and the rate that lie beside them, in the file or in files of like names."""
    contents, notes = read_contents(file), []
    images = {place: each for place, each in contents.tensors.items() if each.ndim == 4}
    if inside:
        images = {place: each for place, each in images.items() if _is_in(place, inside)}
    if not images:
        held = ", ".join(f"{_name(place)} {_shape(each)}" for place, each in list(contents.tensors.items())[:SHOWN])
        raise InputError(
            f"{file}{f' in {inside}' if inside else ''} has no images, a tensor (N, 3, S, S); it holds {held or 'none'}"
        )
    images = {place: each for place, each in images.items() if tuple(each.shape[1:]) == (3, size, size)} or images
    sets = list(dict.fromkeys(place[:-1] for place in images))
    beside = {place: each for place, each in images.items() if place[:-1] == sets[0]}
    place = _chosen(beside, IMAGES, "images", f"{file}; say which with --inside")
    taken = images[place]
    if not len(taken):
        raise InputError(f"the images of {file.name} are {_shape(taken)}: it has none")
    if len(sets) > 1:
        firsts = [next(each for each in images if each[:-1] == parent) for parent in sets[1 : SHOWN + 1]]
        others = ", ".join(_name(each[:-1] or each) for each in firsts)
        notes.append(
            f"{file.name} holds {len(sets)} sets of images; took {_name(place[:-1] or place)}, "
            f"and --inside takes another: {others}"
        )
    labels = _labels_of(file, contents, place, len(taken))
    if labels is None:
        absent = _beside(file, "labels")
        nor = f", nor has a file {absent.name}" if absent != file else ""
        raise InputError(
            f"{file} has no labels for its {len(taken)} images beside them, (N,) numbers or (N, C) logits or probabilities{nor}"
        )
    rate = _rate_in(contents, place[:-1])
    if rate is None and (other := _sibling(file, "lr")):
        rate = _rate_in(read_contents(other), (), alone=True)
    if rate is not None and not 0 < float(rate) < math.inf:
        raise InputError(f"the learned rate of {file.name} is {float(rate):.3g}; it must be finite and above 0")
    return Found(taken.detach(), labels, rate, f"the images of {file.name}", (*notes, *contents.notes()))


def _labels_of(file: Path, contents: Contents, images: Place, count: int) -> Tensor | None:
    """What is named as labels: in the same dictionary as the images, else the file beside; else what alone fits."""
    within = _fitting(contents, images[:-1], count)
    where, fitting = file, within
    other = None if any(_says(LABELS, place) for place in within) else _sibling(file, "labels")
    if other and (beside := _fitting(read_contents(other), (), count)):
        where, fitting = other, beside
    return fitting[_chosen(fitting, LABELS, "labels", f"{where}; save it with one of them")] if fitting else None


def _fitting(contents: Contents, parent: Place, count: int) -> dict[Place, Tensor]:
    """What may be labels in a dictionary or list: one number for each image, or one for each class."""
    beside = {place: each for place, each in contents.tensors.items() if place[:-1] == parent and each.ndim in (1, 2)}
    return {
        place: each for place, each in beside.items() if len(each) == count and (each.ndim == 1 or each.shape[1] > 1)
    }


def _says(name: re.Pattern[str], place: Place) -> bool:
    return bool(place) and bool(name.search(place[-1]))


def _chosen(fitting: Mapping[Place, Tensor], name: re.Pattern[str], what: str, where: str) -> Place:
    """The one that is named so, or the only one. InputError where several may be."""
    named = [place for place in fitting if _says(name, place)] or list(fitting)
    if len(named) > 1:
        names = ", ".join(f"{_name(place)} {_shape(fitting[place])}" for place in named[:SHOWN])
        raise InputError(f"{len(named)} tensors may be the {what}, {names}, in {where}")
    return named[0]


def _rate_in(contents: Contents, beside: Place, alone: bool = False) -> Tensor | None:
    """A learned rate, one number."""
    tensors = {place: each for place, each in contents.tensors.items() if place[:-1] == beside and each.numel() == 1}
    for place, each in tensors.items():
        if alone or RATE.fullmatch(place[-1] if place else ""):
            return each.float().reshape(())
    for name, number in contents.numbers.items():
        if not beside and (alone or RATE.fullmatch(name)):
            return torch.tensor(float(number))
    return None


def _beside(file: Path, kind: str) -> Path:
    return file.with_name(re.sub("images?|data", kind, file.name, count=1))


def _sibling(file: Path, kind: str) -> Path | None:
    """The file of labels or rates to one of images: labels_best.pt to images_best.pt."""
    other = _beside(file, kind)
    return other if other != file and other.is_file() else None


def _is_in(place: Place, inside: str) -> bool:
    return f"{'.'.join(place)}.".startswith(f"{inside.rstrip('.')}.")


def _name(place: Place) -> str:
    return plain(".".join(place)) or "a tensor"


def _shape(tensor: Tensor) -> str:
    return f"({', '.join(map(str, tensor.shape))})"


def _labels(given: Tensor, count: int, classes: int, where: str) -> tuple[Tensor, Tensor | None, list[str]]:
    """Each image's class, its logits where its label is of all classes, and what was taken for what."""
    if given.ndim == 1:
        numbers = given.long()
        if not bool((numbers == given).all()) or not 0 <= int(numbers.min()) <= int(numbers.max()) < classes:
            raise InputError(
                f"the labels of {where} must be whole numbers from 0 to {classes - 1}, the classes' places"
            )
        return numbers, None, []
    if given.shape[1] != classes:
        raise InputError(f"the labels of {where} are {_shape(given)}; they must be ({count}, {classes})")
    soft = given.float()
    if odd := int((~torch.isfinite(soft)).sum()):
        raise InputError(f"the labels of {where} have {odd} values that are not finite numbers")
    shares = bool((soft >= 0).all()) and bool((soft.sum(dim=1) - 1).abs().max() < 1e-3)
    logits = soft.clamp(min=torch.finfo(torch.float32).tiny).log() if shares else soft
    kind = "probabilities" if shares else "logits"
    notes = [
        f"its labels of all classes were taken for {kind}; regimes with one label an image use them: --regime fixed"
    ]
    targets, per_class = soft.argmax(dim=1), count // classes
    in_order = torch.arange(classes).repeat_interleave(max(per_class, 1))
    if len(in_order) == count and (moved := int((targets != in_order).sum())) and 2 * moved < count:
        notes.append(f"{moved} labels are largest for another class than that of the image's place, which was taken")
        targets = in_order
    return targets, logits, notes


def _order(names: Sequence[str], data: RealData) -> tuple[str, Tensor]:
    """How numbers were taken to be classes, for the user, and the place of each among the dataset's classes (C,)."""
    if not names:
        first = ", ".join(f"{place} is {name}" for place, name in enumerate(data.class_names[:3]))
        return f"labels count in the dataset's class order ({first}, …)", torch.arange(data.num_classes)
    if sorted(names) != sorted(data.class_names):
        raise InputError(
            f"--class-names must be the {data.num_classes} classes of {data.name}, in the order of the labels' numbers"
        )
    return "labels by the names given", torch.tensor([data.class_names.index(name) for name in names])


def _pixels(images: Tensor, space: Space, data: RealData, where: str) -> tuple[Tensor, list[str]]:
    """uint8 (N, 3, S, S), and what its values were taken for."""
    if images.dtype == torch.uint8:
        if given := space.given():
            raise InputError(f"{where} are uint8, so from 0 (black) to 255 (white): leave out {given}")
        return images, []
    if space.zca and (space.mean or space.std):
        raise InputError(f"{where} are either whitened or normalised, but {space.given()} are given: leave out one")
    if not images.is_floating_point() or not bool(torch.isfinite(images).all()):
        raise InputError(f"{where} are {images.dtype}; they must be uint8, or finite floating point")
    values = images.float()
    low, high = float(values.min()), float(values.max())
    mean, std = space.mean or data.mean, space.std or data.std
    if space.zca:
        unit, taken = whitening(data).inverse(values), f"whitened by {data.name}'s training images"
    elif space.mean or space.std or low < -SLACK:
        whose = "given" if space.mean or space.std else "the dataset's; --mean, --std or --zca say otherwise"
        unit = values * torch.tensor(std).view(1, 3, 1, 1) + torch.tensor(mean).view(1, 3, 1, 1)
        taken = f"normalised with mean {_numbers(mean)}, std {_numbers(std)} ({whose})"
    elif high <= 1 + SLACK:
        unit, taken = values, "from 0 (black) to 1 (white)"
    else:
        unit, taken = values / 255, "from 0 (black) to 255 (white)"
    clipped = float(((unit < -0.5 / 255) | (unit > 1 + 0.5 / 255)).float().mean())
    seen = f"{where}: values from {low:.3g} to {high:.3g}, taken as {taken}"
    if clipped > MOST_CLIPPED:
        raise InputError(
            f"{seen}: {100 * clipped:.0f} % of them would be blacker than black or whiter than white; say what they are "
            "with --mean and --std, or with --zca"
        )
    levels = (unit * 255).round().clamp(0, 255).to(torch.uint8)
    return levels, [f"{seen}; rounded to 256 levels, {100 * clipped:.1f} % of them clipped"]


def _numbers(values: Sequence[float]) -> str:
    return ",".join(f"{value:.4g}" for value in values)


def _rate_told(rate: Tensor | None) -> list[str]:
    if rate is None:
        return []
    return [f"its learned rate, {float(rate):.3g}, is the students' where an image has one label: --regime fixed"]


def _digest(found: Found) -> str:
    """SHA-256 of what was read."""
    total = hashlib.sha256()
    for tensor in (found.images, found.labels, *([] if found.rate is None else [found.rate])):
        total.update(f"{tensor.dtype} {_shape(tensor)}".encode())
        total.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()
