"""Checkpoints of published networks, whose tensors have other names than those of the same networks here.

A family of names is a list of rules, each from the module that a tensor is in to the module here, read in its authors' code.
What the rules make of a checkpoint is taken only where it is the network's to the last name and shape. Nothing is matched by
order or by shape alone: RDED's ConvNets keep convolutions and norms in two lists, so that their order is another than that of
the layers, and equal shapes that change places are a network that runs and is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from delt_host import Builder, InputError
from delt_host.workshop import check_state, shapes_of

State = Mapping[str, Tensor]
Shapes = Mapping[str, torch.Size]


@dataclass(frozen=True)
class Family:
    """How the authors of some networks call the modules of ours."""

    of: str
    rules: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]
    """A pattern of a module's whole name, and its name here; the first that matches. Others keep theirs."""

    def read(self, state: State) -> dict[str, Tensor]:
        """The same tensors by our names."""
        renamed = {}
        for key, tensor in state.items():
            module, dot, name = key.rpartition(".")
            matches = ((re.fullmatch(pattern, module), ours) for pattern, ours in self.rules)
            match, ours = next(((match, ours) for match, ours in matches if match), (None, ""))
            if match:
                module = match.expand(ours) if isinstance(ours, str) else ours(match)
            renamed[module + dot + name] = tensor
        return renamed


LAYERS = 4  # of a ConvNet's block: convolution, norm, ReLU, pooling
GROUP = 2  # blocks of one width in WRN-16
RIGHT = ((0, 3, 5), (1, 4, 6))  # places of the convolutions and of the norms in a ShuffleNet block's right branch


def _shuffle_down(match: re.Match[str]) -> str:
    """A halving block counts the two of its left branch, which come at once one after the other, before the right's three."""
    norm, nth = match[2] == "bn", int(match[3]) - 1
    inside = f"branch1.{2 * nth + norm}" if nth < 2 else f"branch2.{RIGHT[norm][nth - 2]}"
    return f"stage{int(match[1]) + 1}.0.{inside}"


def _shuffle(match: re.Match[str]) -> str:
    place = RIGHT[match[3] == "bn"][int(match[4]) - 1]
    return f"stage{int(match[1]) + 1}.{match[2]}.branch2.{place}"


FAMILIES = (
    Family(
        "RDED's and DELT's ConvNets",
        (
            (r"layers\.conv\.(\d+)", lambda match: f"features.{LAYERS * int(match[1])}"),
            (r"layers\.norm\.(\d+)", lambda match: f"features.{LAYERS * int(match[1]) + 1}"),
        ),
    ),
    Family(
        "ResNets as in kuangliu's pytorch-cifar, G-VBSM's and EDC's",
        ((r"(layer\d\.\d+)\.shortcut\.(\d)", r"\1.downsample.\2"), (r"linear", "fc")),
    ),
    Family(
        "ResNets as in weiaicunzai's pytorch-cifar100",
        (
            (r"conv1\.0", "conv1"),
            (r"conv1\.1", "bn1"),
            (
                r"conv(\d)_x\.(\d+)\.residual_function\.(\d)",
                lambda match: (
                    f"layer{int(match[1]) - 1}.{match[2]}.{('conv', 'bn')[int(match[3]) % 3]}{int(match[3]) // 3 + 1}"
                ),
            ),
            (
                r"conv(\d)_x\.(\d+)\.shortcut\.(\d)",
                lambda match: f"layer{int(match[1]) - 1}.{match[2]}.downsample.{match[3]}",
            ),
        ),
    ),
    Family(
        "the Wide ResNets of G-VBSM and EDC",
        (
            (
                r"block(\d)\.layer\.(\d)\.(\w+\d)",
                lambda match: f"blocks.{GROUP * (int(match[1]) - 1) + int(match[2])}.{match[3]}",
            ),
            (
                r"block(\d)\.layer\.(\d)\.convShortcut",
                lambda match: f"blocks.{GROUP * (int(match[1]) - 1) + int(match[2])}.shortcut",
            ),
            (r"conv1", "stem"),
            (r"bn1", "norm"),
            (r"fc", "classifier"),
        ),
    ),
    Family(
        "G-VBSM's and EDC's ShuffleNet-V2",
        (
            (r"layer(\d)\.0\.(conv|bn)(\d)", _shuffle_down),
            (r"layer(\d)\.(\d)\.(conv|bn)(\d)", _shuffle),
            (r"conv1", "conv1.0"),
            (r"bn1", "conv1.1"),
            (r"conv2", "conv5.0"),
            (r"bn2", "conv5.1"),
            (r"linear", "fc"),
        ),
    ),
    Family(
        "DELT's MobileNet-V2, as in weiaicunzai's pytorch-cifar100",
        (
            (r"pre\.(\d)", r"conv1.\1"),
            (r"stage([17])\.residual\.(\d)", lambda match: f"blocks.{int(match[1]) - 1}.0.conv.{match[2]}"),
            (
                r"stage(\d)\.(\d)\.residual\.(\d)",
                lambda match: f"blocks.{int(match[1]) - 1}.{match[2]}.conv.{match[3]}",
            ),
            (r"conv1\.(\d)", r"conv2.\1"),
            (r"conv2", "classifier.1"),
        ),
    ),
)


def as_ours(
    state: State, architecture: str, num_classes: int, image_size: int, models: Mapping[str, Builder], source: str
) -> tuple[dict[str, Tensor], str]:
    """The weights of `architecture` by its names, and whose names they were read by, as a note; empty where by ours.

    `state` are a checkpoint's, from `source`, without prefixes. InputError where they are not that network's under any names
    that are known, with the names of other networks that they are.
    """
    shapes = shapes_of(architecture, num_classes, image_size, models)
    for whose, read in _readings(state):
        if _fits(shapes, read):
            return read, f"read by the names of {whose}" if whose else ""
    others = _fitting(state, architecture.rpartition(":")[2], num_classes, image_size, models)
    advice = {"advice": f"they fit --model {' or '.join(others)}"} if others else {}
    whose, nearest = max(_readings(state), key=lambda reading: len(shapes.keys() & reading[1].keys()))
    check_state(shapes, nearest, f"{source} (by the names of {whose})" if whose else source, **advice)
    raise AssertionError("weights that fit were refused")


def _readings(state: State) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """The tensors by their own names, and by each family's that changes some and lets no two fall on one."""
    yield "", dict(state)
    for family in FAMILIES:
        read = family.read(state)
        if len(read) == len(state) and read.keys() != state.keys():
            yield family.of, read


def _fits(shapes: Shapes, state: State) -> bool:
    with suppress(InputError):
        check_state(shapes, state, "")
        return True
    return False


def _fitting(
    state: State, architecture: str, num_classes: int, image_size: int, models: Mapping[str, Builder]
) -> Sequence[str]:
    """Other networks whose weights these are: ours, plugins', and torchvision's and timm's of the same name."""
    found = []
    for name in (*models, f"torchvision:{architecture}", f"timm:{architecture}"):
        with suppress(Exception):  # not of this image size or library, or a plugin's that fails in some way
            shapes = shapes_of(name, num_classes, image_size, models)
            if any(_fits(shapes, read) for _, read in _readings(state)):
                found.append(name)
    return found
