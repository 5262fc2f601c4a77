"""A distilled set as it is trained on elsewhere: for ordinary loaders, with the soft labels that lie beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

import delt_host
from delt_host import Batch, DistilledSet, Form, InputError
from delt_plugins.publish.soft_labels import SoftLabels, read_labels


@dataclass(frozen=True)
class ExportedSet(DistilledSet):
    """A distilled set from disk, and what ordinary training loops take of it."""

    soft_labels: SoftLabels | None = field(default=None, compare=False)
    """Every epoch's views with the teacher's answers, where the set was exported with them."""

    def dataset(self, transform: Callable[[Tensor], Any] | None = None) -> HardLabelled:
        """A torch Dataset of (image, class). `transform` takes a uint8 image (3, S, S); without one images are normalised."""
        return HardLabelled(self, transform)

    def loader(self, epoch: int, **options: Any) -> DataLoader[Batch]:
        """The batches of an epoch of soft labels, counted from 0, each a `Batch` with its answers.

        Options are those of `torch.utils.data.DataLoader`, ``num_workers`` for instance; the batches and their order are
        the labels' own. InputError where the set has no soft labels.
        """
        if self.soft_labels is None:
            raise InputError("the distilled set has no soft labels beside it; `delt-host export --labels` writes them")
        # The batches are made already: no collating, no sampling. Without a generator of its own the loader would draw
        # its workers' seed from torch's global one.
        options = {"generator": torch.Generator(), **options}
        return DataLoader(self.soft_labels.epoch(epoch), batch_size=None, **options)


class HardLabelled(Dataset[tuple[Any, int]]):
    """The images of a distilled set, each with its class."""

    def __init__(self, distilled: DistilledSet, transform: Callable[[Tensor], Any] | None = None) -> None:
        self.transform, self.normalization = transform, distilled.normalization
        self.images, self.targets, self.classes = distilled.distilled, distilled.targets, distilled.class_names

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, place: int) -> tuple[Any, int]:
        pixels = self.images.read(torch.tensor([place]))[0]
        image = self.normalization.normalize(pixels[None])[0] if self.transform is None else self.transform(pixels)
        return image, int(self.targets[place])


def load(path: str | Path, forms: Callable[[str], type[Form]] | None = None) -> ExportedSet:
    """Read a `distilled.safetensors`, or the folder that holds one, with the soft labels beside it.

    `forms` gives a plugin's form by name; by default all plugins are imported to find it.

    InputError where the set or its labels are missing, damaged or something else.
    """
    path = Path(path)
    return with_labels(delt_host.load(path, forms), path if path.is_dir() else path.parent)


def with_labels(made: DistilledSet, folder: Path) -> ExportedSet:
    """The set with the soft labels in a folder; InputError as `read_labels`."""
    known = {name: getattr(made, name) for name in DistilledSet.__dataclass_fields__}
    return ExportedSet(**known, soft_labels=read_labels(folder, made.distilled, len(made.class_names)))
