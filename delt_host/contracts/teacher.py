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

import torch
from pydantic import Field, FiniteFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from delt_host.basics.brief import Brief
from delt_host.basics.compute import Compute
from delt_host.basics.errors import InputError, writing_to
from delt_host.basics.file_words import plain, short_name
from delt_host.basics.seeding import isolated_rng
from delt_host.contracts.dataset import RealData
from delt_host.images.normalization import Normalization
from delt_host.networks.build import Builder, build_model, check_model
from delt_host.networks.fitted import Adapted, fit_state
from delt_host.store.entry import digest
from delt_host.store.tensors import FileKind, Header


@dataclass(frozen=True, repr=False)
class Teacher(Brief):
    """A trained classifier and everything that must go with it."""

    architecture: str
    """The network's name: ours, torchvision's, timm's or a plugin's."""
    state: dict[str, Tensor]
    """All parameters and buffers by name, on the CPU."""
    class_names: tuple[str, ...]
    """In the order of the network's outputs."""
    mean: tuple[float, ...]
    """Of RGB values in 0..1: what its images are normalised with."""
    std: tuple[float, ...]
    """Likewise."""
    image_size: int
    """S: pixels a side of the images that it takes."""
    recipe: dict[str, Any] = field(default_factory=dict)
    """How it was trained, JSON-able; empty where that is not known."""
    accuracy: float = float("nan")
    """Top-1 in percent on the test split of `dataset`, or on its validation images (`--validate`)."""
    dataset: str = ""
    """What `accuracy` was measured on."""
    trained_on: str = ""
    """The fingerprint of the data whose training images it was squeezed on; empty where that is not known."""
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
        rest = (plain(self.architecture), self.class_names, self.mean, self.std, self.image_size)
        total.update(json.dumps(rest).encode())
        return total.hexdigest()

    def may_have_seen(self, data: RealData) -> str:
        """A sentence where images that are held out of these data may be among those that it was trained on; else empty."""
        if data.validation is None or self.trained_on == data.fingerprint:
            return ""
        return (
            f"the teacher {self.called} was not squeezed under this --validate: if it was trained on the images of "
            f"{data.name}, it has seen those held out"
        )

    @property
    def size_bytes(self) -> int:
        """Bytes of the weights."""
        return sum(tensor.nbytes for tensor in self.state.values())

    @property
    def normalization(self) -> Normalization:
        """What its images are normalised with."""
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
        fit_state(model, self.state, f"the teacher ({short_name(self.architecture)})")
        order = None if class_names == self.class_names else [self.class_names.index(name) for name in class_names]
        given = None if normalization == self.normalization else normalization
        if order or given:
            model = Adapted(model, order, given, self.normalization)
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
            TEACHER_FILES.write(path, self.facts(), self.state)

    @classmethod
    def load(cls, path: Path) -> Teacher:
        """Read an artifact; its weights when they are used. InputError where the file is missing, damaged, or a bare
        state dict."""
        header, state = TEACHER_FILES.read(path)
        return cls.from_facts(header.model_dump(exclude={"format"}), state)

    @classmethod
    def from_facts(cls, about: Mapping[str, Any], state: dict[str, Tensor]) -> Teacher:
        """From what `facts` gave and the weights by name."""
        sequences = {name: tuple(about[name]) for name in ("class_names", "mean", "std")}
        return cls(state=state, **{**about, **sequences})

    def facts(self) -> dict[str, Any]:
        """All but the weights, JSON-able."""
        return {name: getattr(self, name) for name in _Facts.model_fields if name != "format"}


@dataclass(frozen=True, repr=False)
class Trained(Brief):
    """A network that somebody has trained, given as it is: a teacher once it is known for which data."""

    network: nn.Module
    architecture: str
    """What its builder is called."""

    def teacher(self, data: RealData) -> Teacher:
        """For data of its classes in this order, normalised as the data are: how good it is tells whether that is so."""
        state = {name: tensor.detach().cpu() for name, tensor in self.network.state_dict().items()}
        return Teacher(self.architecture, state, data.class_names, data.mean, data.std, data.image_size)


class Awaited(Teacher):
    """A teacher that is still to be squeezed: what is known of it before, under a fingerprint that stands for its recipe."""

    @cached_property
    def fingerprint(self) -> str:
        return f"awaited {digest(self.recipe)}"


class _Facts(Header):
    """What a teacher's file says beside its weights."""

    architecture: str
    class_names: tuple[str, ...] = Field(min_length=1)
    mean: tuple[FiniteFloat, FiniteFloat, FiniteFloat]
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    image_size: PositiveInt
    recipe: dict[str, Any] = Field(default_factory=dict)
    accuracy: float = float("nan")
    dataset: str = ""
    trained_on: str = ""
    plugin: str = ""


TEACHER_FILES = FileKind(
    "teacher",
    "delt_host.teacher",
    _Facts,
    "{path} holds weights but no class names or normalisation; "
    "make a teacher of it with: delt-host import-teacher {path} --model NAME --dataset NAME",
)


def chance_limit(num_classes: int) -> float:
    """Top-1 in percent under which a teacher is no teacher: chance plus a tenth of the way to perfect."""
    chance = 1 / num_classes
    return 100 * (chance + 0.1 * (1 - chance))


def is_poor(num_classes: int, measured: float) -> bool:
    """Whether a teacher's top-1 in percent is less than half way from chance to perfect."""
    return measured < 50 * (1 + 1 / num_classes)


def check_accuracy(teacher: Teacher, data: RealData, measured: float, advice: str | None = None) -> None:
    """InputError for a teacher near chance on the data it is to describe, with what may be the reason.

    `advice` is its squeezer's, for one that was squeezed on these data: its classes and normalisation are theirs. None: it is
    from elsewhere, and was not trained on these data, or not as it says.
    """
    limit = chance_limit(data.num_classes)
    if measured >= limit:
        return
    if advice is not None:
        why = advice or "training did not work: take another learning rate, more epochs, or another network"
    else:
        why = suspects(teacher, data)
    raise InputError(
        f"the teacher is near chance on {data.name}: top-1 {measured:.1f} % of {len(data.scored)} {data.split} images, "
        f"at least {limit:.1f} % is needed; {why}"
    )


def suspects(teacher: Teacher, data: RealData) -> str:
    """What may be wrong with a teacher from elsewhere that is worse on these data than where it was trained, as a question."""
    order = f"in the order of the classes ({_shown(data.class_names)})"
    if teacher.class_names != data.class_names:
        order = (
            f"in the order of its classes ({_shown(teacher.class_names)}; the dataset's: {_shown(data.class_names)})"
        )
    return (
        f"is it a {short_name(teacher.architecture)} as we build it (stride and max pooling of a stem have no names among the "
        "weights: import-teacher --model ./FILE.py:NAME takes a function that builds another), "
        f"are its outputs {order}, and was it trained with mean {_rounded(teacher.mean)}, std {_rounded(teacher.std)}?"
    )


def _rounded(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:.4g}" for value in values)  # as --mean takes them


def _shown(names: tuple[str, ...], most: int = 20) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")
