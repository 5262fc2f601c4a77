"""The distilled set as a file: uint8 images, targets and all that must be known to use them; docs/artifact.md."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
import safetensors.torch
import torch
from pydantic import BaseModel, Field, FiniteFloat, PositiveFloat
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from delt_host.components import Distilled
from delt_host.errors import InputError, RunError
from delt_host.normalization import Normalization
from delt_host.options import build

if TYPE_CHECKING:
    from delt_host.artifact.soft_labels import SoftLabels
    from delt_host.components import Batch

FILE = "distilled.safetensors"
METADATA = "delt_host.distilled"
FORMAT = 1


@dataclass(frozen=True)
class DistilledSet:
    """A distilled set from disk."""

    pixels: Tensor
    """(N, 3, S, S) uint8 RGB."""
    targets: Tensor
    """(N,) int64 indices into `class_names`."""
    class_names: tuple[str, ...]
    normalization: Normalization
    about: dict[str, Any] = field(default_factory=dict)
    """Method, labels' recipe, teacher's fingerprint, cost, codec, versions."""
    soft_labels: SoftLabels | None = field(default=None, compare=False)
    """Every epoch's views with the teacher's answers, where the set was exported with them."""

    def images(self) -> Tensor:
        """(N, 3, S, S) float32, normalised: what a network takes."""
        return self.normalization.normalize(self.pixels)

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

    def save(self, path: Path) -> None:
        about = {
            "format": FORMAT,
            "class_names": self.class_names,
            "mean": self.normalization.mean,
            "std": self.normalization.std,
            "about": self.about,
        }
        tensors = {"images": self.pixels.contiguous(), "targets": self.targets.contiguous()}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(safetensors.torch.save(tensors, metadata={METADATA: json.dumps(about)}))
        except (OSError, safetensors.SafetensorError) as error:
            raise RunError(f"the distilled set cannot be written to {path}: {error}") from None


class HardLabelled(Dataset[tuple[Any, int]]):
    """The images of a distilled set, each with its class."""

    def __init__(self, distilled: DistilledSet, transform: Callable[[Tensor], Any] | None = None) -> None:
        self.transform, self.normalization = transform, distilled.normalization
        self.pixels, self.targets, self.classes = distilled.pixels, distilled.targets, distilled.class_names

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, place: int) -> tuple[Any, int]:
        pixels = self.pixels[place]
        image = self.normalization.normalize(pixels[None])[0] if self.transform is None else self.transform(pixels)
        return image, int(self.targets[place])


def load(path: str | Path) -> DistilledSet:
    """Read a `distilled.safetensors`, or the folder that holds one, with the soft labels beside it.

    InputError where it is missing, damaged or something else.
    """
    from delt_host.artifact.soft_labels import read_labels

    path = Path(path)
    path = path / FILE if path.is_dir() else path
    if not path.is_file():
        raise InputError(f"no distilled set at {path}")
    try:
        with safetensors.safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get(METADATA)
            if text is None:
                raise InputError(f"{path} is a safetensors file, but not a distilled set")
            pixels, targets = file.get_tensor("images"), file.get_tensor("targets")
            header = json.loads(text)
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise InputError(f"the distilled set {path} cannot be read: {error}") from None
    about = build(_Header, header, f"the distilled set {path}")
    _check_tensors(path, pixels, targets, len(about.class_names))
    if about.format > FORMAT:
        raise InputError(f"the distilled set {path} is of format {about.format}; this delt-host reads up to {FORMAT}")
    labels = read_labels(path.parent, Distilled(pixels, targets), len(about.class_names))
    return DistilledSet(pixels, targets, about.class_names, Normalization(about.mean, about.std), about.about, labels)


class _Header(BaseModel):
    """What the file says beside its tensors."""

    format: int = FORMAT
    class_names: tuple[str, ...] = Field(min_length=1)
    mean: tuple[FiniteFloat, FiniteFloat, FiniteFloat]
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    about: dict[str, Any] = Field(default_factory=dict)


def _check_tensors(path: Path, pixels: Tensor, targets: Tensor, classes: int) -> None:
    shape = tuple(pixels.shape)
    if pixels.dtype != torch.uint8 or pixels.ndim != 4 or shape[1] != 3 or shape[2] != shape[3] or not len(pixels):
        raise InputError(f"the distilled set {path}: images must be uint8 (N, 3, S, S), not {pixels.dtype} {shape}")
    if targets.dtype != torch.int64 or tuple(targets.shape) != shape[:1]:
        found = f"{targets.dtype} {tuple(targets.shape)}"
        raise InputError(f"the distilled set {path}: targets must be int64 ({shape[0]},), not {found}")
    if not 0 <= int(targets.min()) <= int(targets.max()) < classes:
        raise InputError(f"the distilled set {path}: targets must be from 0 to {classes - 1}, its classes' places")
