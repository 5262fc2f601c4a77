"""What workers without a common file system are sent: the dataset where it lies in memory, and the teachers."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from delt_host import MemorySplit, RealData, RunError, Split, Teacher
from delt_host.workshop import Sealed

DataParcel = dict[str, Any]
"""Facts, and the images and targets of the splits as arrays, which processes of a node share; empty: not sent."""

FACTS = ("name", "class_names", "image_size", "mean", "std", "fingerprint")


class SentSplit(MemorySplit):
    """A split from another machine, which has its files."""

    def original(self, index: int) -> Tensor:
        raise RunError("images at their original size stay on the machine that has the dataset's files")


def pack_data(data: RealData) -> DataParcel:
    """The dataset, or nothing where its images are read from files on demand: every node must then have those."""
    names = ("train", data.split)
    splits = [getattr(data, name) for name in names]
    if not all(isinstance(split, MemorySplit) for split in splits):
        return {}
    arrays = {
        name: (split.images.numpy(), split.targets.numpy(), type(split) is MemorySplit)
        for name, split in zip(names, splits, strict=True)
    }
    return {"facts": {name: getattr(data, name) for name in FACTS}, **arrays}


def unpack_data(parcel: DataParcel) -> RealData | None:
    """What `pack_data` was given."""
    if not parcel:
        return None
    splits: dict[str, Split] = {}
    for name in {"train", "test", "validation"} & parcel.keys():
        images, targets, whole = parcel[name]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the arrays are shared and read-only, and nobody writes into a dataset
            tensors = torch.from_numpy(images), torch.from_numpy(targets)
        splits[name] = (MemorySplit if whole else SentSplit)(*tensors)
    return RealData(
        **parcel["facts"],
        train=splits["train"],
        test=splits.get("test", Sealed()),
        validation=splits.get("validation"),
    )


def pack_teachers(teachers: Sequence[Teacher]) -> dict[str, bytes]:
    """Each teacher by the name that components ask for it by, as its artifact's file."""
    with tempfile.TemporaryDirectory() as folder:
        packed = {}
        for teacher in teachers:
            path = Path(folder) / "teacher.safetensors"
            teacher.save(path)
            packed[teacher.called] = path.read_bytes()
    return packed


def unpack_teachers(packed: Mapping[str, bytes], folder: Path) -> dict[str, Path]:
    """The teachers' files by name, in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / f"teacher-{place}.safetensors" for place, name in enumerate(packed)}
    for name, path in paths.items():
        path.write_bytes(packed[name])
    return paths
