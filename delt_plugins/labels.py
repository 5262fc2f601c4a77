"""Relabelers: where the labels of augmented views come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from delt_host import Distilled, LabelledViews, Labels, Problem, Relabeler, hookimpl
from delt_host.artifact.packing import mixed, one_hot, unpack
from delt_host.replay import draw_epoch, replay_epoch

BLOCK_BYTES = 16 * 2**20  # what a file of labels, and so memory, holds at most, but for one epoch that is larger
TEACHER_BATCH = 500  # views that the teacher labels at once, whatever the student's batch


class StoredLabels(Labels):
    """Views and packed labels of every epoch, made once and kept in the store, many epochs a file; memory holds one file."""

    kind: Literal["logits", "probabilities"] = "logits"

    def __init__(self, relabeler: Fkd, problem: Problem, distilled: Distilled) -> None:
        self.relabeler, self.problem, self.distilled = relabeler, problem, distilled
        self.size_bytes = relabeler.size_bytes(problem)
        self.epochs: int = relabeler.epochs(problem)
        self.per_block = max(BLOCK_BYTES // relabeler.epoch_bytes(problem), 1)
        self.loaded: tuple[int, Mapping[str, Tensor]] = (-1, {})

    def prepare(self) -> None:
        for first in range(0, self.epochs, self.per_block):
            self.block(first)

    def epoch(self, number: int) -> Iterator[LabelledViews]:
        stored = self.stored(number)
        logits, position = self.relabeler.unpack(stored, self.problem.num_classes), 0
        for batch in replay_epoch(self.problem, self.distilled, stored):
            count = len(batch.images)
            yield LabelledViews(batch.images, logits[position : position + count], batch.targets)
            position += count

    def stored(self, number: int) -> Mapping[str, Tensor]:
        number %= self.epochs
        place = number % self.per_block
        return {name: tensor[place] for name, tensor in self.block(number - place).items()}

    def block(self, first: int) -> Mapping[str, Tensor]:
        """The tensors of the epochs from `first` on, whose first dimension is the epoch; from the store, or made now."""
        if self.loaded[0] != first:
            epochs = range(first, min(first + self.per_block, self.epochs))
            self.loaded = (
                first,
                remember_labels(
                    self.relabeler,
                    self.problem,
                    self.distilled,
                    lambda: self._make(epochs),
                    [epochs.start, epochs.stop],
                ),
            )
        return self.loaded[1]

    def _make(self, epochs: range) -> Mapping[str, Tensor]:
        made = []
        for number in epochs:
            views = draw_epoch(self.problem, number, len(self.distilled.targets))
            made.append(views | self.relabeler.pack(self._logits(views)))
            self.problem.advance(1)
        return {name: torch.stack([epoch[name] for epoch in made]) for name in made[0]}

    def _logits(self, views: Mapping[str, Tensor]) -> Tensor:
        """The logits (N, C) of an epoch's views, of which a few hundred are in memory at a time."""
        logits, waiting, count = [], [], 0
        for batch in replay_epoch(self.problem, self.distilled, views):
            waiting.append(batch.images)
            count += len(batch.images)
            if count >= TEACHER_BATCH:
                logits.append(self.relabeler.answers(self.problem, torch.cat(waiting)))
                waiting, count = [], 0
        if waiting:
            logits.append(self.relabeler.answers(self.problem, torch.cat(waiting)))
        return torch.cat(logits)


def remember_labels(
    relabeler: Relabeler,
    problem: Problem,
    distilled: Distilled,
    work: Callable[[], Mapping[str, Tensor]],
    epochs: list[int],
) -> Mapping[str, Tensor]:
    """`work()`'s tensors, kept under what the labels of these epochs depend on.

    That is not how many epochs follow: students that train longer find the first ones made.
    """
    views = {name: value for name, value in problem.protocol.view_settings().items() if name != "epochs"}
    return problem.seen_by(relabeler).remember(
        "labels",
        work,
        distilled=distilled.fingerprint,
        views=views,
        ipc=problem.ipc,
        seed=problem.seed,
        student=problem.student,
        epochs=epochs,
    )


class Fkd(Relabeler):
    """Fast knowledge distillation: the teacher labels every view once, in float16, and the views are stored with them."""

    source: ClassVar[str] = "SRe2L, section 3.3, after Shen and Xing, ECCV 2022 (FKD)"

    def relabel(self, problem: Problem, distilled: Distilled) -> Labels:
        return StoredLabels(self, problem, distilled)

    def size_bytes(self, problem: Problem) -> int:
        return self.epochs(problem) * self.epoch_bytes(problem)

    def passes(self, problem: Problem) -> float:
        return float(self.epochs(problem) * problem.num_images)

    def epoch_bytes(self, problem: Problem) -> int:
        """What an epoch's views and labels take."""
        views = sum(
            tensor.numel() * tensor.element_size() for tensor in draw_epoch(problem, 0, problem.num_images).values()
        )
        return views + problem.num_images * self.label_bytes(problem.num_classes)

    def epochs(self, problem: Problem) -> int:
        """How many epochs have labels of their own; students go through them again and again."""
        return problem.protocol.epochs

    def answers(self, problem: Problem, views: Tensor) -> Tensor:
        """The logits (N, C) that views are labelled with."""
        return problem.teacher_logits(views)

    def label_bytes(self, classes: int) -> int:
        """What a packed label takes."""
        return 2 * classes

    def pack(self, logits: Tensor) -> dict[str, Tensor]:
        """Logits (N, C) float32 as what is stored."""
        return {"logits": logits.half()}

    def unpack(self, stored: Mapping[str, Tensor], classes: int) -> Tensor:
        """The logits (N, C) float32 of what `pack` gave."""
        return unpack(stored, classes)


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

    while_training: ClassVar[bool] = True

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
        for batch in replay_epoch(self.problem, self.distilled, self.stored(number)):
            yield LabelledViews(batch.images, one_hot(batch, self.problem.num_classes), batch.targets)

    def stored(self, number: int) -> Mapping[str, Tensor]:
        return draw_epoch(self.problem, number, len(self.distilled.targets))


class FixedLabels(Labels):
    """One soft label an image, mixed by the share of the pixels where the protocol mixes images."""

    kind: Literal["logits", "probabilities"] = "probabilities"

    def __init__(self, relabeler: Fixed, problem: Problem, distilled: Distilled) -> None:
        self.relabeler, self.problem, self.distilled = relabeler, problem, distilled
        self.size_bytes = relabeler.size_bytes(problem)

    def prepare(self) -> None:
        _ = self.soft

    @cached_property
    def soft(self) -> Tensor:
        """(N, C) float16 probabilities, in the images' order."""
        return remember_labels(self.relabeler, self.problem, self.distilled, self._make, [])["soft"]

    def _make(self) -> Mapping[str, Tensor]:
        images = self.problem.view_normalization.normalize(self.distilled.read(torch.arange(len(self.distilled))))
        logits = self.problem.teacher_logits(images)
        return {"soft": (logits / self.relabeler.temperature).softmax(dim=1).half()}

    def epoch(self, number: int) -> Iterator[LabelledViews]:
        for batch in replay_epoch(self.problem, self.distilled, self.stored(number)):
            yield LabelledViews(batch.images, mixed(batch, self.soft), batch.targets)

    def stored(self, number: int) -> Mapping[str, Tensor]:
        return draw_epoch(self.problem, number, len(self.distilled.targets)) | {"soft": self.soft}


class Fixed(Relabeler):
    """The teacher's probabilities for the whole image, one label an image, whatever the view shows of it."""

    source: ClassVar[str] = "the middle of DD-Ranking's three label regimes"

    temperature: float = Field(1.0, gt=0)
    """What the teacher's logits are divided by."""

    def passes(self, problem: Problem) -> float:
        return float(problem.num_images)

    def size_bytes(self, problem: Problem) -> int:
        return 2 * problem.num_images * problem.num_classes

    def relabel(self, problem: Problem, distilled: Distilled) -> Labels:
        return FixedLabels(self, problem, distilled)


def class_bytes(problem: Problem, count: int) -> int:
    """One byte an image names one of up to 256 classes, two name more."""
    return count * (1 if problem.num_classes <= 256 else 2)


class Hard(Relabeler):
    """The class of the image, no teacher."""

    def passes(self, problem: Problem) -> float:
        return 0.0

    def size_bytes(self, problem: Problem) -> int:
        return class_bytes(problem, problem.num_images)

    def relabel(self, problem: Problem, distilled: Distilled) -> Labels:
        return HardLabels(problem, distilled)


@hookimpl
def delt_relabelers() -> dict[str, type[Relabeler]]:
    return {"fkd": Fkd, "online": Online, "fixed": Fixed, "hard": Hard}
