"""Squeeze: a squeezer's network as a teacher, measured on the test split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import nn

from delt_host.basics import batching
from delt_host.basics.accelerator import moved
from delt_host.basics.ahead import ahead
from delt_host.basics.compute import Compute
from delt_host.basics.errors import RunError
from delt_host.contracts.dataset import RealData, Split
from delt_host.contracts.squeezer import OnProgress, Snapshot, Squeezer
from delt_host.contracts.teacher import Awaited, Teacher
from delt_host.images.normalization import Normalization
from delt_host.networks.build import Builder
from delt_host.store.resume import Checkpoint


def squeeze(
    data: RealData,
    squeezer: Squeezer,
    compute: Compute,
    models: Mapping[str, Builder],
    progress: OnProgress,
    checkpoint: Checkpoint | None = None,
) -> Teacher:
    """Let the squeezer train (or fetch) its network and measure it on the test split; with a checkpoint, go on from it."""
    last: Snapshot | None = None
    for snapshot in squeezer.train(data, compute, models, checkpoint or Checkpoint(None), progress):
        if last is not None and snapshot.epoch <= last.epoch:
            raise RunError(f"it gave epoch {snapshot.epoch} after epoch {last.epoch}")
        last = snapshot
    if last is None:
        raise RunError("it gave no snapshot, and the last one is the teacher")
    return measured(replace(awaited(data, squeezer), state=last.weights()), data, compute, models)


def awaited(data: RealData, squeezer: Squeezer) -> Awaited:
    """What is known of a teacher before it is squeezed."""
    normalization = squeezer.normalization(data)
    return Awaited(
        architecture=squeezer.architecture,
        state={},
        class_names=data.class_names,
        mean=normalization.mean,
        std=normalization.std,
        image_size=data.image_size,
        recipe=squeezer.model_dump(mode="json"),
        trained_on=data.fingerprint,
    )


def measured(teacher: Teacher, data: RealData, compute: Compute, models: Mapping[str, Builder]) -> Teacher:
    """The teacher with its top-1 accuracy on the dataset's test split, or on its validation images, filled in."""
    network = teacher.network(data.class_names, compute, models)
    percent = accuracy(network, teacher.normalization, data.scored, compute)[0]
    facts = {**teacher.facts(), "accuracy": percent, "dataset": data.name}
    return replace(Teacher.from_facts(facts, teacher.state), name=teacher.name)


@torch.inference_mode()
def accuracy(
    network: nn.Module, normalization: Normalization, split: Split, compute: Compute
) -> tuple[float, list[float]]:
    """Top-1 in percent of a network in eval mode, over all and for each class.

    A class without images has accuracy NaN.
    """
    predicted = []
    at_once = batching.in_one_pass(split.read(torch.tensor([0])).shape[-1])
    for pixels in ahead(map(split.read, torch.arange(len(split)).split(at_once))):
        (there,) = moved(compute.device, pixels)
        images = normalization.normalize(there).contiguous(memory_format=torch.channels_last)
        with compute.autocast():
            predicted.append(network(images).argmax(dim=1))
    correct = (torch.cat(predicted).cpu() == split.targets).double()
    classes = range(int(split.targets.max()) + 1)
    return 100 * float(correct.mean()), [100 * float(correct[split.targets == c].mean()) for c in classes]
