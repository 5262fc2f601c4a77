"""Relabelers: where the labels of augmented views come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from delt_host import Distilled, LabelledViews, Labels, Problem, Relabeler, hookimpl
from delt_host.replay import draw_epoch, replay_epoch


class StoredLabels(Labels):
    """Views and the teacher's logits of every epoch, as tensors whose first dimension is the epoch."""

    kind: Literal["logits", "probabilities"] = "logits"
    answers: ClassVar[tuple[str, ...]] = ("logits",)
    """The tensors that are not views."""

    def __init__(self, problem: Problem, distilled: Distilled, stored: Mapping[str, Tensor]) -> None:
        self.problem, self.distilled, self.stored = problem, distilled, dict(stored)
        self.size_bytes = sum(t.numel() * t.element_size() for t in self.stored.values())

    def epoch(self, number: int) -> Iterator[LabelledViews]:
        views = {name: tensor[number] for name, tensor in self.stored.items() if name not in self.answers}
        logits = self.logits(number)
        position = 0
        for batch in replay_epoch(self.problem, self.distilled, views):
            count = len(batch.images)
            yield LabelledViews(batch.images, logits[position : position + count], batch.targets)
            position += count

    def logits(self, number: int) -> Tensor:
        """The labels (N, C) float32 of the views of an epoch, in their order."""
        return self.stored["logits"][number].float()

    def tensors(self) -> dict[str, Tensor]:
        return self.stored


class Fkd(Relabeler):
    """Fast knowledge distillation: the teacher labels every view once, in float16, and the views are stored with them."""

    source: ClassVar[str] = "SRe2L, section 3.3, after Shen and Xing, ECCV 2022 (FKD)"

    def relabel(self, problem: Problem, distilled: Distilled) -> Labels:
        epochs = []
        for number in range(problem.protocol.epochs):
            views = draw_epoch(problem, number, len(distilled.targets))
            batches = [batch.images for batch in replay_epoch(problem, distilled, views)]
            # The images an epoch holds fit in memory, so the teacher's batch need not be the student's small one.
            views["logits"] = self.answers(problem, torch.cat(batches)).half()
            epochs.append(views)
            problem.advance(1)
        stored = {name: torch.stack([views[name] for views in epochs]) for name in epochs[0]}
        return StoredLabels(problem, distilled, stored)

    def answers(self, problem: Problem, views: Tensor) -> Tensor:
        """The logits (N, C) that views are labelled with."""
        return problem.teacher_logits(views)

    def size_bytes(self, problem: Problem) -> int:
        epoch = draw_epoch(problem, 0, problem.num_images)
        views = sum(tensor.numel() * tensor.element_size() for tensor in epoch.values())
        return problem.protocol.epochs * (views + 2 * problem.num_images * problem.num_classes)

    def restore(self, problem: Problem, distilled: Distilled, tensors: Mapping[str, Tensor]) -> Labels:
        return StoredLabels(problem, distilled, tensors)


class OnlineLabels(Labels):
    """The teacher labels each view when the student asks for it."""

    kind: Literal["logits", "probabilities"] = "logits"

    def __init__(self, problem: Problem, distilled: Distilled, train_mode: bool) -> None:
        self.problem, self.distilled = problem, distilled
        self.size_bytes = sum(teacher.size_bytes for teacher in problem.teachers)  # students need it at hand
        # In train mode the teacher's statistics drift with every batch: a network of its own, not the shared one.
        self.drifting = (
            problem.teacher.network(problem.class_names, problem.compute, problem.models).train()
            if train_mode
            else None
        )

    def epoch(self, number: int) -> Iterator[LabelledViews]:
        for batch in replay_epoch(
            self.problem, self.distilled, draw_epoch(self.problem, number, len(self.distilled.targets))
        ):
            if self.drifting is None:
                yield LabelledViews(batch.images, self.problem.teacher_logits(batch.images), batch.targets)
            else:
                with torch.no_grad(), self.problem.compute.autocast():
                    logits = self.drifting(batch.images)
                yield LabelledViews(batch.images, logits.float(), batch.targets)


class Online(Relabeler):
    """No stored labels: the teacher runs at every training step, as RDED and DELT do."""

    source: ClassVar[str] = "RDED, validation/main.py; DELT, evaluation/main.py"

    train_mode: bool = False
    """Leave the teacher in train mode, its statistics drifting, as SRe2L's CIFAR-100 script does by oversight."""

    def size_bytes(self, problem: Problem) -> int:
        return sum(teacher.size_bytes for teacher in problem.teachers)

    def relabel(self, problem: Problem, distilled: Distilled) -> Labels:
        return OnlineLabels(problem, distilled, self.train_mode)


class HardLabels(Labels):
    """One-hot classes, mixed by the share of the pixels where the protocol mixes images."""

    kind: Literal["logits", "probabilities"] = "probabilities"

    def __init__(self, problem: Problem, distilled: Distilled) -> None:
        self.problem, self.distilled = problem, distilled
        self.size_bytes = class_bytes(problem, len(distilled.targets))

    def epoch(self, number: int) -> Iterator[LabelledViews]:
        classes = self.problem.num_classes
        for batch in replay_epoch(
            self.problem, self.distilled, draw_epoch(self.problem, number, len(self.distilled.targets))
        ):
            own = F.one_hot(batch.targets, classes).float()
            partner = F.one_hot(batch.partner_targets, classes).float()
            mixed = batch.share * own + (1 - batch.share) * partner
            yield LabelledViews(batch.images, mixed, batch.targets)


class FixedLabels(Labels):
    """One soft label an image, mixed by the share of the pixels where the protocol mixes images."""

    kind: Literal["logits", "probabilities"] = "probabilities"

    def __init__(self, problem: Problem, distilled: Distilled, soft: Tensor) -> None:
        self.problem, self.distilled, self.soft = problem, distilled, soft
        self.size_bytes = soft.numel() * soft.element_size()

    def epoch(self, number: int) -> Iterator[LabelledViews]:
        views = draw_epoch(self.problem, number, len(self.distilled.targets))
        batch = self.problem.protocol.batch_for(self.problem.ipc, self.problem.num_classes)
        pairs = zip(replay_epoch(self.problem, self.distilled, views), views["order"].long().split(batch), strict=True)
        for step, (drawn, index) in enumerate(pairs):
            partner = views["partner"][step * batch : step * batch + len(index)].long() - step * batch
            own, other = self.soft[index].float(), self.soft[index[partner]].float()
            yield LabelledViews(drawn.images, drawn.share * own + (1 - drawn.share) * other, drawn.targets)

    def tensors(self) -> dict[str, Tensor]:
        return {"soft": self.soft}


class Fixed(Relabeler):
    """The teacher's probabilities for the whole image, one label an image, whatever the view shows of it."""

    source: ClassVar[str] = "the middle of DD-Ranking's three label regimes"

    temperature: float = Field(1.0, gt=0)
    """What the teacher's logits are divided by."""

    def size_bytes(self, problem: Problem) -> int:
        return 2 * problem.num_images * problem.num_classes

    def relabel(self, problem: Problem, distilled: Distilled) -> Labels:
        logits = problem.teacher_logits(problem.view_normalization.normalize(distilled.pixels))
        return FixedLabels(problem, distilled, (logits / self.temperature).softmax(dim=1).half())

    def restore(self, problem: Problem, distilled: Distilled, tensors: Mapping[str, Tensor]) -> Labels:
        return FixedLabels(problem, distilled, tensors["soft"])


def class_bytes(problem: Problem, count: int) -> int:
    """One byte an image names one of up to 256 classes, two name more."""
    return count * (1 if problem.num_classes <= 256 else 2)


class Hard(Relabeler):
    """The class of the image, no teacher."""

    def size_bytes(self, problem: Problem) -> int:
        return class_bytes(problem, problem.num_images)

    def relabel(self, problem: Problem, distilled: Distilled) -> Labels:
        return HardLabels(problem, distilled)


@hookimpl
def delt_relabelers() -> dict[str, type[Relabeler]]:
    return {"fkd": Fkd, "online": Online, "fixed": Fixed, "hard": Hard}
