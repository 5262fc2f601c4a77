"""How the answers to views are kept, by the names of the tensors that keep them, and how they are read again.

`logits` or `probabilities` (n, C): as they are. `values`, `classes` (n, k) and `rest` (n,): the k largest logits, and the
one that all other classes share. `levels` (n, C) uint8, `low` and `step` (n,): 256 levels between a view's smallest and
largest logit. `soft` (N, C): one label an image, mixed as the pixels are. None of these: the image's class, mixed alike.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from delt_host.components import Batch

PER_VIEW = ("logits", "probabilities", "values", "classes", "rest", "levels", "low", "step")
PER_IMAGE = "soft"


def unpack(stored: Mapping[str, Tensor], classes: int) -> Tensor:
    """The answers (n, C) float32 to n views from the tensors that keep them; ValueError where it is none of the forms."""
    for name in ("logits", "probabilities"):
        if name in stored:
            return stored[name].float()
    if "values" in stored:
        full = stored["rest"].float()[:, None].expand(-1, classes).clone()
        return full.scatter_(1, stored["classes"].long(), stored["values"].float())
    if "levels" in stored:
        levels, low, step = (stored[name].float() for name in ("levels", "low", "step"))
        return low[:, None] + step[:, None] * levels
    raise ValueError(f"none of the tensors {', '.join(stored)} hold answers")


def answers(stored: Mapping[str, Tensor], batch: Batch, first: int, classes: int) -> Tensor:
    """The answers (B, C) to a batch whose views begin at place `first` of the epoch that `stored` keeps."""
    if PER_IMAGE in stored:
        return mixed(batch, stored[PER_IMAGE])
    kept = {name: stored[name][first : first + len(batch.images)] for name in PER_VIEW if name in stored}
    return unpack(kept, classes) if kept else one_hot(batch, classes)


def mixed(batch: Batch, soft: Tensor) -> Tensor:
    """(B, C): the images' labels, out of (N, C), and their partners' by the share of the pixels."""
    own, partner = soft[batch.index].float(), soft[batch.partner].float()
    return _shared(batch, own, partner)


def one_hot(batch: Batch, classes: int) -> Tensor:
    """(B, C): the images' classes and their partners' by the share of the pixels."""
    own, partner = (F.one_hot(each, classes).float() for each in (batch.classes, batch.partner_classes))
    return _shared(batch, own, partner)


def _shared(batch: Batch, own: Tensor, partner: Tensor) -> Tensor:
    share = batch.share[:, None]
    return share * own + (1 - share) * partner


def as_kept(given: Tensor) -> Tensor:
    """float16 where that loses nothing, else as it is."""
    half = given.half()
    return half if torch.equal(half.float(), given.float()) else given
