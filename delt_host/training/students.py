"""Train a student on a distilled set and its labels under the problem's protocol, and test it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count, islice

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from delt_host.basics.errors import RunError
from delt_host.contracts.labels import Labels
from delt_host.contracts.problem import Problem
from delt_host.contracts.protocol import Protocol
from delt_host.contracts.relabeler import Batch
from delt_host.networks.build import build_model
from delt_host.networks.named_optimizers import make_optimizer
from delt_host.training.teachers import accuracy


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
) -> Training:
    """Train `model` from scratch; its initial weights depend on seed, student and name alone, not on the method.

    It takes the optimiser steps that the protocol gives a set of IPC images a class, however many there are; rates and tests go
    by epochs of such a set. A rate that was learned with the images is the base where the labels carry it.
    A `student` that is given goes on from its weights; `penalty` is added to every loss; `after_step` is called with the
    student after every optimizer step. RunError where the loss is no longer finite.
    """
    protocol, compute = problem.protocol, problem.compute
    began = time.perf_counter()
    if student is None:
        with problem.isolated("student", model):
            student = build_model(model, problem.num_classes, problem.image_size, problem.models)
        student = compute.place(student)
    base = protocol.learning_rate_for(model) if labels.learning_rate is None else labels.learning_rate
    optimizer = _optimizer(student, protocol, base)
    average = None
    if protocol.average:  # of weights and BatchNorm statistics alike
        average = AveragedModel(student, multi_avg_fn=get_ema_multi_avg_fn(protocol.average), use_buffers=True)
    wanted, an_epoch = protocol.steps_for(problem), protocol.steps_an_epoch(problem)
    epochs, batches = wanted / an_epoch, _endless(labels)
    steps, passes, best, last, per_class = 0, 0, 0.0, 0.0, [0.0]
    curve: dict[str, list[float]] = {"epoch": [], "loss": [], "tested_epoch": [], "accuracy": []}
    for epoch in range(math.ceil(epochs)):
        student.train()
        for group in optimizer.param_groups:
            group["lr"] = base * rate_factor(protocol, epoch, epochs)
        loss = torch.zeros(())
        with problem.isolated("dropout", model, epoch):
            for number, drawn in islice(batches, min(an_epoch, wanted - steps)):
                batch, passes = drawn.to(compute.device, non_blocking=True), number + 1
                images = batch.images
                if protocol.legacy_double_forward:
                    with torch.no_grad(), compute.autocast():
                        student(images)
                with compute.autocast():
                    logits = student(images)
                loss = distillation_loss(logits.float(), batch, labels.kind, protocol)
                if penalty is not None:
                    loss = loss + penalty(student)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                if after_step is not None:
                    after_step(student)
                if average is not None:
                    average.update_parameters(student)
                steps += 1
        value = float(loss.detach())
        if not math.isfinite(value):
            raise RunError(f"training {model} diverged in epoch {epoch}; lower it: --set protocol.learning_rate=…")
        curve["epoch"].append(epoch)
        curve["loss"].append(value)
        final = steps == wanted
        if final or (protocol.evaluate_every and (epoch + 1) % protocol.evaluate_every == 0):
            tested = (student if average is None else average.module).eval()
            last, per_class = accuracy(tested, problem.view_normalization, problem.data.test, compute)
            best = max(best, last)
            curve["tested_epoch"].append(epoch)
            curve["accuracy"].append(last)
        if progress:
            progress(1, {"loss": value})
    return Training(
        student=student if average is None else average.module,
        last=last,
        best=best,
        per_class=per_class,
        epochs=passes,
        steps=steps,
        batch_size=protocol.batch_for(problem.ipc, problem.num_classes),
        seconds=time.perf_counter() - began,
        curve=curve,
    )


def _endless(labels: Labels) -> Iterator[tuple[int, Batch]]:
    """The batches of one epoch after another, each with the number of its epoch."""
    for number in count():
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
        return (epoch + 1) / protocol.warmup_epochs
    if protocol.schedule == "constant":
        return 1.0
    if protocol.schedule == "step":
        return 1.0 if epoch < epochs / 2 else 0.1
    span = epochs - protocol.warmup_epochs
    half = 1 if protocol.schedule == "cosine" else 2
    start = epochs - span / 6  # of the straight end
    if protocol.schedule == "half-cosine-linear" and epoch > start:
        at_start = 0.5 * (1 + math.cos(math.pi * (5 / 6) / half))
        return at_start * (epochs - epoch) / (epochs - start)
    return 0.5 * (1 + math.cos(math.pi * (epoch - protocol.warmup_epochs) / (half * span)))


def _optimizer(student: nn.Module, protocol: Protocol, rate: float) -> torch.optim.Optimizer:
    decayed = [p for p in student.parameters() if p.ndim > 1 or protocol.decay_biases_and_norms]
    free = [p for p in student.parameters() if p.ndim <= 1 and not protocol.decay_biases_and_norms]
    groups = [
        {"params": decayed, "weight_decay": protocol.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    return make_optimizer(protocol.optimizer, groups, rate, protocol.momentum, protocol.optimizer_options)
