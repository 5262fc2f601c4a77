"""Labels: what a set's students see and are to answer, epoch by epoch; drawn, asked for, mixed, stored and replayed here.

A relabeler gives answers and nothing else. Answers to views are stored with the views that they belong to, many epochs a file
(SRe2L's FKD, after Shen and Xing, ECCV 2022); answers to whole images once, mixed per view by the share of the pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from delt_host.basics import batching
from delt_host.basics.errors import RunError
from delt_host.contracts.problem import Problem
from delt_host.contracts.protocol import Protocol
from delt_host.contracts.relabeler import Answer, Batch, Relabeler
from delt_host.contracts.replay import draw_epoch, replay_epoch
from delt_host.contracts.sets import Distilled
from delt_host.store.entry import Name

BLOCK_BYTES = 16 * 2**20  # what a file of labels, and so memory, holds at most, but for one epoch that is larger
SOFT = "soft"
"""The tensor of an epoch as it is kept that holds one label an image."""


class Labels:
    """The batches of every epoch, the same each time. However many epochs there are, memory holds a few."""

    kind: Literal["logits", "probabilities"]
    """`logits`: the protocol's distillation loss applies; `probabilities`: cross-entropy against them."""
    size_bytes: int
    """What has to be stored or shipped beside the images: labels, or the teachers where they answer while students train."""
    epochs: int
    """How many epochs have labels of their own; students go through them again and again."""
    learning_rate: float | None
    """The rate that was learned with the images, where each has one label; it is no guide to other labels."""

    def __init__(self, problem: Problem, distilled: Distilled, relabeler: Relabeler, store: bool = True) -> None:
        """With `store` False nothing is kept and every view is answered while students train, as for sets that are large."""
        self.problem, self.distilled, self.relabeler = problem.seen_by(relabeler), distilled, relabeler
        self.store, self.asks = store, relabeler.asks
        self.by_view = self.asks == "view" and not while_training(relabeler, store)  # what is stored is by view
        count, protocol = len(distilled), problem.protocol
        every = protocol.epochs_of(problem, count)
        self.epochs = own_epochs(relabeler, every) if self.by_view else every
        self.learned = distilled.labels if self.asks == "image" else None
        self.size_bytes = label_bytes(relabeler, problem, store)
        if self.learned is not None:
            self.size_bytes = self.learned.nbytes
        rate = distilled.learning_rate if self.asks == "image" else None
        self.learning_rate = None if rate is None else float(rate)
        self.kind = "probabilities" if self.asks == "class" or self.learned is not None else relabeler.kind
        self.blocks = blocks_of(relabeler, self.problem, self.epochs, store)
        self._loaded: tuple[range, Mapping[str, Tensor]] = (range(0), {})

    def prepare(self, block: range | None = None) -> None:
        """Make what is made once and kept, so that students need not wait for it; of `blocks` this one, or all."""
        if self.by_view:
            for each in self.blocks if block is None else (block,):
                self._block(each)
        elif self.asks == "image":
            _ = self._soft

    def kept_as(self, block: range) -> list[Name]:
        """The entries of the store that `prepare` leaves of a block."""
        told = self._of_block(block) if self.by_view else self._of_images() if self._keeps_images else None
        name = None if told is None else self.problem.remembered_as(**told)
        return [] if name is None else [name]

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of epoch `number`, counted from 0, each with its answers, on the device."""
        problem = self.problem
        stored = self.stored(number)
        views = draw_epoch(problem, number, len(self.distilled)) if stored is None else stored
        rows = {name: each for name, each in views.items() if len(each) == len(self.distilled)}

        def told(batch: Batch, places: range) -> Tensor | None:
            if self.by_view:
                own = {name: each[places.start : places.stop] for name, each in rows.items()}
                return self.relabeler.unpack(own, problem.num_classes)
            if self.asks == "image":
                return batch.mixed(self._soft)
            return batch.one_hot(problem.num_classes) if self.asks == "class" else None

        for batch in replay_epoch(problem, self.distilled, views, told):
            yield batch if batch.answers is not None else replace(batch, answers=self._ask(batch))

    def stored(self, number: int) -> Mapping[str, Tensor] | None:
        """Epoch `number` as it is kept: the views of `replay.draw_epoch` and packed answers, where an image has one
        label as `soft`. None: nothing is kept."""
        if self.by_view:
            number %= self.epochs
            block = self.blocks[number // len(self.blocks[0])]
            return {name: tensor[number - block.start] for name, tensor in self._block(block).items()}
        if self.asks == "view":
            return None
        views = draw_epoch(self.problem, number, len(self.distilled))
        return views | {SOFT: self._soft} if self.asks == "image" else views

    @cached_property
    def _answer(self) -> Answer:
        return self.relabeler.bind(self.problem)

    def _ask(self, batch: Batch) -> Tensor:
        """The answers (B, C) float32, on the device. RunError where they are none."""
        with torch.no_grad():  # not inference mode: students take them into losses that are differentiated
            answers = self._answer(batch)
        wanted = (len(batch.index), self.problem.num_classes)
        if not isinstance(answers, Tensor) or tuple(answers.shape) != wanted:
            got = tuple(answers.shape) if isinstance(answers, Tensor) else type(answers).__name__
            raise RunError(f"its answers to {wanted[0]} images are {got}, not {wanted}: one value a class")
        return answers.to(self.problem.compute.device, torch.float32)

    def _block(self, epochs: range) -> Mapping[str, Tensor]:
        """The tensors of these epochs, whose first dimension is the epoch; from the store, or made now.

        Their key does not hold how many epochs follow: students that train longer find the first ones made.
        """
        if self._loaded[0] != epochs:
            self._loaded = (range(0), {})  # one is in memory at a time
            self._loaded = (epochs, self.problem.remember(**self._of_block(epochs)))
        return self._loaded[1]

    def _of_block(self, epochs: range) -> dict[str, Any]:
        """What `Problem.remember` is told of these epochs' labels."""
        problem, protocol = self.problem, self.problem.protocol
        return {
            "what": "labels",
            "work": lambda: self._answered(epochs),
            "distilled": self.distilled.fingerprint,
            "views": shown_by(protocol),
            "batch": protocol.batch_for(problem.ipc, problem.num_classes),
            "seed": problem.seed,
            "student": problem.student,
            "epochs": [epochs.start, epochs.stop],
        }

    def _answered(self, epochs: range) -> Mapping[str, Tensor]:
        made = []
        for number in epochs:
            views = draw_epoch(self.problem, number, len(self.distilled))
            batches = replay_epoch(self.problem, self.distilled, views)
            made.append(views | self._packed(batches))
            self.problem.advance(1)
        if len(made) == 1:  # the larger an epoch, the fewer copies of it
            return {name: each[None] for name, each in made[0].items()}
        return {name: torch.stack([epoch[name] for epoch in made]) for name in made[0]}

    def _packed(self, batches: Iterator[Batch]) -> dict[str, Tensor]:
        """The answers to batches of all N views, packed some hundreds at a time."""
        packed, first = dict[str, Tensor](), 0
        for answers in self._all_asked(batches):
            for name, each in self.relabeler.pack(answers).items():
                if name not in packed:
                    packed[name] = each.new_empty(len(self.distilled), *each.shape[1:])
                packed[name][first : first + len(answers)] = each
            first += len(answers)
        return packed

    def _all_asked(self, batches: Iterator[Batch]) -> Iterator[Tensor]:
        """The answers (n, C) to batches of views, which leave the device some hundreds at a time."""
        waiting: list[Batch] = []
        at_once = batching.in_one_pass(self.problem.image_size)  # whatever the student's batch
        for batch in batches:
            waiting.append(batch)
            if sum(len(each.index) for each in waiting) >= at_once:
                yield self._ask(_joined(waiting)).cpu()
                waiting = []
        if waiting:
            yield self._ask(_joined(waiting)).cpu()

    @cached_property
    def _soft(self) -> Tensor:
        """(N, C): one label an image, in the images' order."""
        problem = self.problem
        if self.learned is not None:
            soft = self.learned.float().softmax(dim=1).repeat_interleave(problem.form.cells, dim=0)
            if tuple(soft.shape) != (wanted := (len(self.distilled), problem.num_classes)):
                raise RunError(f"the set's labels are for (images, classes) = {tuple(soft.shape)}, and it has {wanted}")
            return soft

        told = self._of_images()
        kept = problem.remember(**told) if self._keeps_images else told["work"]()
        return self.relabeler.unpack(kept, problem.num_classes)

    @property
    def _keeps_images(self) -> bool:
        """Whether one label an image is stored, apart from the set."""
        return self.asks == "image" and self.learned is None and self.store and self.relabeler.stores

    def _of_images(self) -> dict[str, Any]:
        """What `Problem.remember` is told of one label an image."""
        normalization = self.problem.view_normalization
        return {
            "what": "labels",
            "work": lambda: self._packed(self._whole_images()),
            "distilled": self.distilled.fingerprint,
            "normalization": [list(normalization.mean), list(normalization.std)],
        }

    def _whole_images(self) -> Iterator[Batch]:
        """The set in its order, nothing cut off, mirrored or mixed."""
        problem, targets = self.problem, self.distilled.targets
        for index in torch.arange(len(targets)).split(batching.in_one_pass(problem.image_size)):
            classes, ones = targets[index], torch.ones(len(index))
            raw = Batch(self.distilled.read(index), index, classes, index, classes, ones)
            batch, _ = raw.moved(problem.compute.device)
            yield replace(batch, images=problem.view_normalization.normalize(batch.images))


def while_training(relabeler: Relabeler, store: bool = True) -> bool:
    """Whether every view is answered while students train, and nothing is made before."""
    return relabeler.asks == "view" and not (store and relabeler.stores)


def own_epochs(relabeler: Relabeler, epochs: int) -> int:
    """How many of so many epochs have labels of their own."""
    return min(max(relabeler.epochs(epochs), 1), epochs)


def epoch_bytes(relabeler: Relabeler, problem: Problem) -> int:
    """What an epoch's views and their labels take."""
    count, batch = problem.num_images, problem.protocol.batch_for(problem.ipc, problem.num_classes)
    few = min(
        count, 2 * batch
    )  # tell it as well as all of them: of every tensor there is a row an image, or one a batch
    rows = {batching.steps(few, batch): batching.steps(count, batch), few: count}
    views = sum(tensor.nbytes // len(tensor) * rows[len(tensor)] for tensor in draw_epoch(problem, 0, few).values())
    return views + count * relabeler.label_bytes(problem.num_classes)


def label_bytes(relabeler: Relabeler, problem: Problem, store: bool = True) -> int:
    """What labels of a set of `problem.num_images` images take, before there is one; the same as `Labels.size_bytes`."""
    count = problem.num_images
    if relabeler.asks == "class":
        return count * (1 if problem.num_classes <= 256 else 2)
    if relabeler.asks == "image":
        return count * relabeler.label_bytes(problem.num_classes)
    if while_training(relabeler, store):
        return sum(teacher.size_bytes for teacher in problem.seen_by(relabeler).teachers)
    epochs = own_epochs(relabeler, problem.protocol.epochs_of(problem, count))
    return epochs * epoch_bytes(relabeler, problem)


def blocks_of(relabeler: Relabeler, problem: Problem, epochs: int, store: bool = True) -> list[range]:
    """Which of so many epochs' labels are made and kept together; one block of all where they are not kept by view.

    All but the last are of one length, which the number of epochs does not change.
    """
    if relabeler.asks != "view" or while_training(relabeler, store):
        return [range(epochs)]
    length = max(BLOCK_BYTES // epoch_bytes(relabeler, problem), 1)
    return [range(first, min(first + length, epochs)) for first in range(0, epochs, length)]


def shown_by(protocol: Protocol) -> dict[str, Any]:
    """What the views of an epoch depend on, however many epochs there are."""
    return {name: value for name, value in protocol.view_settings().items() if name not in ("epochs", "steps")}


def _joined(batches: list[Batch]) -> Batch:
    """One batch of several that have no answers yet."""
    names = ("images", "index", "classes", "partner", "partner_classes", "share")
    return Batch(*(torch.cat([getattr(batch, name) for batch in batches]) for name in names))
