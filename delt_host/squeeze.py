"""Squeeze: train a teacher on the whole real training set by a stated recipe.

DELT, SRe2L and CDA take a ResNet or ConvNet trained the ordinary way; how long matters (longer-trained teachers are
better classifiers and worse sources), so the recipe is part of the teacher.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from delt_host.augment import apply_view, crop_matrix, draw_crops, draw_offsets, mirror, shift_matrix
from delt_host.compute import Compute
from delt_host.data.base import RealData, Split
from delt_host.errors import InputError, RunError
from delt_host.models import Builder, build_model, pretrained_model
from delt_host.normalization import Normalization
from delt_host.resume import Checkpoint
from delt_host.seeding import generator, isolated_rng
from delt_host.teacher import Awaited, Teacher

OnProgress = Callable[[int, dict[str, float]], None]


class TeacherRecipe(BaseModel):
    """How the teacher is trained: SGD with Nesterov momentum under a one-cycle learning rate."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = "convnet3"
    """A model's name: ours, torchvision's or timm's."""
    epochs: int = Field(10, ge=0)
    batch_size: int = Field(128, ge=2)
    learning_rate: float = Field(0.1, gt=0)
    """The peak of the one-cycle schedule."""
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    crop: Literal["pad", "resized", "none"] = "pad"
    """`pad`: a random crop of the image padded by an eighth; `resized`: RandomResizedCrop(0.08, 1)."""
    flip: bool = True
    seed: int = 0
    weights: str = ""
    """Pretrained torchvision weights (IMAGENET1K_V1, DEFAULT) instead of training; ImageNet-1K only."""


def squeeze(
    data: RealData,
    recipe: TeacherRecipe,
    compute: Compute,
    models: Mapping[str, Builder],
    progress: OnProgress,
    checkpoint: Checkpoint | None = None,
) -> Teacher:
    """Train (or fetch) the teacher and measure it on the test split; with a checkpoint, go on from it."""
    if recipe.weights:
        return _pretrained(data, recipe, compute, models)
    if recipe.epochs == 0:
        raise InputError("teacher.epochs is 0: a teacher must be trained, imported, or have pretrained weights")
    with isolated_rng(recipe.seed, "squeeze", "weights"):
        model = build_model(recipe.model, data.num_classes, data.image_size, models)
    model = compute.place(model)
    steps = max(len(data.train) // recipe.batch_size, 1)
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.momentum > 0,
    )
    total = steps * recipe.epochs
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total_steps=total + 1)
    normalization = Normalization(data.mean, data.std)
    checkpoint = checkpoint or Checkpoint(None)
    found, done = checkpoint.load(), 0
    if found:
        done = _restore(found, model, optimizer, schedule)
        progress(done * recipe.batch_size, {})
    for epoch in range(done // steps, recipe.epochs):
        model.train()
        rng = generator(recipe.seed, "squeeze", epoch)
        order = torch.randperm(len(data.train), generator=rng)
        with isolated_rng(recipe.seed, "squeeze", "dropout", epoch):
            if found and done % steps:
                _restore_rng(found[0], rng)
            for step in range(done % steps, steps):
                batch = order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
                pixels = data.train.read(batch).to(compute.device).float() / 255
                images = normalization.normalize(_augment(pixels, recipe, rng)).contiguous(
                    memory_format=torch.channels_last
                )
                targets = data.train.targets[batch].to(compute.device)
                with compute.autocast():
                    loss = F.cross_entropy(model(images), targets)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                schedule.step()
                if step % 10 == 9 or step == steps - 1:
                    value = float(loss.detach())
                    if value != value:
                        raise RunError(
                            f"squeezing the teacher diverged in epoch {epoch}; lower it: --set teacher.learning_rate=…"
                        )
                    progress((step % 10 + 1) * recipe.batch_size, {"loss": value})
                done += 1
                if checkpoint.due:
                    _save(checkpoint, done, model, optimizer, rng)
            found = None
    state = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
    return measured(_unfinished(data, recipe, state), data, compute, models)


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
    if torch.cuda.is_available():
        random["rng.cuda"] = torch.cuda.get_rng_state()
    checkpoint.save({**weights, **buffers, **random}, {"steps": done})


def _restore(
    found: tuple[dict[str, Tensor], dict[str, Any]],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.OneCycleLR,
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
    if torch.cuda.is_available() and "rng.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["rng.cuda"])


def measured(teacher: Teacher, data: RealData, compute: Compute, models: Mapping[str, Builder]) -> Teacher:
    """The teacher with its top-1 accuracy on the dataset's test split filled in."""
    network = teacher.network(data.class_names, compute, models)
    percent = accuracy(network, teacher.normalization, data.test, compute)[0]
    return Teacher(**{**teacher.facts(), "state": teacher.state, "accuracy": percent, "dataset": data.name})


@torch.inference_mode()
def accuracy(
    network: nn.Module,
    normalization: Normalization,
    split: Split,
    compute: Compute,
    indices: Tensor | None = None,
) -> tuple[float, list[float]]:
    """Top-1 in percent of a network in eval mode, over all and for each class.

    A class without images has accuracy NaN. `indices` (n,) restricts the split.
    """
    indices = torch.arange(len(split)) if indices is None else indices
    right = []
    for chunk in indices.split(500):
        images = normalization.normalize(split.read(chunk).to(compute.device)).contiguous(
            memory_format=torch.channels_last
        )
        with compute.autocast():
            predicted = network(images).argmax(dim=1).cpu()
        right.append(predicted == split.targets[chunk])
    correct, targets = torch.cat(right).double(), split.targets[indices]
    classes = range(int(split.targets.max()) + 1)
    return 100 * float(correct.mean()), [100 * float(correct[targets == c].mean()) for c in classes]


def _augment(pixels: Tensor, recipe: TeacherRecipe, rng: torch.Generator) -> Tensor:
    count, size = len(pixels), pixels.shape[-1]
    if recipe.crop == "pad":
        down, right = draw_offsets(rng, count, size)
        rows, columns = shift_matrix(down, size), shift_matrix(right, size)
    elif recipe.crop == "resized":
        boxes = draw_crops(rng, count, size, (0.08, 1.0))
        rows, columns = (
            crop_matrix(boxes[:, 0], boxes[:, 2], size),
            crop_matrix(boxes[:, 1], boxes[:, 3], size),
        )
    else:
        rows = columns = torch.eye(size)[None].expand(count, -1, -1)
    if recipe.flip:
        columns = mirror(columns, torch.rand(count, generator=rng) < 0.5)
    return apply_view(pixels, rows, columns)


def awaited(data: RealData, recipe: TeacherRecipe) -> Teacher:
    """What is known of a teacher before it is squeezed."""
    return Awaited(**vars(_unfinished(data, recipe, {})))


def _unfinished(data: RealData, recipe: TeacherRecipe, state: dict[str, Tensor]) -> Teacher:
    return Teacher(
        architecture=recipe.model,
        state=state,
        class_names=data.class_names,
        mean=data.mean,
        std=data.std,
        image_size=data.image_size,
        recipe=recipe.model_dump(),
    )


def _pretrained(data: RealData, recipe: TeacherRecipe, compute: Compute, models: Mapping[str, Builder]) -> Teacher:
    model, about = pretrained_model(recipe.model, recipe.weights)
    state = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}
    classes = len(about["categories"])
    if classes != data.num_classes:
        raise InputError(
            f"{recipe.model} {recipe.weights} knows ImageNet-1K's {classes} classes, {data.name} has "
            f"{data.num_classes}; squeeze a teacher instead (leave teacher.weights empty)"
        )
    # torchvision's categories are in the order of the sorted WordNet ids, which are our ImageNet class names.
    teacher = Teacher(
        architecture=f"torchvision:{recipe.model.removeprefix('torchvision:')}",
        state=state,
        class_names=data.class_names,
        mean=tuple(about["mean"]),
        std=tuple(about["std"]),
        image_size=data.image_size,
        recipe=recipe.model_dump(),
    )
    return measured(teacher, data, compute, models)
