"""Networks by name: those of plugins, then any classifier of torchvision or timm."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import nn
from torchvision import models as torchvision_models

from delt_host.basics.errors import InputError, nearest
from delt_host.basics.file_words import short_name
from delt_host.basics.seeding import isolated_rng
from delt_host.images.normalization import Normalization

Builder = Callable[[int, int], nn.Module]
"""From (number of classes, image size in pixels) to a network from (B, 3, S, S) to (B, classes) logits."""

NEAREST = 3  # names that an error suggests out of more than a thousand


def build_model(name: str, num_classes: int, image_size: int, extra: Mapping[str, Builder] | None = None) -> nn.Module:
    """A freshly initialised network; ``torchvision:NAME`` and ``timm:NAME`` force one library.

    Layers are initialised from torch's global generator: wrap in `isolated_rng`. InputError for an unknown name, with
    the one whose docstring says, in backquotes, that others call it so, or else the nearest ones; and for a network that
    cannot take images of this size.
    """
    network = _builder(name, extra or {})(num_classes, image_size)
    _check_forward(network, short_name(name), num_classes, image_size)
    return network


def unchecked_model(name: str, num_classes: int, image_size: int, extra: Mapping[str, Builder]) -> nn.Module:
    """The same network, of which it is known that it takes the images."""
    return _builder(name, extra)(num_classes, image_size)


def check_built(
    name: str, num_classes: int, image_size: int, extra: Mapping[str, Builder], on_one: bool = False
) -> nn.Module:
    """The network, to be looked at alone. InputError where `build_model` gives it, and with `on_one` where it cannot be
    trained on batches of one image.

    Where it can be built and asked on torch's device `meta`, no weight is drawn and nothing is computed.
    """

    def check(network: nn.Module) -> nn.Module:
        _check_forward(network, short_name(name), num_classes, image_size)
        if on_one:
            check_trains_on_one(network, name, image_size)
        return network

    build = _builder(name, extra)
    with isolated_rng(0, "check"):
        with suppress(Exception), torch.device("meta"):  # what goes wrong here alone is no fault
            return check(build(num_classes, image_size))
        return check(build(num_classes, image_size))


def check_model(name: str, extra: Mapping[str, Builder] | None = None) -> None:
    """InputError, with the nearest names, where `build_model` knows no such network."""
    _builder(name, extra or {})


def library_of(name: str, own: Mapping[str, Builder]) -> str:
    """Where `build_model` takes a network from: `torchvision`, `timm`, or, empty, those of plugins. InputError as there."""
    if name in own:
        return ""
    library, _, plain = name.rpartition(":")
    for each, known in LIBRARIES.items():
        if library in ("", each) and plain in known():
            return each
    raise _unknown(name, own)


def library_names(library: str) -> list[str]:
    """All classifiers of `torchvision` or `timm`, sorted."""
    return sorted(LIBRARIES[library]())


def size_of(name: str, num_classes: int, image_size: int, own: Mapping[str, Builder]) -> int:
    """How many parameters a network has. Nothing is allocated for them where it can be built on torch's device `meta`."""
    return sum(parameter.numel() for parameter in outline(name, num_classes, image_size, own).parameters())


def shapes_of(name: str, num_classes: int, image_size: int, own: Mapping[str, Builder]) -> dict[str, torch.Size]:
    """The shape of each tensor of a network's state dict by its name, in order; allocated as for `size_of`."""
    state = outline(name, num_classes, image_size, own).state_dict()
    return {key: tensor.shape for key, tensor in state.items()}


def outline(name: str, num_classes: int, image_size: int, own: Mapping[str, Builder]) -> nn.Module:
    """The network without its weights, on torch's device `meta`; with some where it cannot be built there."""
    build = _builder(name, own)
    with isolated_rng(0, "size"):
        try:
            with torch.device("meta"):
                return build(num_classes, image_size)
        except (RuntimeError, NotImplementedError):  # it looks at values of its tensors
            return build(num_classes, image_size)


def about_library(name: str, own: Mapping[str, Builder]) -> str:
    """The docstring of a network of torchvision's or timm's."""
    plain = name.rpartition(":")[2]
    if library_of(name, own) == "torchvision":
        return inspect.getdoc(torchvision_models.get_model_builder(plain)) or ""
    import timm

    return inspect.getdoc(timm.model_entrypoint(plain)) or ""


def _builder(name: str, own: Mapping[str, Builder]) -> Builder:
    plain = name.rpartition(":")[2]
    builders: dict[str, Callable[..., nn.Module]] = {"torchvision": _torchvision, "timm": _timm}
    library = library_of(name, own)
    return functools.partial(builders[library], plain) if library else own[name]


def _unknown(name: str, own: Mapping[str, Builder]) -> InputError:
    if called := [each for each, builder in own.items() if f"`{name}`" in (inspect.getdoc(builder) or "")]:
        return InputError(f"unknown model {name!r}: it is {' or '.join(called)} here")
    found = nearest(name.rpartition(":")[2], [*own, *_torchvision_names(), *_timm_names()], NEAREST)
    hint = f"; nearest: {', '.join(found)}" if found else ""
    return InputError(
        f"unknown model {name!r}{hint}; ours are {', '.join(sorted(own))}, any of torchvision or timm, "
        "and those of installed plugins: is one missing?"
    )


def pretrained_model(name: str, weights: str) -> tuple[nn.Module, list[str]]:
    """A network with torchvision's ImageNet-1K weights, e.g. ("resnet18", "IMAGENET1K_V1"), and its outputs' categories.

    InputError for a network or weights that torchvision does not have, and for weights that cannot be fetched.
    """
    plain, chosen = _weights(name, weights)
    try:
        with isolated_rng(0, "pretrained"):  # building draws weights, which the pretrained ones then replace
            network = torchvision_models.get_model(plain, weights=chosen)
    except (OSError, RuntimeError) as error:
        cache = f"{torch.hub.get_dir()}/checkpoints/{chosen.url.rpartition('/')[2]}"
        raise InputError(f"the weights of {plain} could not be fetched ({error}); put the file at {cache}") from None
    return network, chosen.meta["categories"]


def pretrained_normalization(name: str, weights: str) -> Normalization:
    """What these weights' images are normalised with; nothing is fetched. InputError as for `pretrained_model`."""
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


LIBRARIES = {"torchvision": _torchvision_names, "timm": _timm_names}
"""The libraries whose classifiers go by their names, the first before the later ones, and these names."""


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
    if not isinstance(network, nn.Module):
        raise InputError(f"model {name} makes a {type(network).__name__}, not a torch.nn.Module")
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
            f"model {short_name(name)} cannot be trained on a batch of one image ({_first_line(error)}): "
            "--set protocol.batch_size=2 or more, or a higher --ipc"
        ) from None


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
