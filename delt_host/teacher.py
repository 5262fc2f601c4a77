"""The teacher as one artifact: weights, class names in order, normalisation, image size, recipe, measured accuracy.

Nothing takes a bare state dict: most failures that users of the published code report are a teacher whose class order
or normalisation differs from the data's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from pydantic import BaseModel, Field, FiniteFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from delt_host import files
from delt_host.checkpoint import fit_state
from delt_host.compute import Compute
from delt_host.data.base import RealData
from delt_host.entry import digest
from delt_host.errors import InputError, writing_to
from delt_host.models import Builder, build_model, check_model
from delt_host.normalization import Normalization
from delt_host.options import build
from delt_host.seeding import isolated_rng

METADATA = "delt_host.teacher"


@dataclass(frozen=True)
class Teacher:
    """A trained classifier and everything that must go with it."""

    architecture: str
    state: dict[str, Tensor]
    class_names: tuple[str, ...]
    """In the order of the network's outputs."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: int
    recipe: dict[str, Any] = field(default_factory=dict)
    accuracy: float = float("nan")
    """Top-1 in percent on the test split of `dataset`."""
    dataset: str = ""
    plugin: str = ""
    """The distribution whose plugin provides its network, with its version; empty: ours, torchvision's or timm's."""
    name: str = ""
    """What components of a run ask for it by; empty: its architecture's. It is the run's, and not in the file."""

    @property
    def called(self) -> str:
        """The name that components ask for it by."""
        return self.name or self.architecture

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the weights and everything that changes what the network says."""
        total = hashlib.sha256()
        for name in sorted(self.state):
            tensor = self.state[name].contiguous()
            total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            total.update(tensor.flatten().view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
        rest = (self.architecture, self.class_names, self.mean, self.std, self.image_size)
        total.update(json.dumps(rest).encode())
        return total.hexdigest()

    @property
    def size_bytes(self) -> int:
        """Bytes of the weights."""
        return sum(t.numel() * t.element_size() for t in self.state.values())

    @property
    def normalization(self) -> Normalization:
        return Normalization(self.mean, self.std)

    def network(
        self,
        class_names: tuple[str, ...],
        compute: Compute,
        models: Mapping[str, Builder] | None = None,
        normalization: Normalization | None = None,
    ) -> nn.Module:
        """The frozen network in eval mode on the device, its outputs in the order of `class_names`.

        `normalization` is that of the images it will be given, where that is not the teacher's own.
        """
        with isolated_rng(0, "teacher"):  # building draws weights, which the artifact's then replace
            model = build_model(self.architecture, len(self.class_names), self.image_size, models or {})
        fit_state(model, self.state, f"the teacher ({self.architecture})")
        if class_names != self.class_names:
            model = Reordered(model, [self.class_names.index(name) for name in class_names])
        if normalization is not None and normalization != self.normalization:
            model = Renormalized(model, normalization, self.normalization)
        return compute.place(model).eval().requires_grad_(False)

    def check_known(self, models: Mapping[str, Builder], where: str) -> None:
        """InputError where nobody here can build its network, with the plugin that could."""
        try:
            check_model(self.architecture, models)
        except InputError as error:
            whose = (
                f", of the plugin {self.plugin}, which is not in use here: install it" if self.plugin else f": {error}"
            )
            raise InputError(f"{where} is a {self.architecture!r}{whose}") from None

    def check_fits(self, data: RealData) -> None:
        """InputError unless this teacher's classes (in any order) and image size are the dataset's."""
        if set(self.class_names) != set(data.class_names) or len(self.class_names) != data.num_classes:
            raise InputError(
                f"the teacher knows other classes than {data.name}: teacher ({len(self.class_names)}): "
                f"{_shown(self.class_names)}; dataset ({data.num_classes}): {_shown(data.class_names)}"
            )
        if self.image_size != data.image_size:
            raise InputError(
                f"the teacher takes {self.image_size} px images, {data.name} gives {data.image_size} px; "
                f"use --set dataset.image_size={self.image_size} or another teacher"
            )

    def save(self, path: Path) -> None:
        """Write the artifact as one safetensors file, whose header holds all but the weights, or nothing.

        InputError or RunError where that fails.
        """
        with writing_to(path):
            files.write_tensors(path, self.state, {METADATA: json.dumps(self.facts())})

    @classmethod
    def load(cls, path: Path) -> Teacher:
        """Read an artifact; InputError where the file is missing, damaged, or a bare state dict."""
        facts = cls.facts_in(path)
        try:
            state = safetensors.torch.load_file(path)
        except (OSError, safetensors.SafetensorError) as error:
            raise InputError(f"the teacher {path} cannot be read: {error}") from None
        return cls.from_facts(facts, state)

    @classmethod
    def facts_in(cls, path: Path) -> dict[str, Any]:
        """What an artifact's header says, without its weights; InputError as `load`."""
        if not path.is_file():
            raise InputError(f"no teacher at {path}")
        try:
            with safetensors.safe_open(path, "pt") as file:
                about = (file.metadata() or {}).get(METADATA)
        except (OSError, safetensors.SafetensorError) as error:
            raise InputError(f"the teacher {path} cannot be read: {error}") from None
        if about is None:
            raise InputError(
                f"{path} holds weights but no class names or normalisation; "
                f"make a teacher of it with: delt-host import-teacher {path} --model NAME --dataset NAME"
            )
        try:
            facts = json.loads(about)
        except ValueError as error:
            raise InputError(f"the teacher {path} cannot be read: its header is no JSON ({error})") from None
        return build(_Facts, facts, f"the teacher {path}").model_dump()

    @classmethod
    def from_facts(cls, about: Mapping[str, Any], state: dict[str, Tensor]) -> Teacher:
        """From what `facts` gave and the weights."""
        sequences = {name: tuple(about[name]) for name in ("class_names", "mean", "std")}
        return cls(state=state, **{**about, **sequences})

    def facts(self) -> dict[str, Any]:
        """All but the weights, JSON-able."""
        names = ("architecture", "class_names", "mean", "std", "image_size", "recipe", "accuracy", "dataset", "plugin")
        return {name: getattr(self, name) for name in names}


class Awaited(Teacher):
    """A teacher that is still to be squeezed: what is known of it before, under a fingerprint that stands for its recipe."""

    @cached_property
    def fingerprint(self) -> str:
        return f"awaited {digest(self.recipe)}"


class _Facts(BaseModel):
    """What a teacher's file says beside its weights."""

    architecture: str
    class_names: tuple[str, ...] = Field(min_length=1)
    mean: tuple[FiniteFloat, FiniteFloat, FiniteFloat]
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    image_size: PositiveInt
    recipe: dict[str, Any] = Field(default_factory=dict)
    accuracy: float = float("nan")
    dataset: str = ""
    plugin: str = ""


class Reordered(nn.Module):
    """A classifier whose outputs are put into another class order."""

    def __init__(self, model: nn.Module, order: list[int]) -> None:
        super().__init__()
        self.model = model
        self.order: Tensor
        self.register_buffer("order", torch.tensor(order))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images)
        return logits.index_select(1, self.order)


class Renormalized(nn.Module):
    """A classifier that is given images in another normalised space than the one it was trained in."""

    def __init__(self, model: nn.Module, given: Normalization, trained: Normalization) -> None:
        super().__init__()
        self.model = model
        self.scale: Tensor
        self.offset: Tensor
        (mean, std), (own_mean, own_std) = ((torch.tensor(n.mean), torch.tensor(n.std)) for n in (given, trained))
        self.register_buffer("scale", (std / own_std).view(1, 3, 1, 1))
        self.register_buffer("offset", ((mean - own_mean) / own_std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images * self.scale + self.offset)
        return logits


def chance_limit(num_classes: int) -> float:
    """Top-1 in percent under which a teacher is no teacher: chance plus a tenth of the way to perfect."""
    chance = 1 / num_classes
    return 100 * (chance + 0.1 * (1 - chance))


def check_accuracy(teacher: Teacher, data: RealData, measured: float) -> None:
    """InputError for a teacher near chance on the data it is to describe, with both class orders shown."""
    limit = chance_limit(data.num_classes)
    if measured < limit:
        raise InputError(
            f"the teacher is near chance on {data.name}: top-1 {measured:.1f} %, at least {limit:.1f} % is needed; "
            f"is its class order or normalisation another one? teacher: {_shown(teacher.class_names)}; "
            f"dataset: {_shown(data.class_names)}; mean {teacher.mean}, std {teacher.std}"
        )


def _shown(names: tuple[str, ...], most: int = 20) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
