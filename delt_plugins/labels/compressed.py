"""Relabelers that take less room than FKD: fewer epochs of labels, fewer classes a label, fewer bits a logit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from delt_host import InputError
from delt_plugins.labels.packing import unpack
from delt_plugins.labels.relabelers import Fkd


class Pruned(Fkd):
    """FKD with labels for a share of the epochs, which students reuse in turn."""

    source: ClassVar[str] = (
        "after Xiao and He, NeurIPS 2024, arXiv 2410.15919 (label pruning), whole epochs instead of batches"
    )

    keep: float = Field(0.1, gt=0, le=1)
    """The share of the epochs that have labels of their own; at least one."""

    def epochs(self, epochs: int) -> int:
        return max(round(self.keep * epochs), 1)


class TopK(Fkd):
    """FKD with the k largest logits of each view; all other classes get the one logit that keeps their total mass."""

    source: ClassVar[str] = "this project; label sizes as in LPLD and RDED's discussions"

    k: int = Field(5, ge=1)
    """How many classes have a logit of their own."""

    def label_bytes(self, classes: int) -> int:
        if self.k >= classes:
            raise InputError(f"relabeler top-k: k = {self.k} must be below the {classes} classes")
        return self.k * (2 + class_index(classes).itemsize) + 2

    def pack(self, answers: Tensor) -> dict[str, Tensor]:
        values, classes = answers.topk(self.k, dim=1)
        others = answers.scatter(1, classes, -torch.inf).logsumexp(dim=1)
        rest = others - torch.tensor(float(answers.shape[1] - self.k)).log()
        return {"values": values.half(), "classes": classes.to(class_index(answers.shape[1])), "rest": rest.half()}

    def unpack(self, stored: Mapping[str, Tensor], classes: int) -> Tensor:
        return unpack(stored, classes)


def class_index(classes: int) -> torch.dtype:
    """The smallest type that names a class."""
    return torch.uint8 if classes <= 256 else torch.int16


class EightBit(Fkd):
    """FKD with each view's logits as 256 levels between its smallest and its largest."""

    source: ClassVar[str] = "this project; uniform quantisation of each view's logits"

    def label_bytes(self, classes: int) -> int:
        return classes + 4

    def pack(self, answers: Tensor) -> dict[str, Tensor]:
        low = answers.amin(dim=1).half()
        step = ((answers.amax(dim=1) - low.float()) / 255).clamp_min(1e-4).half()
        levels = ((answers - low.float()[:, None]) / step.float()[:, None]).round().clamp(0, 255)
        return {"levels": levels.to(torch.uint8), "low": low, "step": step}

    def unpack(self, stored: Mapping[str, Tensor], classes: int) -> Tensor:
        return unpack(stored, classes)
