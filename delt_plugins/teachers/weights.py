"""Which of a file's tensors are a network's weights: those that have all of its names, wherever in the file they lie.

Trainers put much beside them, under names of their own: an optimiser's state, averaged copies, counters, a criterion, a student
and its teacher. None of these names has to be known where the network's are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from delt_host import InputError
from delt_host.workshop import plain
from delt_plugins.teachers.checkpoint import Contents, Place

AVERAGED = re.compile(r"(^|[._-])(ema|swa|avg|averaged?|shadow)([._-]|$)", re.IGNORECASE)
COUNTERS = ("total_ops", "total_params")
"""What thop's profiler leaves in every module."""
AVERAGES = "n_averaged"
"""torch's count of what an AveragedModel has seen."""
OPTIONAL = "num_batches_tracked"
"""Missing in older files; nothing here reads it."""
SHOWN = 4
LONGEST = 100  # characters of a name


Shapes = Mapping[str, torch.Size]
"""Of a network's tensors, by its names."""


@dataclass(frozen=True)
class Weights:
    """A network's weights out of a file."""

    state: dict[str, Tensor]
    """By name: the network's names, or what comes nearest."""
    notes: tuple[str, ...] = ()
    others: str = ""
    """What else it may be, as the end of a sentence, where nothing in the file has the network's names."""


@dataclass(frozen=True)
class Part:
    """Tensors of one dictionary that may be a network's weights."""

    called: str
    """What `--prefix` takes: keys of dictionaries, and what the names begin with."""
    state: dict[str, Tensor]
    """By their names behind that."""
    fits: bool = False
    """Whether it has the network's shapes, too."""
    left_out: tuple[str, ...] = ()
    """The other keys of the dictionary."""
    counted: bool = False
    """Whether torch's count of an average lies beside it."""

    @property
    def averaged(self) -> bool:
        return self.counted or any(AVERAGED.search(part) for part in self.called.split("."))

    @property
    def shown(self) -> str:
        return plain(self.called)[:LONGEST] or "no prefix"


def weights_in(
    contents: Contents, shapes: Shapes, source: str, prefix: str = "", averaged: bool | None = None
) -> Weights:
    """The weights of a network with these names and shapes.

    `prefix` says which, where there are several. `averaged` asks for the averaged copy (EMA, SWA) of a file that has one,
    or not for it; None: for it where there is one, as timm's and torchvision's trainers report its accuracy.

    InputError where the file holds several networks that fit, or none that was asked for. Where nothing has the network's
    names: what comes nearest.
    """
    groups = _groups(contents, source)
    named = [part for place, group in groups.items() for part in _named(place, group, shapes)]
    named = [part for part in named if part.fits] or named
    likely = _likely(groups, len(shapes))
    parts = (_under(prefix, named) or _under(prefix, likely)) if prefix else named or likely
    listed = ", ".join(f"{part.shown} ({_counted(part.state)})" for part in (named or likely)[:SHOWN])
    if not parts:
        raise InputError(f"the checkpoint {source} has no weights under {prefix}; it holds {listed}")
    copies, plain_ones = [part for part in parts if part.averaged], [part for part in parts if not part.averaged]
    if averaged and not copies:
        raise InputError(f"the checkpoint {source} has no averaged copy of the weights; it holds {listed}")
    if averaged is False and not plain_ones:
        raise InputError(
            f"the checkpoint {source} has only an averaged copy of the weights, {copies[0].shown}; leave --no-ema out"
        )
    kept, left = (plain_ones, copies) if plain_ones and (averaged is False or not copies) else (copies, plain_ones)
    chosen, fits = kept[0], kept[0] in named
    differ = [part for part in kept[1:] if not _same(part.state, chosen.state)] if fits else []
    if differ:
        which = f"say which with --prefix {chosen.shown}"
        raise InputError(f"the checkpoint {source} holds {1 + len(differ)} networks that fit: {listed}; {which}")
    if not fits:
        _refuse_odd(contents.odd, source, chosen.called)
    others = f"; it holds {listed}, and --prefix takes one" if not fits and len(likely) > 1 else ""
    return Weights(chosen.state, (*_about(chosen, left), *contents.notes()), others)


def _groups(contents: Contents, source: str) -> dict[Place, dict[str, Tensor]]:
    """The dictionaries that tensors lie in, by place. InputError where there are none."""
    groups: dict[Place, dict[str, Tensor]] = {}
    for place, tensor in contents.tensors.items():
        if place:
            groups.setdefault(place[:-1], {})[place[-1]] = tensor
    if not groups:
        _refuse_odd(contents.odd, source)
        names = ", ".join(plain(name)[:LONGEST] for name in contents.passed_over[:SHOWN])
        held = f", but {names}" if names else ""
        raise InputError(
            f"the checkpoint {source} holds no tensors by name{held}; give one of torch.save(model.state_dict(), FILE)"
        )
    return groups


def _named(place: Place, group: dict[str, Tensor], shapes: Shapes) -> list[Part]:
    """Under each prefix that makes one of the network's names of a key: the weights, where all names are there."""
    needed = [name for name in shapes if not name.endswith(OPTIONAL)]
    one = max(needed, key=len)
    modules = {name.partition(".")[0] for name in shapes}
    found = []
    for prefix in [key.removesuffix(one) for key in group if key.endswith(one)]:
        if prefix[-1:] not in ("", ".") or not all(prefix + name in group for name in needed):
            continue
        under = {key.removeprefix(prefix): each for key, each in group.items() if key.startswith(prefix)}
        more = [name for name in under if name not in shapes and name.rpartition(".")[2] not in COUNTERS]
        if any(name.partition(".")[0] in modules and not name.endswith(OPTIONAL) for name in more):
            continue  # a deeper network has all names of a shallower one
        state = {name: each for name, each in under.items() if name in shapes}
        others = [key for key in group if not key.startswith(prefix) and not _is_count(key)]
        fits = all(state[name].shape == shapes[name] for name in state)
        found.append(Part(_called(place, prefix), state, fits, (*more, *others), _is_averaged(group, prefix)))
    return found


def _likely(groups: dict[Place, dict[str, Tensor]], wanted: int) -> list[Part]:
    """What may be weights under other names than the network's `wanted`, largest first: a dictionary without what all its
    names begin with, or the parts of one that begin alike and have most of as many tensors each."""
    parts = []
    for place, group in groups.items():
        kept = {name: each for name, each in group.items() if name.rpartition(".")[2] not in (*COUNTERS, AVERAGES)}
        begins = Counter(name.partition(".")[0] for name in kept if "." in name)
        large = [f"{begin}." for begin, count in begins.items() if 4 * count >= 3 * wanted]
        for prefix in large if len(large) > 1 else [""]:
            state = {name.removeprefix(prefix): each for name, each in kept.items() if name.startswith(prefix)}
            while len({name.partition(".")[0] for name in state}) == 1 and all("." in name for name in state):
                prefix = f"{prefix}{next(iter(state)).partition('.')[0]}."
                state = {name.partition(".")[2]: each for name, each in state.items()}
            parts.append(Part(_called(place, prefix), state, counted=_is_averaged(group, prefix)))
    parts.sort(key=lambda part: -len(part.state))
    return [part for part in parts if 2 * len(part.state) >= len(parts[0].state)]


def _is_count(key: str) -> bool:
    return key.rpartition(".")[2] == AVERAGES


def _is_averaged(group: Mapping[str, Tensor], prefix: str) -> bool:
    """Whether what begins so lies in an AveragedModel, which has the count beside `module.`."""
    return any(prefix.startswith(f"{key.removesuffix(AVERAGES)}module.") for key in group if _is_count(key))


def _same(state: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return state.keys() == other.keys() and all(
        each.dtype == other[name].dtype and torch.equal(each, other[name]) for name, each in state.items()
    )


def _called(place: Place, prefix: str) -> str:
    return ".".join(filter(None, (*place, prefix)))


def _under(prefix: str, parts: list[Part]) -> list[Part]:
    """Those that are called so, or else those whose names end so."""
    asked = prefix.rstrip(".")
    exact = [part for part in parts if part.called.rstrip(".") == asked]
    return exact or [part for part in parts if part.called.rstrip(".").endswith(f".{asked}")]


def _about(chosen: Part, left: list[Part]) -> list[str]:
    """What of the file was taken, where that is not plain."""
    notes = []
    if left:
        taken, other, option = "the averaged copy", "the plain weights", "--no-ema"
        if not chosen.averaged:
            taken, other, option = "the plain weights", "an averaged copy", "--ema"
        notes.append(f"took {taken}, {chosen.shown}; {option} takes {other}, {left[0].shown}")
    tops = Counter(f"{top}." if rest else top for top, _, rest in (name.partition(".") for name in chosen.left_out))
    if tops:
        names = ", ".join(f"{plain(name)[:LONGEST]} ({count})" for name, count in tops.most_common(SHOWN))
        notes.append(f"left out what is not the network's: {names}")
    return notes


def _counted(tensors: Mapping[str, Tensor]) -> str:
    return f"{len(tensors)} tensor{'s' * (len(tensors) != 1)}"


def _refuse_odd(odd: Mapping[Place, str], source: str, called: str = "") -> None:
    """InputError for the first tensor there that cannot be read."""
    for place, why in odd.items():
        if (name := ".".join(place)).startswith(called):
            tensor = f"its tensor {plain(name)[:LONGEST]!r}" if name else "its tensor"
            raise InputError(f"the checkpoint {source}: {tensor} {why}; weights must be plain, dense numbers")
