"""A distilled set as a folder that others read: safetensors and a card, and the images as PNG files or WebDataset shards."""

from __future__ import annotations

import io
import json
import re
import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from PIL import Image
from torch import Tensor

from delt_host import DistilledSet, InputError
from delt_host.workshop import LONGEST_NAME, RESERVED_NAMES, SET_FILE, files, writing_to
from delt_plugins.publish.card import UNKNOWN, card
from delt_plugins.publish.exported import ExportedSet, with_labels

Form = Literal["images", "webdataset", "safetensors"]
FORMS: tuple[Form, ...] = ("images", "webdataset", "safetensors")
SPLIT, CLASSES = "train", "classes.json"
SHARD_BYTES = 256 * 2**20


def export(
    distilled: DistilledSet,
    folder: Path,
    form: Form,
    scores: Sequence[Mapping[str, Any]] = (),
    licence: str = UNKNOWN,
    write_soft_labels: Callable[[Path], object] | None = None,
) -> ExportedSet:
    """Write the set to a new folder, whole or not at all, and return it with its labels.

    `write_soft_labels` puts files of labels into a folder; without it those beside the set go along. InputError where
    the folder is there already or cannot be written.
    """
    if not files.is_free(folder):
        raise InputError(f"{folder} exists already; choose another with --to")
    with writing_to(folder, "--to"), files.making_folder(folder) as place:
        distilled.save(place / SET_FILE)
        if write_soft_labels is not None:
            write_soft_labels(place)
        elif isinstance(distilled, ExportedSet) and distilled.soft_labels is not None:
            for block in distilled.soft_labels.blocks:
                shutil.copy(block.path, place)
        complete = with_labels(distilled, place)
        if form == "images":
            write_images(complete, place)
        elif form == "webdataset":
            write_shards(complete, place)
        text = card(complete, scores, form, licence)
        (place / "README.md").write_text(text, encoding="utf-8")
        for path in place.rglob("*"):  # one by one as they are written, many small files would take minutes
            files.sync(path)
    return with_labels(distilled, folder)


def class_folders(names: Sequence[str]) -> list[str]:
    """A folder's name for each class, such that readers that sort folders give every class the index it has here.

    Names stay as they are where they are safe on every file system and in alphabetical order; otherwise each has its
    index in front.
    """
    safe = [re.sub(r"[^\w. -]+", "-", name).strip(" .-")[:LONGEST_NAME] for name in names]
    kept = safe == list(names) == sorted(names) and len({name.casefold() for name in names}) == len(names)
    if kept and all(len(n.encode()) <= LONGEST_NAME and not RESERVED_NAMES.fullmatch(n) for n in names):
        return list(names)
    digits = len(str(len(names) - 1))
    short = [name.encode()[:LONGEST_NAME].decode(errors="ignore") for name in safe]
    return [f"{index:0{digits}d}-{name}".rstrip(" .-") for index, name in enumerate(short)]


def write_images(distilled: DistilledSet, folder: Path) -> None:
    """`train/CLASS/PLACE.png`, and `classes.json` with names and folders in the classes' order."""
    folders = class_folders(distilled.class_names)
    for name in folders:
        (folder / SPLIT / name).mkdir(parents=True)
    digits = _digits(distilled)
    for place, pixels, target in _images(distilled):
        (folder / SPLIT / folders[target] / f"{place:0{digits}d}.png").write_bytes(png(pixels))
    _write_classes(distilled, folder, folders)


def write_shards(distilled: DistilledSet, folder: Path) -> None:
    """`train-NNNNN.tar`, in which each image is PLACE.png and PLACE.cls; and `classes.json`."""
    digits, shards = _digits(distilled), 0
    waiting: dict[str, bytes] = {}
    for place, pixels, target in _images(distilled):
        waiting |= {f"{place:0{digits}d}.png": png(pixels), f"{place:0{digits}d}.cls": str(target).encode()}
        if place == len(distilled.targets) - 1 or sum(map(len, waiting.values())) >= SHARD_BYTES:
            _write_tar(folder / f"{SPLIT}-{shards:05d}.tar", waiting)
            shards, waiting = shards + 1, {}
    _write_classes(distilled, folder, None)


def _images(distilled: DistilledSet) -> Iterator[tuple[int, Tensor, int]]:
    """Each image's place, its pixels (3, S, S) and its class, decoded a few at a time."""
    for places, images in distilled.distilled.slices():
        yield from zip(places.tolist(), images, distilled.targets[places].tolist(), strict=True)


def _write_tar(path: Path, contents: Mapping[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)  # owner and time stay 0: the same set gives the same bytes
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def png(pixels: Tensor) -> bytes:
    """A uint8 image (3, S, S) as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy()).save(buffer, "PNG")
    return buffer.getvalue()


def _write_classes(distilled: DistilledSet, folder: Path, folders: Sequence[str] | None) -> None:
    classes = [{"index": index, "name": name} for index, name in enumerate(distilled.class_names)]
    if folders is not None:
        classes = [{**each, "folder": name} for each, name in zip(classes, folders, strict=True)]
    (folder / CLASSES).write_text(json.dumps(classes, indent=1, ensure_ascii=False), encoding="utf-8")


def _digits(distilled: DistilledSet) -> int:
    return max(len(str(len(distilled.targets) - 1)), 5)
