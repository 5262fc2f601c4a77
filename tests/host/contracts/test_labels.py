"""The host's labels: whom they ask, what they keep, how many steps students take, and what a set brings with it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar, Literal

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from conftest import make_problem
from delt_host import Answer, Batch, Distilled, Problem, Protocol, Relabeler, RunError
from delt_host.contracts.dataset import RealData
from delt_host.contracts.labels import Labels, label_bytes
from delt_host.contracts.replay import draw_epoch, replay_epoch
from delt_host.contracts.teacher import Teacher
from delt_host.images import siamese
from delt_host.networks.build import build_model
from delt_host.networks.named_optimizers import make_optimizer
from delt_host.store.store import Store
from delt_host.training.students import distillation_loss, train_student
from delt_plugins.dm.dsa import Dsa
from delt_plugins.forms.mosaic import Mosaic
from delt_plugins.labels.relabelers import Fixed, Fkd, Hard


def real_set(problem: Problem, count: int = 0) -> Distilled:
    """The first images of every class, as many as the problem's form decodes to."""
    count = count or problem.count
    places = torch.cat([problem.data.train.of_class(c)[:count] for c in range(problem.num_classes)])
    return Distilled.of(problem.data.train.read(places), problem.data.train.targets[places])


def plain_training(problem: Problem, batches: list[Tensor], answers: list[Tensor]) -> list[float]:
    """Losses of a student, written out: KL at temperature 20, AdamW, a half cosine by the share of the steps."""
    with problem.isolated("student", "convnet3"):
        student = build_model("convnet3", problem.num_classes, problem.image_size, problem.models)
    student.to(memory_format=torch.channels_last)
    weights = list(student.parameters())
    decayed = [{"params": [p for p in weights if p.ndim > 1], "weight_decay": 0.01}]
    optimizer = torch.optim.AdamW([*decayed, {"params": [p for p in weights if p.ndim == 1], "weight_decay": 0.0}])
    an_epoch = len(batches) // problem.protocol.epochs
    losses = []
    for step, (images, wanted) in enumerate(zip(batches, answers, strict=True)):
        share = step // an_epoch / problem.protocol.epochs
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * share / 2, dtype=torch.float64))))
        student.train()
        loss = F.kl_div((student(images) / 20).log_softmax(dim=1), (wanted / 20).softmax(dim=1), reduction="batchmean")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize("form", ["pixels", "mosaic"])
def test_students_take_the_steps_of_ipc_images_however_many_there_are(
    digits: RealData, teacher: Teacher, form: str
) -> None:
    """A set of four times the images is gone through a quarter as often, and its student is that of a plain loop."""
    problem = make_problem(digits, teacher, epochs=6, batch_size=16)
    if form == "mosaic":
        problem = problem.in_form(Mosaic())
    distilled = real_set(problem)
    assert len(distilled) == (160 if form == "mosaic" else 40)
    labels = Labels(problem, distilled, Fkd())
    training = train_student(problem, labels, "convnet3")
    assert (training.steps, training.batch_size) == (6 * 3, 16)  # 40 images of the budget are three batches
    assert training.epochs == labels.epochs == (2 if form == "mosaic" else 6)
    seen, answers = [], []
    for epoch in range(labels.epochs):
        for batch in replay_epoch(problem, distilled, draw_epoch(problem, epoch, len(distilled))):
            seen.append(batch.images)
            answers.append(problem.teacher_logits(batch.images).half().float())
    losses = plain_training(problem, seen[:18], answers[:18])
    assert training.curve["loss"] == pytest.approx(losses[2::3], rel=1e-3)
    assert problem.protocol.views_of(problem, len(distilled)) == sum(len(images) for images in seen[:18])


def test_steps_may_be_said_outright_and_the_last_epoch_is_cut_short(digits: RealData, teacher: Teacher) -> None:
    problem = make_problem(digits, teacher, batch_size=16, steps=8, evaluate_every=1)
    training = train_student(problem, Labels(problem, real_set(problem), Hard()), "convnet3")
    assert (training.steps, training.epochs) == (8, 3)
    assert training.curve["tested_epoch"] == [0, 1, 2]


class Told(Relabeler):
    """Answers each image with its place, and counts what it was shown."""

    asks: ClassVar[Literal["class", "image", "view"]] = "image"
    shown: ClassVar[list[Batch]] = []

    def bind(self, problem: Problem) -> Answer:
        def answer(batch: Batch) -> Tensor:
            self.shown.append(batch)
            return batch.index[:, None].expand(-1, problem.num_classes).float()

        return answer


def test_whole_images_are_asked_for_once_and_mixed_by_their_share(
    digits: RealData, teacher: Teacher, tmp_path: Path
) -> None:
    problem = make_problem(digits, teacher).with_store(Store(tmp_path / "labels"))
    distilled = real_set(problem)
    Told.shown.clear()
    for student in (0, 1):  # whose views differ, and whose labels are the same entry of the store
        labels = Labels(problem.with_student(student), distilled, Told())
        labels.prepare()
        for batch in labels.epoch(2):
            share = batch.share
            expected = share * batch.index + (1 - share) * batch.partner
            assert batch.answers is not None
            torch.testing.assert_close(batch.answers, expected[:, None].expand(-1, 10))
    (whole,) = Told.shown
    assert torch.equal(whole.images, problem.normalization.normalize(distilled.read(torch.arange(40))))
    assert torch.equal(whole.classes, distilled.targets) and bool((whole.share == 1).all())


def test_labels_and_rate_that_a_set_brings_are_taken_where_an_image_has_one_label(
    digits: RealData, teacher: Teacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = make_problem(digits, teacher, mix="none").in_form(Mosaic())
    logits = torch.randn(40, 10, generator=torch.Generator().manual_seed(0))
    plain = real_set(problem)
    learned = dataclasses.replace(plain, labels=logits, learning_rate=torch.tensor(0.02))
    monkeypatch.setattr(Problem, "teacher_logits", lambda *_: pytest.fail("the teacher was asked"))
    fixed = Labels(problem, learned, Fixed())
    assert fixed.kind == "probabilities" and fixed.learning_rate == pytest.approx(0.02)
    for batch in fixed.epoch(1):  # image i is a cell of unit i // 4
        assert batch.answers is not None
        torch.testing.assert_close(batch.answers, logits[batch.index // 4].softmax(dim=1))
    with pytest.raises(
        RunError, match=r"the set's labels are for \(images, classes\) = \(160, 7\), and it has \(160, 10\)"
    ):
        Labels(problem, dataclasses.replace(learned, labels=logits[:, :7]), Fixed()).prepare()
    assert [Labels(problem, learned, other).learning_rate for other in (Hard(), Fkd())] == [None, None]
    rates: list[float] = []

    def made(*given: object) -> torch.optim.Optimizer:
        rates.append(given[2])  # type: ignore[arg-type]
        return make_optimizer(*given)  # type: ignore[arg-type]

    monkeypatch.setattr("delt_host.training.students.make_optimizer", made)
    for labels in (fixed, Labels(problem, learned, Hard())):
        train_student(problem, labels, "convnet3")
    assert rates == pytest.approx([0.02, 0.001])


def test_without_storing_every_view_is_answered_while_students_train(
    digits: RealData, teacher: Teacher, tmp_path: Path
) -> None:
    """As for the whole real set: no file, the teacher's bytes, and no rounding to float16."""
    problem = make_problem(digits, teacher).with_store(Store(tmp_path / "labels"))
    labels = Labels(problem, real_set(problem), Fkd(), store=False)
    labels.prepare()
    for batch in labels.epoch(0):
        assert batch.answers is not None and torch.equal(batch.answers, problem.teacher_logits(batch.images))
    assert not list((tmp_path / "labels").rglob("*.safetensors"))
    assert labels.size_bytes == label_bytes(Fkd(), problem, store=False) == teacher.size_bytes
    assert labels.stored(0) is None


def test_answers_of_a_wrong_shape_are_named(problem: Problem) -> None:
    class Few(Relabeler):
        """One value too few."""

        def bind(self, problem: Problem) -> Answer:
            return lambda batch: problem.teacher_logits(batch.images)[:, 1:]

    with pytest.raises(RunError, match=r"its answers to 40 images are \(40, 9\), not \(40, 10\)"):
        Labels(problem, real_set(problem), Few()).prepare()


def test_views_of_dsa_are_what_siamese_augmentation_gives(digits: RealData, teacher: Teacher) -> None:
    """One operation a batch, draws for each image of it, after normalisation, and nothing else."""
    problem = make_problem(digits, teacher).under(Dsa(epochs=1, batch_size=16))
    distilled = real_set(problem)
    operations = set()
    for epoch in range(12):
        views = draw_epoch(problem, epoch, 40)
        assert views["siamese"].shape == (3,) and views["draws"].shape == (40, 3)
        assert not torch.equal(views["draws"][0], views["draws"][1])
        for step, batch in enumerate(replay_epoch(problem, distilled, views)):
            pixels = distilled.read(views["order"][16 * step : 16 * (step + 1)].long())
            operation, draws = int(views["siamese"][step]), views["draws"][16 * step : 16 * (step + 1)]
            expected = siamese.augment(problem.normalization.normalize(pixels), operation, draws)
            torch.testing.assert_close(batch.images, expected, atol=1e-6, rtol=1e-6)
            assert bool((batch.share == 1).all())
            operations.add(operation)
    assert len(operations) == 6


def test_other_settings_draw_the_same_views_beside_the_siamese_ones(digits: RealData, teacher: Teacher) -> None:
    plain = draw_epoch(make_problem(digits, teacher), 1, 40)
    more = draw_epoch(make_problem(digits, teacher, siamese="flip_scale"), 1, 40)
    assert set(more) - set(plain) == {"siamese", "draws"}
    assert all(torch.equal(plain[name], more[name]) for name in plain)
    assert set(more["siamese"].tolist()) <= {siamese.OPERATIONS.index(name) for name in ("flip", "scale")}


def test_optimizers_have_timms_names_and_take_options(digits: RealData, teacher: Teacher) -> None:
    def losses(**settings: object) -> list[float]:
        problem = make_problem(digits, teacher, epochs=3, **settings)
        return train_student(problem, Labels(problem, real_set(problem), Hard()), "convnet3").curve["loss"]

    plain = losses(optimizer="sgd", learning_rate=0.1)
    assert plain == losses(optimizer="sgd", learning_rate=0.1, momentum=0.9)
    assert plain != losses(optimizer="sgd", learning_rate=0.1, momentum=0.0)
    assert plain != losses(optimizer="sgd", learning_rate=0.1, optimizer_options={"nesterov": True})
    assert losses(optimizer="lamb") != losses()
    given = [{"params": [torch.nn.Parameter(torch.zeros(1))], "weight_decay": 0.1}]
    found = make_optimizer("lamb", given, 0.1, 0.9, {"betas": (0.5, 0.9)})
    assert type(found).__name__ == "Lamb" and found.param_groups[0]["betas"] == (0.5, 0.9)
    assert found.param_groups[0]["weight_decay"] == 0.1


def test_protocols_of_plugins_are_keyed_by_their_code() -> None:
    from delt_host.contracts.identity import identity

    class Mine(Protocol):
        """Another batch than the options say."""

        def batch_for(self, ipc: int, num_classes: int) -> int:
            return 3

    assert identity(Mine()) != identity(Protocol())


def test_images_weigh_as_their_set_says(problem: Problem) -> None:
    plain = real_set(problem)
    heavy = dataclasses.replace(plain, weights=torch.arange(40.0) / 19.5)
    (one, *_), (other, *_) = (list(Labels(problem, each, Hard()).epoch(0)) for each in (plain, heavy))
    assert one.weight is None and other.weight is not None
    assert torch.equal(other.weight, other.index / 19.5)
    logits = torch.randn(len(other.index), 10, generator=torch.Generator().manual_seed(0))
    assert one.answers is not None
    each = F.cross_entropy(logits, one.answers, reduction="none")
    found = distillation_loss(logits, other, "probabilities", problem.protocol)
    torch.testing.assert_close(found, (other.weight * each).mean())
