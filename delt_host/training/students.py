"""Train a student on a distilled set and its labels under the problem's protocol, and test it."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count, islice

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from delt_host.basics import batching
from delt_host.basics.errors import RunError
from delt_host.basics.file_words import short_name
from delt_host.contracts.labels import Labels
from delt_host.contracts.problem import Problem
from delt_host.contracts.protocol import Decayed, Protocol
from delt_host.contracts.relabeler import Batch
from delt_host.networks.build import build_model
from delt_host.networks.named_optimizers import make_optimizer
from delt_host.store.resume import Checkpoint
from delt_host.training.kept import put_back, state_of
from delt_host.training.teachers import accuracy

READINGS = 50  # of the loss, about, in a whole training: whoever reads it waits for the device


@dataclass
class Training:
    """A trained student and what training it showed."""

    student: nn.Module
    last: float
    """Top-1 in percent on the test split after the last epoch."""
    best: float
    """The best of the tested epochs, for comparison with papers that report it; never what we report."""
    per_class: list[float]
    """Top-1 in percent of each class after the last epoch."""
    epochs: int
    """Times that it went through the set, the last one perhaps not to its end."""
    steps: int
    """Optimizer steps."""
    batch_size: int
    seconds: float
    curve: dict[str, list[float]] = field(default_factory=dict)
    """`epoch` and `loss`, and `tested_epoch` and `accuracy`."""


def train_student(
    problem: Problem,
    labels: Labels,
    model: str,
    progress: Callable[[int, dict[str, float]], None] | None = None,
    *,
    student: nn.Module | None = None,
    penalty: Callable[[nn.Module], Tensor] | None = None,
    after_step: Callable[[nn.Module], None] | None = None,
    checkpoint: Checkpoint | None = None,
) -> Training:
    """Train `model` from scratch; its initial weights depend on seed, student and name alone, not on the method.

    It takes the optimiser steps that the protocol gives a set of IPC images a class, however many there are; rates and tests go
    by epochs of such a set. A rate that was learned with the images is the base where the labels carry it.
    A `student` that is given goes on from its weights; `penalty` is added to every loss; `after_step` is called with the
    student after every optimizer step. With a `checkpoint`, of this one training (`Checkpoint.part` where there are several),
    it goes on after the epoch that was kept last, to the same bits, and one that is finished is not trained again; what
    `penalty` and `after_step` remember themselves is not kept. RunError where the loss is no longer finite.
    """
    protocol, compute = problem.protocol, problem.compute
    checkpoint = checkpoint or Checkpoint(None)
    called = short_name(model)  # a network from a file draws the same wherever the file lies
    began = time.perf_counter()
    if student is None:
        with problem.isolated("student", called):
            student = build_model(model, problem.num_classes, problem.image_size, problem.models)
        student = compute.place(student)
    base = protocol.learning_rate_for(model) if labels.learning_rate is None else labels.learning_rate
    optimizer = _optimizer(student, protocol, base)
    average = Average(student, protocol.average) if protocol.average else None
    whole, at_once = (each(problem.ipc, problem.num_classes) for each in (protocol.batch_for, protocol.part_for))
    wanted, an_epoch = protocol.steps_for(problem), protocol.steps_an_epoch(problem)
    epochs = wanted / an_epoch
    steps, passes, of_pass, best, last, per_class, before = 0, 0, 0, 0.0, 0.0, [0.0], 0
    curve: dict[str, list[float]] = {"epoch": [], "loss": [], "tested_epoch": [], "accuracy": []}
    networks = {"student": student} if average is None else {"student": student, "average": average.network}
    if found := checkpoint.load():
        tensors, facts = found
        put_back(tensors, facts, networks, optimizer)
        before, steps, passes, of_pass = (facts[name] for name in ("before", "steps", "passes", "of_pass"))
        best, last, per_class, curve = (facts[name] for name in ("best", "last", "per_class", "curve"))
        if progress:
            progress(before, {"loss": curve["loss"][-1]})
    unread: list[Tensor] = []
    batches = islice(_endless(labels, max(passes - 1, 0)), of_pass, None)
    for epoch in range(before, math.ceil(epochs)):
        student.train()
        factor = rate_factor(protocol, epoch, epochs)
        if protocol.step_restarts and milestones(protocol, epoch, epochs) > milestones(protocol, epoch - 1, epochs):
            optimizer.state.clear()
        for group in optimizer.param_groups:
            group["lr"] = base * factor
        loss = torch.zeros(())
        with problem.isolated("dropout", called, epoch):
            for number, batch in islice(batches, min(an_epoch, wanted - steps)):
                of_pass = of_pass + 1 if number + 1 == passes else 1
                passes = number + 1
                optimizer.zero_grad(set_to_none=True)
                loss = torch.zeros((), device=compute.device)
                for part in _parts(batch, at_once):
                    if protocol.legacy_double_forward:
                        with torch.no_grad(), compute.autocast():
                            student(part.images)
                    with compute.autocast():
                        logits = student(part.images)
                    of_part = distillation_loss(logits.float(), part, labels.kind, protocol)
                    if penalty is not None:
                        of_part = of_part + penalty(student)
                    of_part = of_part / batching.steps(whole, at_once)
                    of_part.backward()
                    loss += of_part.detach()
                optimizer.step()
                if after_step is not None:
                    after_step(student)
                if average is not None:
                    average.update(student)
                steps += 1
        unread.append(loss)
        final = steps == wanted
        due = not final and checkpoint.due
        if final or due or epoch % max(int(epochs) // READINGS, 1) == 0:
            _read(unread, epoch, curve, model)
        if final or protocol.tests(epoch, epochs):
            tested = (student if average is None else average.with_statistics_of(student)).eval()
            last, per_class = accuracy(tested, problem.view_normalization, problem.scored, compute)
            best = max(best, last)
            curve["tested_epoch"].append(epoch)
            curve["accuracy"].append(last)
        if (due or (final and checkpoint.keeps)) and (state := state_of(networks, optimizer)):
            at = {"before": epoch + 1, "steps": steps, "passes": passes, "of_pass": of_pass}
            scores = {"best": best, "last": last, "per_class": per_class, "curve": curve}
            checkpoint.save(state[0], {**state[1], **at, **scores})
        if progress:
            progress(1, {"loss": curve["loss"][-1]})
    return Training(
        student=(student if average is None else average.network).eval(),
        last=last,
        best=best,
        per_class=per_class,
        epochs=passes,
        steps=steps,
        batch_size=protocol.batch_for(problem.ipc, problem.num_classes),
        seconds=checkpoint.spent + time.perf_counter() - began,
        curve=curve,
    )


def _read(unread: list[Tensor], epoch: int, curve: dict[str, list[float]], model: str) -> None:
    """The losses of the epochs up to this one, from the device into the curve. RunError where one is not finite."""
    for value in torch.stack(unread).tolist():
        now = epoch + 1 - len(unread)
        if not math.isfinite(value):
            raise RunError(f"training {model} diverged in epoch {now}; lower it: --set protocol.learning_rate=…")
        curve["epoch"].append(now)
        curve["loss"].append(value)
        unread.pop(0)


class Average:
    """The exponential moving average of a student's parameters, from its first weights on (EDC's `EMAMODEL`)."""

    def __init__(self, student: nn.Module, decay: float) -> None:
        self.network, self.decay = copy.deepcopy(student), decay

    @torch.no_grad()
    def update(self, student: nn.Module) -> None:
        """After an optimiser step."""
        for own, new in zip(self.network.parameters(), student.parameters(), strict=True):
            own.mul_(self.decay).add_(new, alpha=1 - self.decay)

    @torch.no_grad()
    def with_statistics_of(self, student: nn.Module) -> nn.Module:
        """The network, with BatchNorm statistics that are the student's now: what EDC tests has its own parameters swapped for
        these, and keeps its buffers."""
        for own, new in zip(self.network.buffers(), student.buffers(), strict=True):
            own.copy_(new)
        return self.network


def _parts(batch: Batch, size: int) -> Iterator[Batch]:
    """Parts of at most so many views, in their order, none of one alone; the batch itself where it is no larger."""
    count = len(batch.images)
    parts = batching.steps(count, size)
    yield from [batch] if parts == 1 else (batch.part(batching.places(count, size, step)) for step in range(parts))


def _endless(labels: Labels, first: int) -> Iterator[tuple[int, Batch]]:
    """The batches of one epoch after another, from `first` on, each with the number of its epoch."""
    for number in count(first):
        for batch in labels.epoch(number):
            yield number, batch


def distillation_loss(logits: Tensor, batch: Batch, kind: str, protocol: Protocol) -> Tensor:
    """KL(teacher || student) at the protocol's temperature, batch mean, or the squared error of the logits.

    `logits` are the student's, (B, C). RDED and DELT take no factor T^2 (section 6 of their evaluation code); SRe2L's small-set
    scripts do. G-VBSM and EDC take the squared error and add the cross-entropy with the images' own classes. Answers that are
    probabilities are matched by cross-entropy under every protocol. Where images have weights, the mean over the batch is of
    each view's loss times its image's weight.
    """
    targets, alike = batch.answers, batch.weight is None
    assert targets is not None, "a batch without answers teaches nothing"
    reduction = "mean" if alike else "none"
    if kind == "probabilities":
        loss = F.cross_entropy(logits, targets, reduction=reduction)
    elif protocol.loss == "mse":
        loss = F.mse_loss(logits, targets.float(), reduction=reduction)
        loss = loss if alike else loss.mean(dim=1)
    else:
        temperature = protocol.temperature
        soft, given = F.softmax(targets.float() / temperature, dim=1), F.log_softmax(logits / temperature, dim=1)
        loss = F.kl_div(given, soft, reduction="batchmean" if alike else "none")
        loss = loss if alike else loss.sum(dim=1)
        loss = loss * temperature**2 if protocol.multiply_by_temperature_squared else loss
    if protocol.hard_weight and kind == "logits":
        loss = loss + protocol.hard_weight * F.cross_entropy(logits, batch.classes, reduction=reduction)
    return loss if batch.weight is None else (batch.weight * loss).mean()


def rate_factor(protocol: Protocol, epoch: int, epochs: float) -> float:
    """The learning rate of an epoch, of `epochs` in all, as a share of the base rate."""
    if epoch < protocol.warmup_epochs:
        start = protocol.warmup_from
        return start + (1 - start) * (epoch + (not start)) / protocol.warmup_epochs
    if protocol.schedule == "constant":
        return 1.0
    if protocol.schedule == "step":
        return protocol.step_factor ** milestones(protocol, epoch, epochs)
    done, span = epoch - protocol.warmup_epochs, epochs - protocol.warmup_epochs
    if protocol.schedule == "half-linear":
        return 1 - done / (2 * span)
    half = 1 if protocol.schedule == "cosine" else 2
    if protocol.schedule == "half-cosine-linear" and done > span * 5 / 6:
        return 0.5 * (1 + math.cos(math.pi * 5 / (6 * half))) * (1 - done / span)
    return 0.5 * (1 + math.cos(math.pi * done / (half * span)))


def milestones(protocol: Protocol, epoch: int, epochs: float) -> int:
    """How many milestones the schedule `step` has reached in an epoch; of another schedule none."""
    return sum(epoch >= share * epochs - 1e-6 for share in protocol.milestones) if protocol.schedule == "step" else 0


def split_by_decay(student: nn.Module, decayed: Decayed) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """A network's parameters with weight decay, and those without."""
    with_decay: list[nn.Parameter] = []
    without: list[nn.Parameter] = []
    for name, parameter in student.named_parameters():
        matrix = parameter.ndim > 1 and (decayed == "matrices" or "weight" in name)
        (with_decay if matrix or decayed == "all" else without).append(parameter)
    return with_decay, without


def _optimizer(student: nn.Module, protocol: Protocol, rate: float) -> torch.optim.Optimizer:
    decayed, free = split_by_decay(student, protocol.decayed)
    groups = [
        {"params": decayed, "weight_decay": protocol.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    return make_optimizer(protocol.optimizer, groups, rate, protocol.momentum, protocol.optimizer_options)
