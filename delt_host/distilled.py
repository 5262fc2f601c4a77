"""The distilled set as a file: what its form packs, targets and all that must be known to use them; docs/artifact.md."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
import torch
from pydantic import BaseModel, Field, FiniteFloat, PositiveFloat
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from delt_host import files
from delt_host.components import Cost, Distilled
from delt_host.errors import InputError, RunError
from delt_host.form import FORMS, Form
from delt_host.normalization import Normalization
from delt_host.options import build
from delt_host.sets import LEARNED, RESERVED, Part, check_packed, packed_bytes

if TYPE_CHECKING:
    from delt_host.artifact.soft_labels import SoftLabels
    from delt_host.components import Batch

FILE = "distilled.safetensors"
METADATA = "delt_host.distilled"
Forms = Callable[[str], type[Form]]
"""A form by its name; InputError where there is none."""
FORMAT = 1


@dataclass(frozen=True)
class DistilledSet:
    """A distilled set from disk: `read` gives its images, which stay in the file until then."""

    distilled: Distilled
    class_names: tuple[str, ...]
    normalization: Normalization
    about: dict[str, Any] = field(default_factory=dict)
    """Method, labels' recipe, teacher's fingerprint, cost, versions."""
    form: str = "pixels"
    """The name of the form that its images are stored in."""
    soft_labels: SoftLabels | None = field(default=None, compare=False)
    """Every epoch's views with the teacher's answers, where the set was exported with them."""

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def targets(self) -> Tensor:
        """(N,) int64 indices into `class_names`."""
        return self.distilled.targets

    @property
    def image_size(self) -> int:
        """S."""
        return self.read(torch.tensor([0])).shape[-1]

    def read(self, indices: Tensor) -> Tensor:
        """The images at `indices` (B,), as uint8 RGB (B, 3, S, S)."""
        return self.distilled.read(indices)

    @property
    def pixels(self) -> Tensor:
        """(N, 3, S, S) uint8 RGB: all images, decoded into memory, for a look in a notebook. `read` takes a few."""
        return self.read(torch.arange(len(self)))

    def images(self) -> Tensor:
        """(N, 3, S, S) float32, normalised: what a network takes. All of them, in memory."""
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
        """Write it whole or not at all; what the form packed is copied as it is. RunError where that fails."""
        made = self.distilled
        if len(made.parts) != 1:
            raise RunError(f"a set of {len(made.parts)} parts cannot be written to {path}")
        header = {
            "format": FORMAT,
            "form": self.form,
            "options": made.form.model_dump(mode="json"),
            "fingerprint": made.fingerprint,
            "class_names": self.class_names,
            "mean": self.normalization.mean,
            "std": self.normalization.std,
            "about": self.about,
        }
        learned = {name: each for name in LEARNED if (each := getattr(made, name)) is not None}
        tensors = {**made.parts[0].packed, **learned, "targets": made.targets}
        try:
            files.write_tensors(path, tensors, {METADATA: json.dumps(header)})
        except (OSError, RuntimeError) as error:
            raise RunError(f"the distilled set cannot be written to {path}: {error}") from None


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


def load(path: str | Path, forms: Forms | None = None) -> DistilledSet:
    """Read a `distilled.safetensors`, or the folder that holds one, with the soft labels beside it.

    `forms` gives a plugin's form by name; by default all plugins are imported to find it.

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
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - mapped, not read
            header = json.loads(text)
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise InputError(f"the distilled set {path} cannot be read: {error}") from None
    about = build(_Header, header, f"the distilled set {path}")
    if about.format > FORMAT:
        raise InputError(f"the distilled set {path} is of format {about.format}; this delt-host reads up to {FORMAT}")
    made = _distilled(path, tensors, about, forms or _installed)
    names, normalization = about.class_names, Normalization(about.mean, about.std)
    return DistilledSet(
        made, names, normalization, about.about, about.form, read_labels(path.parent, made, len(about.class_names))
    )


class _Header(BaseModel):
    """What the file says beside its tensors."""

    format: int = FORMAT
    form: str = "pixels"
    options: dict[str, Any] = Field(default_factory=dict)
    """Of the form."""
    fingerprint: str
    class_names: tuple[str, ...] = Field(min_length=1)
    mean: tuple[FiniteFloat, FiniteFloat, FiniteFloat]
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    about: dict[str, Any] = Field(default_factory=dict)


def _distilled(path: Path, tensors: dict[str, Tensor], header: _Header, forms: Forms) -> Distilled:
    form = _form(path, header, forms)
    packed = {name: tensor for name, tensor in tensors.items() if name not in RESERVED}
    targets = tensors.get("targets", torch.empty(0))
    _check_targets(path, targets, len(header.class_names))
    units = len(targets) // form.cells
    try:
        if units * form.cells != len(targets):
            raise RunError(f"a unit decodes to {form.cells} images")
        size = form.read(packed, torch.tensor([0])).shape[-1]
        check_packed(form, packed, units, size)
    except Exception as error:  # a form's own, which says in any way that these are not its tensors
        raise InputError(
            f"the distilled set {path} does not hold images in the form {header.form} for its {len(targets)} targets: {error}"
        ) from None
    cost = header.about.get("cost")
    return Distilled(
        form=form,
        parts=(Part(packed, torch.arange(units)),),
        targets=targets,
        fingerprint=header.fingerprint,
        size_bytes=packed_bytes(packed),
        labels=tensors.get("labels"),
        learning_rate=tensors.get("learning_rate"),
        weights=tensors.get("weights"),
        cost=Cost(**cost) if cost else None,
    )


def _installed(form: str) -> type[Form]:
    from delt_host.plugins import load_registry

    found: type[Form] = load_registry().get("form", form)
    return found


def _form(path: Path, header: _Header, forms: Forms) -> Form:
    """The form that the file is in; plugins are imported where it is not one of the host's own."""
    if header.form in FORMS:
        cls = FORMS[header.form]
    else:
        try:
            cls = forms(header.form)
        except InputError as error:
            raise InputError(f"the distilled set {path} is stored in a form that is not installed: {error}") from None
    return build(cls, header.options, f"the form {header.form} of {path}")


def _check_targets(path: Path, targets: Tensor, classes: int) -> None:
    if targets.dtype != torch.int64 or targets.ndim != 1 or not len(targets):
        found = f"{targets.dtype} {tuple(targets.shape)}"
        raise InputError(f"the distilled set {path}: targets must be int64 (N,), not {found}")
    if not 0 <= int(targets.min()) <= int(targets.max()) < classes:
        raise InputError(f"the distilled set {path}: targets must be from 0 to {classes - 1}, its classes' places")
