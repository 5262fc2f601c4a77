"""Trained weights in a network of ours: fitted with an error that helps, and put before other images and class orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from delt_host.basics.errors import InputError
from delt_host.images.normalization import Normalization

SHOWN_KEYS = 3  # keys of each kind in an error
SUSPECTS = "is it another architecture, another number of classes, or a stem for another image size?"


def fit_state(model: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Load the weights strictly; InputError as of `check_state`."""
    own = model.state_dict()
    check_state({name: tensor.shape for name, tensor in own.items()}, state, source)
    model.load_state_dict({**own, **state})


def check_state(
    shapes: Mapping[str, torch.Size], state: Mapping[str, Tensor], source: str, advice: str = SUSPECTS
) -> None:
    """InputError, which names missing, unexpected and misshapen keys and ends with `advice`, unless the weights are those of a
    network of these shapes. Only BatchNorm's batch counters, which nothing here reads, may be missing: SRe2L's and older files
    lack them."""
    wrong = {
        "missing": [name for name in shapes if name not in state and not name.endswith("num_batches_tracked")],
        "unexpected": [name for name in state if name not in shapes],
        "of another shape": [
            f"{name} {tuple(state[name].shape)} for {tuple(shape)}"
            for name, shape in shapes.items()
            if name in state and state[name].shape != shape
        ],
    }
    problems = [
        f"{kind} {', '.join(names[:SHOWN_KEYS])}{', …' if len(names) > SHOWN_KEYS else ''}"
        for kind, names in wrong.items()
        if names
    ]
    if problems:
        raise InputError(f"the weights of {source} do not fit the network: {'; '.join(problems)}; {advice}")


class Adapted(nn.Module):
    """A classifier with its outputs in another order, or given images in another normalised space than its own."""

    def __init__(
        self, model: nn.Module, order: Sequence[int] | None, given: Normalization | None, trained: Normalization
    ) -> None:
        """`order` (C,) is the place of each class among the network's own outputs; `given`, how images come."""
        super().__init__()
        self.model = model
        self.order: Tensor | None
        self.scale: Tensor | None
        self.offset: Tensor
        self.register_buffer("order", None if order is None else torch.tensor(order))
        (mean, std), (own_mean, own_std) = (
            (torch.tensor(n.mean), torch.tensor(n.std)) for n in (given or trained, trained)
        )
        self.register_buffer("scale", None if given is None else (std / own_std).view(1, 3, 1, 1))
        self.register_buffer("offset", ((mean - own_mean) / own_std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images if self.scale is None else images * self.scale + self.offset)
        return logits if self.order is None else logits.index_select(1, self.order)
