"""A row of mosaics under all three regimes: the students of a run against a loop that knows of neither forms nor labels."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import torchvision.transforms.v2.functional as TF
from torch import Tensor

from delt_host.contracts.observer import Observer
from delt_host.contracts.problem import Problem
from delt_host.contracts.replay import draw_epoch
from delt_host.experiment.request import Request
from delt_host.experiment.resolve import resolve
from delt_host.images.siamese import augment
from delt_host.networks.build import build_model
from delt_host.plugins.registry import load_registry
from delt_host.stages import story
from delt_host.stages.host import Host
from delt_host.store.store import Store
from delt_plugins.networks.plugin import delt_models

EPOCHS, IPC, SIZE = 6, 2, 8
SMALL = {"dataset.image_size": SIZE, "teacher.epochs": 4, "protocol.epochs": EPOCHS}
ROW = "random-real (form=mosaic)"


def quarters(units: Tensor) -> Tensor:
    """(4 U, 3, S, S) uint8: each quarter of each unit, enlarged, row by row."""
    half = SIZE // 2
    found = [unit[:, y : y + half, x : x + half] for unit in units for y in (0, half) for x in (0, half)]
    large = F.interpolate(torch.stack(found).float() / 255, size=SIZE, mode="bilinear", align_corners=False)
    return (large * 255).round().to(torch.uint8)


def losses(problem: Problem, images: Tensor, told: str) -> list[float]:
    """The last loss of each epoch, as the protocol counts epochs: of IPC images a class, however many there are."""
    protocol, classes = problem.protocol, problem.num_classes
    targets = torch.arange(classes).repeat_interleave(len(images) // classes)
    normal = problem.normalization.normalize(images)
    with problem.isolated("student", "convnet3"):
        student = build_model("convnet3", classes, SIZE, delt_models())
    batch = 20 if told != "views" else 10
    steps, an_epoch = EPOCHS * IPC * classes // batch, IPC * classes // batch
    if told == "views":
        decayed = [p for p in student.parameters() if p.ndim > 1]
        others = [p for p in student.parameters() if p.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
        optimizer: torch.optim.Optimizer = torch.optim.AdamW(groups, lr=0.001)
    else:
        optimizer = torch.optim.SGD(student.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    whole = F.softmax(problem.teacher_logits(normal), dim=1).half().float()
    found, passes, order = [], -1, Tensor()
    for step in range(steps):
        if step * batch // len(images) > passes:
            passes += 1
            views = draw_epoch(problem, passes, len(images))
            order = views["order"].long()
        here = slice(step * batch % len(images), step * batch % len(images) + batch)
        index = order[here]
        if told == "views":
            seen, answers = _cut_and_mixed(normal[index], views, here, batch), None
            answers = problem.teacher_logits(seen).half().float()
            rate = 0.001 * 0.5 * (1 + math.cos(math.pi * (step // an_epoch) / (2 * EPOCHS)))
        else:
            seen = augment(normal[index], int(views["siamese"][here.start // batch]), views["draws"][here])
            answers = F.one_hot(targets[index], classes).float() if told == "hard" else whole[index]
            rate = 0.01 if step // an_epoch < EPOCHS * 502 / 1001 else 0.001
            if rate < optimizer.param_groups[0]["lr"]:  # DSA's code makes an optimiser anew
                optimizer.state.clear()
        for group in optimizer.param_groups:
            group["lr"] = rate
        logits = student(seen)
        if told == "views":
            soft = F.softmax(answers / protocol.temperature, dim=1)
            loss = F.kl_div(F.log_softmax(logits / protocol.temperature, dim=1), soft, reduction="batchmean")
        else:
            loss = -(answers * F.log_softmax(logits, dim=1)).sum(dim=1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % an_epoch == 0:
            found.append(float(loss.detach()))
    return found


def _cut_and_mixed(images: Tensor, views: dict[str, Tensor], here: slice, batch: int) -> Tensor:
    cut = []
    for image, box, flip in zip(images, views["box"][here].tolist(), views["flip"][here].tolist(), strict=True):
        view = TF.resized_crop(image, *box, [SIZE, SIZE], antialias=False)
        cut.append(view.flip(-1) if flip else view)
    seen = torch.stack(cut)
    _, top, left, bottom, right = (int(v) for v in views["mix"][here.start // batch].tolist())
    mixed = seen.clone()
    partner = views["partner"][here].long() - here.start
    mixed[:, :, top:bottom, left:right] = seen[partner][:, :, top:bottom, left:right]
    return mixed


@pytest.mark.usefixtures("with_teacher")
def test_students_on_mosaics_are_those_of_a_plain_loop(tmp_path: Path) -> None:
    registry = load_registry()
    said = {"method": ["random-real,form=mosaic"], "control": [], "ipc": IPC, "seeds": 1, "precision": "fp32"}
    request = Request.model_validate({**said, "regime": ["hard", "fixed", "views"], "set": SMALL})
    host = Host(registry, Store(tmp_path / "store"), Observer())
    comparison = story.prepare_run(resolve(request, registry), host)
    curves = {}
    for measured in story.run(comparison):
        assert measured.evaluation is not None, measured.failure
        curves[measured.score.regime] = measured.evaluation.facts["curve"]["loss"]
    (course,) = comparison.courses()
    assert course.distilled.size_bytes == 10 * IPC * 3 * SIZE**2, "as many bytes as so many raw images"
    images = quarters(course.distilled.packed.take(torch.arange(10 * IPC))["images"])
    assert torch.equal(course.distilled.read(torch.arange(4 * 10 * IPC)), images)
    for column in course.regimes:
        expected = losses(course.under(column), images, column.name)
        torch.testing.assert_close(curves[column.name], expected, rtol=2e-3, atol=2e-4)
