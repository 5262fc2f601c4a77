"""How answers to views are kept, by the names of the tensors that keep them, and how they are read again.

`logits` or `probabilities` (n, C): as they are. `values`, `classes` (n, k) and `rest` (n,): the k largest logits, and the
one that all other classes share. `levels` (n, C) uint8, `low` and `step` (n,): 256 levels between a view's smallest and
largest logit.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

KEPT = ("logits", "probabilities", "values", "classes", "rest", "levels", "low", "step")


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
