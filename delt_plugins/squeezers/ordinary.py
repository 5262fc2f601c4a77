"""The ordinary squeezer: SGD, with Nesterov momentum under a one-cycle learning rate unless told, or torchvision's weights.

DELT, SRe2L and CDA take a ResNet or ConvNet trained the ordinary way; how long matters (longer-trained teachers are
better classifiers and worse sources), so all options are part of the teacher.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from delt_host import (
    Builder,
    Checkpoint,
    Compute,
    InputError,
    Normalization,
    OnProgress,
    RealData,
    RunError,
    Snapshot,
    Squeezer,
)
from delt_host.toolbox import (
    ahead,
    apply_view,
    build_model,
    generator,
    isolated_rng,
    moved,
    pretrained_model,
    pretrained_normalization,
    put_random_states,
    random_matrices,
    random_states,
)

LEAST_STEPS = 10
"""Of an epoch: ten epochs of it leave a ConvNet-3 at 61 % on 180 images of five of CIFAR-10's classes, of one step at 28 %."""
LEAST_BATCH = 16
"""Images in a step, where an epoch would have fewer than `LEAST_STEPS`; less is noise to BatchNorm."""
READINGS = 50
"""Of the loss, about, in a whole training: whoever reads it waits for the device."""
FEW_STEPS = 1000
"""Under so many in all, longer training is the first thing to try where a teacher ends poor."""


class Ordinary(Squeezer):
    """SGD, with Nesterov momentum under a one-cycle learning rate unless told otherwise; or pretrained weights in its place.

    An epoch has ten steps at least: where images are too few for that, batches are smaller, down to 16 images, and where that
    is not enough, images are seen more than once in an epoch.
    """

    sweeps: ClassVar[int] = 1
    """Passes forward and back that a step takes."""

    epochs: int = Field(10, ge=0)
    """Longer-trained teachers are better classifiers, and reported to be worse sources."""
    batch_size: int = Field(128, ge=2)
    """Images in a step at most, fewer where data are few; what is left of an epoch is not seen."""
    learning_rate: float = Field(0.1, gt=0)
    """The highest."""
    schedule: Literal["one-cycle", "cosine", "constant"] = "one-cycle"
    """`one-cycle`: up and down again, the momentum the other way; `cosine`: down to 0, stepped once an epoch; `constant`."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """0.85 to 0.95 under the one-cycle schedule."""
    nesterov: bool = True
    """Whether the momentum is Nesterov's."""
    weight_decay: float = Field(5e-4, ge=0)
    """On all parameters."""
    crop: Literal["pad", "resized", "none"] = "pad"
    """`pad`: a random crop of the image padded by an eighth; `resized`: RandomResizedCrop(0.08, 1)."""
    flip: bool = True
    """Mirror half of the images."""
    seed: int = 0
    """The teacher's own, apart from the seeds of the comparison."""
    weights: str = ""
    """Pretrained torchvision weights (IMAGENET1K_V1, DEFAULT) instead of training; ImageNet-1K only."""

    def train(
        self,
        data: RealData,
        compute: Compute,
        models: Mapping[str, Builder],
        checkpoint: Checkpoint,
        progress: OnProgress,
    ) -> Iterator[Snapshot]:
        if self.weights:
            yield Snapshot(0, self._pretrained(data))
            return
        if self.epochs == 0:
            raise InputError("teacher.epochs is 0: a teacher must be trained, imported, or have pretrained weights")
        with isolated_rng(self.seed, "squeeze", "weights"):
            model = build_model(self.model, data.num_classes, data.image_size, models)
        model = compute.place(model)
        steps, batch_size = self._epoch(data)
        optimizer = torch.optim.SGD(
            model.parameters(),
            lr=self.learning_rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            nesterov=self.nesterov and self.momentum > 0,
        )
        schedule = self._schedule(optimizer, steps)
        normalization, images_a_step = self.normalization(data), batch_size * self.sweeps
        read_every, losses = max(steps * self.epochs // READINGS, 1), dict[str, float]()
        found, done = checkpoint.load(), 0
        if found:
            done = _restore(found, model, optimizer, schedule)
            progress(done * images_a_step, {})
        read = done
        if done % steps == 0:  # a checkpoint of an epoch's end may be all that is left of its snapshot
            yield Snapshot(done // steps, model)
        for epoch in range(done // steps, self.epochs):
            model.train()
            rng = generator(self.seed, "squeeze", epoch)
            times = -(-steps * batch_size // len(data.train))
            order = torch.cat([torch.randperm(len(data.train), generator=rng) for _ in range(times)])
            with isolated_rng(self.seed, "squeeze", "dropout", epoch):
                if found and done % steps:
                    _restore_rng(found[0], rng)
                left = range(done % steps, steps)
                batches = [order[step * batch_size : (step + 1) * batch_size] for step in left]
                for step, batch, images_read in zip(left, batches, ahead(map(data.train.read, batches)), strict=True):
                    drawn = random_matrices(rng, batch_size, data.image_size, self.crop, flip=self.flip)
                    pixels, targets, rows, columns = moved(
                        compute.device, images_read, data.train.targets[batch], *drawn
                    )
                    images = normalization.normalize(apply_view(pixels.float() / 255, rows, columns)).contiguous(
                        memory_format=torch.channels_last
                    )
                    optimizer.zero_grad(set_to_none=True)
                    loss = self.gradients(model, images, targets, compute)
                    optimizer.step()
                    schedule.step()
                    if step % 10 == 9 or step == steps - 1:
                        if done + 1 - read >= read_every or done + 1 == steps * self.epochs:
                            losses, read = {"loss": float(loss.detach())}, done + 1
                        if not math.isfinite(losses.get("loss", 0.0)):
                            raise RunError(
                                f"squeezing the teacher diverged in epoch {epoch}; lower it: --set teacher.learning_rate=…"
                            )
                        progress((step % 10 + 1) * images_a_step, losses)
                    done += 1
                    if checkpoint.due:
                        _save(checkpoint, done, model, optimizer, rng)
                found = None
            yield Snapshot(epoch + 1, model)

    def gradients(self, model: nn.Module, images: Tensor, targets: Tensor, compute: Compute) -> Tensor:
        """Leave each parameter the gradient that this step takes; the batch's loss (). For squeezers made from this one."""
        with compute.autocast():
            loss = F.cross_entropy(model(images), targets)
        loss.backward()
        return loss

    def passes(self, data: RealData) -> float:
        steps, batch_size = self._epoch(data)
        return 0.0 if self.weights else float(self.epochs * steps * batch_size * self.sweeps)

    def advice(self, data: RealData) -> str:
        steps, batch_size = self._epoch(data)
        if self.weights or self.epochs * steps >= FEW_STEPS:
            return ""
        return (
            f"it was trained for {self.epochs * steps} steps of {batch_size} of {len(data.train)} images: train it longer "
            f"(--set teacher.epochs={3 * self.epochs}), or give it more images"
        )

    def _schedule(self, optimizer: torch.optim.Optimizer, steps: int) -> LRScheduler:
        """The rate as a function of the step alone, for epochs of `steps`."""
        if self.schedule == "one-cycle":
            return OneCycleLR(optimizer, self.learning_rate, total_steps=steps * self.epochs + 1)
        falls = self.schedule == "cosine"
        return LambdaLR(
            optimizer, lambda step: (1 + math.cos(math.pi * (step // steps) / self.epochs)) / 2 if falls else 1.0
        )

    def _epoch(self, data: RealData) -> tuple[int, int]:
        """Steps, and images in each."""
        images = len(data.train)
        batch_size = min(self.batch_size, max(images // LEAST_STEPS, LEAST_BATCH), images)
        return max(images // batch_size, LEAST_STEPS), batch_size

    @property
    def architecture(self) -> str:
        return f"torchvision:{self.model.removeprefix('torchvision:')}" if self.weights else self.model

    def normalization(self, data: RealData) -> Normalization:
        return pretrained_normalization(self.model, self.weights) if self.weights else super().normalization(data)

    def _pretrained(self, data: RealData) -> nn.Module:
        network, categories = pretrained_model(self.model, self.weights)
        # torchvision's categories are in the order of the sorted WordNet ids, which are our ImageNet class names.
        if len(categories) != data.num_classes:
            raise InputError(
                f"{self.model} {self.weights} knows ImageNet-1K's {len(categories)} classes, {data.name} has "
                f"{data.num_classes}; squeeze a teacher instead (leave teacher.weights empty)"
            )
        return network


def _save(
    checkpoint: Checkpoint, done: int, model: nn.Module, optimizer: torch.optim.Optimizer, rng: torch.Generator
) -> None:
    """All that the steps still to come depend on: weights, momentum, and both random states."""
    weights = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    buffers = {
        f"momentum.{place}": optimizer.state[parameter]["momentum_buffer"]
        for place, parameter in enumerate(model.parameters())
        if optimizer.state[parameter].get("momentum_buffer") is not None
    }
    random = {"rng.views": rng.get_state(), "rng.cpu": torch.get_rng_state()}
    random |= {f"rng.accelerator.{place}": state for place, state in enumerate(random_states())}
    checkpoint.save({**weights, **buffers, **random}, {"steps": done})


def _restore(
    found: tuple[dict[str, Tensor], dict[str, Any]],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: LRScheduler,
) -> int:
    """Put a checkpoint's state into place; the steps done."""
    tensors, facts = found
    model.load_state_dict({n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")})
    for place, parameter in enumerate(model.parameters()):
        if (buffer := tensors.get(f"momentum.{place}")) is not None:
            kept = torch.empty_like(parameter)  # in the parameter's layout, as the optimiser made it
            optimizer.state[parameter]["momentum_buffer"] = kept.copy_(buffer)
    done = int(facts["steps"])
    # The rate is a function of the step alone: going there is one step from the one before.
    schedule.last_epoch = done - 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the optimizer has made no step: another process's has
        schedule.step()
    return done


def _restore_rng(tensors: Mapping[str, Tensor], rng: torch.Generator) -> None:
    """Go on drawing views and dropout in the middle of an epoch."""
    rng.set_state(tensors["rng.views"])
    torch.set_rng_state(tensors["rng.cpu"])
    places = range(sum(name.startswith("rng.accelerator.") for name in tensors))
    put_random_states([tensors[f"rng.accelerator.{place}"] for place in places])
