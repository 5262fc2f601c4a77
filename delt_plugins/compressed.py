"""Relabelers that take less room than FKD: fewer epochs of labels, fewer classes a label, fewer bits a logit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from delt_host import Distilled, InputError, Labels, Problem, Relabeler, hookimpl
from delt_plugins.labels import Fkd, StoredLabels


class Reused(StoredLabels):
    """Fewer epochs than students train: they are gone through again and again."""

    def __init__(self, problem: Problem, distilled: Distilled, stored: Mapping[str, Tensor]) -> None:
        super().__init__(problem, distilled, stored)
        self.kept = len(next(iter(self.stored.values())))

    def epoch(self, number: int):  # type: ignore[no-untyped-def]
        return super().epoch(number % self.kept)


class Pruned(Fkd):
    """FKD with labels for a share of the epochs, which students reuse in turn."""

    source: ClassVar[str] = (
        "after Xiao and He, NeurIPS 2024, arXiv 2410.15919 (label pruning), whole epochs instead of batches"
    )

    keep: float = Field(0.1, gt=0, le=1)
    """The share of the epochs that have labels of their own; at least one."""

    def kept(self, problem: Problem) -> int:
        return max(round(self.keep * problem.protocol.epochs), 1)

    def _fewer(self, problem: Problem) -> Problem:
        return problem.under(problem.protocol.model_copy(update={"epochs": self.kept(problem)}))

    def size_bytes(self, problem: Problem) -> int:
        return super().size_bytes(self._fewer(problem))

    def relabel(self, problem: Problem, distilled: Distilled) -> Labels:
        return Reused(problem, distilled, super().relabel(self._fewer(problem), distilled).tensors())

    def restore(self, problem: Problem, distilled: Distilled, tensors: Mapping[str, Tensor]) -> Labels:
        return Reused(problem, distilled, tensors)


class TopKLabels(StoredLabels):
    """The k largest logits of each view with their classes, and what the others have in common."""

    answers: ClassVar[tuple[str, ...]] = ("values", "classes", "rest")

    def logits(self, number: int) -> Tensor:
        values, classes, rest = (self.stored[name][number] for name in self.answers)
        full = rest.float()[:, None].expand(-1, self.problem.num_classes).clone()
        return full.scatter_(1, classes.long(), values.float())


class TopK(Fkd):
    """FKD with the k largest logits of each view; all other classes get the one logit that keeps their total mass."""

    source: ClassVar[str] = "this project; label sizes as in LPLD and RDED's discussions"

    k: int = Field(5, ge=1)
    """How many classes have a logit of their own."""

    def _layout(self, problem: Problem) -> tuple[int, torch.dtype]:
        if self.k >= problem.num_classes:
            raise InputError(f"relabeler top-k: k = {self.k} must be below the {problem.num_classes} classes")
        return self.k, torch.uint8 if problem.num_classes <= 256 else torch.int16

    def size_bytes(self, problem: Problem) -> int:
        k, index = self._layout(problem)
        saved = 2 * problem.num_classes - k * (2 + index.itemsize) - 2
        return super().size_bytes(problem) - problem.protocol.epochs * problem.num_images * saved

    def relabel(self, problem: Problem, distilled: Distilled) -> Labels:
        k, index = self._layout(problem)
        stored = super().relabel(problem, distilled).tensors()
        logits = stored.pop("logits").float()
        values, classes = logits.topk(k, dim=2)
        others = logits.scatter(2, classes, -torch.inf).logsumexp(dim=2)
        rest = others - torch.tensor(float(problem.num_classes - k)).log()
        stored |= {"values": values.half(), "classes": classes.to(index), "rest": rest.half()}
        return TopKLabels(problem, distilled, stored)

    def restore(self, problem: Problem, distilled: Distilled, tensors: Mapping[str, Tensor]) -> Labels:
        return TopKLabels(problem, distilled, tensors)


class EightBitLabels(StoredLabels):
    """Each view's logits as 256 levels between its smallest and its largest."""

    answers: ClassVar[tuple[str, ...]] = ("levels", "low", "step")

    def logits(self, number: int) -> Tensor:
        levels, low, step = (self.stored[name][number].float() for name in self.answers)
        return low[:, None] + step[:, None] * levels


class EightBit(Fkd):
    """FKD with logits of eight bits."""

    source: ClassVar[str] = "this project; uniform quantisation of each view's logits"

    def size_bytes(self, problem: Problem) -> int:
        saved = problem.num_classes - 4
        return super().size_bytes(problem) - problem.protocol.epochs * problem.num_images * saved

    def relabel(self, problem: Problem, distilled: Distilled) -> Labels:
        stored = super().relabel(problem, distilled).tensors()
        logits = stored.pop("logits").float()
        low = logits.amin(dim=2).half()
        step = ((logits.amax(dim=2) - low.float()) / 255).clamp_min(1e-4).half()
        levels = ((logits - low.float()[..., None]) / step.float()[..., None]).round().clamp(0, 255)
        return EightBitLabels(problem, distilled, stored | {"levels": levels.to(torch.uint8), "low": low, "step": step})

    def restore(self, problem: Problem, distilled: Distilled, tensors: Mapping[str, Tensor]) -> Labels:
        return EightBitLabels(problem, distilled, tensors)


@hookimpl
def delt_relabelers() -> dict[str, type[Relabeler]]:
    return {"pruned": Pruned, "top-k": TopK, "eight-bit": EightBit}
