"""Networks by name: those of plugins, then any classifier of torchvision or timm."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torchvision import models as torchvision_models

from delt_host.basics.errors import InputError, nearest
from delt_host.basics.seeding import isolated_rng
from delt_host.images.normalization import Normalization

Builder = Callable[[int, int], nn.Module]
"""From (number of classes, image size in pixels) to a network from (B, 3, S, S) to (B, classes) logits."""

NEAREST = 3  # names that an error suggests out of more than a thousand


def build_model(name: str, num_classes: int, image_size: int, extra: Mapping[str, Builder] | None = None) -> nn.Module:
    """A freshly initialised network; ``torchvision:NAME`` and ``timm:NAME`` force one library.

    Layers are initialised from torch's global generator: wrap in `isolated_rng`. InputError for an unknown name, with
    the nearest ones, and for a network that cannot take images of this size.
    """
    network = _builder(name, extra or {})(num_classes, image_size)
    _check_forward(network, name, num_classes, image_size)
    return network


def check_model(name: str, extra: Mapping[str, Builder] | None = None) -> None:
    """InputError, with the nearest names, where `build_model` knows no such network."""
    _builder(name, extra or {})


def _builder(name: str, own: Mapping[str, Builder]) -> Builder:
    library, _, plain = name.rpartition(":")
    if not library and plain in own:
        return own[plain]
    if library in ("", "torchvision") and plain in _torchvision_names():
        return functools.partial(_torchvision, plain)
    if library in ("", "timm") and plain in _timm_names():
        return functools.partial(_timm, plain)
    found = nearest(plain, [*own, *_torchvision_names(), *_timm_names()], NEAREST)
    hint = f"; nearest: {', '.join(found)}" if found else ""
    raise InputError(
        f"unknown model {name!r}{hint}; ours are {', '.join(sorted(own))}, any of torchvision or timm, "
        "and those of installed plugins: is one missing?"
    )


def pretrained_model(name: str, weights: str) -> tuple[nn.Module, list[str]]:
    """A network with torchvision's ImageNet-1K weights, e.g. ("resnet18", "IMAGENET1K_V1"), and its outputs' categories."""
    plain, chosen = _weights(name, weights)
    try:
        with isolated_rng(0, "pretrained"):  # building draws weights, which the pretrained ones then replace
            network = torchvision_models.get_model(plain, weights=chosen)
    except (OSError, RuntimeError) as error:
        cache = f"{torch.hub.get_dir()}/checkpoints/{chosen.url.rpartition('/')[2]}"
        raise InputError(f"the weights of {plain} could not be fetched ({error}); put the file at {cache}") from None
    return network, chosen.meta["categories"]


def pretrained_normalization(name: str, weights: str) -> Normalization:
    """What these weights' images are normalised with; nothing is fetched."""
    preset = _weights(name, weights)[1].transforms()
    return Normalization(tuple(preset.mean), tuple(preset.std))


def _weights(name: str, weights: str) -> tuple[str, Any]:
    """torchvision's name of the network, and of its weights."""
    plain = name.removeprefix("torchvision:")
    if plain not in _torchvision_names():
        raise InputError(f"pretrained weights come from torchvision, which has no classifier {plain!r}")
    known = list(torchvision_models.get_model_weights(plain))
    by_name = {entry.name: entry for entry in known}
    chosen = known[-1] if weights == "DEFAULT" else by_name.get(weights)
    if chosen is None:
        raise InputError(f"{plain} has no weights {weights!r} (known: DEFAULT, {', '.join(by_name)})")
    return plain, chosen


@functools.cache
def _torchvision_names() -> frozenset[str]:
    return frozenset(torchvision_models.list_models(module=torchvision_models))


@functools.cache
def _timm_names() -> frozenset[str]:
    import timm  # takes seconds; most runs need none of it

    return frozenset(timm.list_models())


def _torchvision(name: str, num_classes: int, image_size: int) -> nn.Module:
    # Inception and GoogLeNet answer with a tuple while training unless their auxiliary heads are off.
    heads = {"aux_logits": False} if name in ("inception_v3", "googlenet") else {}
    extra = {"init_weights": True} if heads else {}
    network: nn.Module = torchvision_models.get_model(name, weights=None, num_classes=num_classes, **heads, **extra)
    return network


def _timm(name: str, num_classes: int, image_size: int) -> nn.Module:
    import timm

    try:
        network: nn.Module = timm.create_model(name, num_classes=num_classes, img_size=image_size)
    except TypeError:  # convolutional networks take any size and have no such argument
        network = timm.create_model(name, num_classes=num_classes)
    except (AssertionError, RuntimeError, ValueError) as error:
        raise InputError(f"model {name} cannot be built for {image_size} px images: {error}") from None
    return network


def _check_forward(network: nn.Module, name: str, num_classes: int, image_size: int) -> None:
    """Find out now, on two blank images, that a network cannot take this size: not after an hour of squeezing."""
    training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            shape = tuple(network(torch.zeros(2, 3, image_size, image_size)).shape)
    except (RuntimeError, AssertionError, ValueError, AttributeError) as error:
        raise InputError(f"model {name} cannot take {image_size} px images: {_first_line(error)}") from None
    finally:
        network.train(training)
    if shape != (2, num_classes):
        raise InputError(f"model {name} gives {shape} for two images, not (2, {num_classes}): it is no classifier")


def check_trains_on_one(network: nn.Module, name: str, image_size: int) -> None:
    """InputError for a network that cannot be trained on batches of one image, as BatchNorm over maps of 1 x 1 cannot."""
    network.train()
    try:
        with torch.no_grad():
            network(torch.zeros(1, 3, image_size, image_size))
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"model {name} cannot be trained on a batch of one image ({_first_line(error)}): "
            "--set protocol.batch_size=2 or more, or a higher --ipc"
        ) from None


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
