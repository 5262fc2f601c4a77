"""The distilled set as a file: what its form packs, targets and all that must be known to use them; docs/artifact.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, FiniteFloat, PositiveFloat
from torch import Tensor

from delt_host.basics.brief import Brief
from delt_host.basics.errors import InputError, RunError
from delt_host.basics.options import build
from delt_host.contracts.form import Form, Pixels
from delt_host.contracts.packed import LEARNED, Packed, Piece, check_rows
from delt_host.contracts.sets import Cost, Distilled
from delt_host.images.normalization import Normalization
from delt_host.store.tensor_file import Streamed
from delt_host.store.tensors import FileKind, Header

SET_FILE = "distilled.safetensors"
"""A distilled set, in the folder of its row and seed."""
Forms = Callable[[str], type[Form]]
"""A form by its name; InputError where there is none."""


@dataclass(frozen=True, repr=False)
class DistilledSet(Brief):
    """A distilled set from disk: `read` gives its images, which stay in the file until then."""

    distilled: Distilled
    """The set as components see it, with what was learned beside the images."""
    class_names: tuple[str, ...]
    """In the order of the targets."""
    normalization: Normalization
    """The teacher's: what students' images are normalised with."""
    about: dict[str, Any] = field(default_factory=dict)
    """Method, labels' recipe, teacher's fingerprint, cost, versions."""
    form: str = "pixels"
    """The name of the form that its images are stored in."""

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

    def save(self, path: Path) -> None:
        """Write it whole or not at all; what the form packed is copied as it is, a few units at a time. OSError or RunError
        where that fails."""
        made = self.distilled
        header = {
            "form": self.form,
            "options": made.form.model_dump(mode="json"),
            "fingerprint": made.fingerprint,
            "class_names": self.class_names,
            "mean": self.normalization.mean,
            "std": self.normalization.std,
            "about": self.about,
        }
        learned = {name: each for name in LEARNED if (each := getattr(made, name)) is not None}
        packed = made.packed
        assert packed is not None
        streamed = {
            name: Streamed(packed.dtype(name), packed.shape(name), packed.slices(name)) for name in packed.names
        }
        SET_FILES.write(path, header, {**streamed, **learned, "targets": made.targets})


class _Header(Header):
    form: str = "pixels"
    options: dict[str, Any] = Field(default_factory=dict)
    """Of the form."""
    fingerprint: str
    class_names: tuple[str, ...] = Field(min_length=1)
    mean: tuple[FiniteFloat, FiniteFloat, FiniteFloat]
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    about: dict[str, Any] = Field(default_factory=dict)


SET_FILES = FileKind(
    "distilled set",
    "delt_host.distilled",
    _Header,
    "{path} is a safetensors file, but not a distilled set",
    ("targets",),
)


def load(path: str | Path, forms: Forms | None = None) -> DistilledSet:
    """Read a `distilled.safetensors`, or the folder that holds one.

    `forms` gives a plugin's form by name; by default all plugins are imported to find it.

    InputError where it is missing, damaged or something else, its form not installed or not that of its tensors.
    """
    path = Path(path)
    path = path / SET_FILE if path.is_dir() else path
    header, rows = SET_FILES.open(path)
    try:
        cls = Pixels if header.form == "pixels" else (forms or _installed)(header.form)
    except InputError as error:
        raise InputError(f"the distilled set {path} is stored in a form that is not installed: {error}") from None
    form = build(cls, header.options, f"the form {header.form} of {path}")
    targets = rows.read("targets")
    _check_targets(path, targets, len(header.class_names))
    try:
        units, rest = divmod(len(targets), form.cells)
        if rest:
            raise RunError(f"a unit decodes to {form.cells} images")
        check_rows(form, rows, units)
    except Exception as error:  # a form's own, which says in any way that these are not its tensors
        raise InputError(
            f"the distilled set {path} does not hold images in the form {header.form} for its {len(targets)} targets: {error}"
        ) from None
    cost = header.about.get("cost")
    learned = {name: rows.read(name) for name in LEARNED if name in rows.names}
    distilled = Distilled(
        form=form,
        packed=Packed([Piece(rows, torch.arange(units))]),
        targets=targets,
        fingerprint=header.fingerprint,
        cost=Cost(**cost) if cost else None,
        labels=learned.get("labels"),
        learning_rate=learned.get("learning_rate"),
        weights=learned.get("weights"),
    )
    return DistilledSet(
        distilled, header.class_names, Normalization(header.mean, header.std), header.about, header.form
    )


def _installed(form: str) -> type[Form]:
    from delt_host.plugins.registry import load_registry

    found: type[Form] = load_registry().get("form", form)
    return found


def _check_targets(path: Path, targets: Tensor, classes: int) -> None:
    if targets.dtype != torch.int64 or targets.ndim != 1 or not len(targets):
        found = f"{targets.dtype} {tuple(targets.shape)}"
        raise InputError(f"the distilled set {path}: targets must be int64 (N,), not {found}")
    if not 0 <= int(targets.min()) <= int(targets.max()) < classes:
        raise InputError(f"the distilled set {path}: targets must be from 0 to {classes - 1}, its classes' places")
