"""Students, protocols, labels and views: what is equal for all methods, and what protocols change."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from conftest import make_problem
from delt_host.basics import batching
from delt_host.basics.compute import use_threads
from delt_host.basics.errors import InputError
from delt_host.basics.seeding import generator
from delt_host.contracts import labels as labels_module
from delt_host.contracts.dataset import IMAGENET_MEAN, RealData
from delt_host.contracts.labels import Labels, epoch_bytes, label_bytes
from delt_host.contracts.problem import Problem
from delt_host.contracts.protocol import Fair, Protocol, titled
from delt_host.contracts.relabeler import Batch, Relabeler
from delt_host.contracts.replay import draw_epoch, replay_epoch
from delt_host.contracts.sets import Distilled
from delt_host.contracts.teacher import Teacher
from delt_host.experiment.columns import ColumnMaker
from delt_host.experiment.parts import Parts
from delt_host.plugins.registry import load_registry
from delt_host.store.store import Store
from delt_host.training.students import distillation_loss, milestones, rate_factor, train_student
from delt_plugins.controls.real import Real
from delt_plugins.labels.compressed import EightBit, Pruned, TopK
from delt_plugins.labels.relabelers import Fixed, Fkd, Hard, Online


def distil(problem: Problem) -> Distilled:
    start = Real().initialize(problem, range(problem.num_classes))
    return Distilled.of(start.images, problem.targets())


def same(one: Batch, other: Batch) -> bool:
    pairs = zip(vars(one).values(), vars(other).values(), strict=True)
    return all(x is y is None or torch.equal(x, y) for x, y in pairs)


def test_real_images_survive_normalisation_exactly(problem: Problem) -> None:
    pixels = Real().initialize(problem, range(10)).images
    again = problem.normalization.denormalize(problem.normalization.normalize(pixels), "floor")
    assert torch.equal(again, pixels)


def test_stored_labels_equal_the_teachers_on_the_same_views(problem: Problem) -> None:
    distilled = distil(problem)
    stored, online = Labels(problem, distilled, Fkd()), Labels(problem, distilled, Online())
    for epoch in (0, 2):
        for kept, exact in zip(stored.epoch(epoch), online.epoch(epoch), strict=True):
            assert torch.equal(kept.images, exact.images)
            torch.testing.assert_close(kept.answers, exact.answers, atol=2e-3, rtol=2e-3)  # float16 storage


@pytest.mark.parametrize("relabeler", [Fkd(), Pruned(keep=0.4), TopK(k=3), EightBit()])
def test_stored_labels_take_what_they_say_and_come_back(
    digits: RealData, teacher: Teacher, tmp_path: Path, relabeler: Fkd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks of two epochs: the files' tensors have the bytes that were announced, and a teacher that is gone is not missed."""
    bare = make_problem(digits, teacher, epochs=5)
    problem = bare.with_store(Store(tmp_path / "labels"))
    monkeypatch.setattr(labels_module, "BLOCK_BYTES", 2 * epoch_bytes(relabeler, problem))
    distilled = distil(problem)
    made = Labels(problem, distilled, relabeler)
    made.prepare()
    files = list((tmp_path / "labels").glob("labels/*"))
    assert len(files) == math.ceil(made.epochs / 2)
    kept = [tensor for file in files for tensor in load_file(file).values()]
    assert sum(tensor.numel() * tensor.element_size() for tensor in kept) == label_bytes(relabeler, problem)
    without_store = [list(Labels(bare, distilled, relabeler).epoch(number)) for number in (4, 1, 3)]
    monkeypatch.setattr(Problem, "teacher_logits", lambda *_: pytest.fail("the teacher was asked again"))
    found = Labels(problem, distilled, relabeler)
    for number, expected in zip((4, 1, 3), without_store, strict=True):
        for one, other in zip(found.epoch(number), expected, strict=True):
            assert same(one, other)


def test_longer_training_finds_the_first_labels_made(
    digits: RealData, teacher: Teacher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short, long = (
        make_problem(digits, teacher, epochs=epochs).with_store(Store(tmp_path / "labels")) for epochs in (2, 4)
    )
    distilled = distil(short)
    monkeypatch.setattr(labels_module, "BLOCK_BYTES", 2 * epoch_bytes(Fkd(), short))
    Labels(short, distilled, Fkd()).prepare()
    asked = []
    answer = Problem.teacher_logits
    monkeypatch.setattr(Problem, "teacher_logits", lambda self, views: asked.append(len(views)) or answer(self, views))
    Labels(long, distilled, Fkd()).prepare()
    assert asked == [short.num_images] * 2  # epochs 2 and 3 alone


def test_the_teacher_is_given_a_few_hundred_views_at_a_time(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    distilled = distil(problem)
    whole = list(Labels(problem, distilled, Fkd()).epoch(0))
    monkeypatch.setattr(batching, "in_one_pass", lambda _side: 10)
    for one, other in zip(whole, Labels(problem, distilled, Fkd()).epoch(0), strict=True):
        torch.testing.assert_close(one.answers, other.answers, atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("relabeler", [Fkd(), Online(), Hard(), Fixed()])
def test_label_bytes_are_known_beforehand(problem: Problem, relabeler: Relabeler) -> None:
    made = Labels(problem, distil(problem), relabeler)
    made.prepare()
    assert label_bytes(relabeler, problem) == made.size_bytes


def test_hard_labels_follow_the_pixels_of_cutmix(problem: Problem) -> None:
    """Of images of one colour per class, the label is the share of each colour in the view."""
    targets = problem.targets()
    pixels = (targets * 25).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 8, 8).contiguous()
    for batch in Labels(problem, Distilled.of(pixels, targets), Hard()).epoch(0):
        assert batch.answers is not None
        colours = problem.normalization.denormalize(batch.images)[:, 0].float() / 25
        for colour, label in zip(colours, batch.answers, strict=True):
            shares = torch.stack([(colour.round() == c).float().mean() for c in range(10)])
            torch.testing.assert_close(label, shares, atol=0.02, rtol=0)


def test_views_do_not_depend_on_the_method(problem: Problem) -> None:
    """Same seed, same protocol: two distilled sets see the same crops, flips, partners and order."""
    one, other = draw_epoch(problem, 5, 40), draw_epoch(problem.with_seed(0), 5, 40)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not torch.equal(one["order"], draw_epoch(problem, 6, 40)["order"])
    assert not torch.equal(one["order"], draw_epoch(problem.with_seed(1), 5, 40)["order"])


def test_every_image_is_seen_once_an_epoch(digits: RealData, teacher: Teacher) -> None:
    problem = make_problem(digits, teacher, ipc=3, batch_size=7)
    views = draw_epoch(problem, 0, 30)
    assert sorted(views["order"].tolist()) == list(range(30))
    sizes = [len(batch.images) for batch in replay_epoch(problem, distil(problem), views)]
    assert sizes == [7, 7, 7, 7, 2]


@pytest.mark.parametrize(
    ("ipc", "classes", "doubled_from", "size"),
    [(1, 10, 0, 10), (10, 10, 0, 50), (50, 10, 0, 100), (10, 100, 100, 100), (50, 1000, 100, 200), (1, 4, 0, 4)],
)
def test_batch_sizes_are_rdeds(ipc: int, classes: int, doubled_from: int, size: int) -> None:
    assert Protocol(batch_size_doubled_from=doubled_from).batch_for(ipc, classes) == size


@pytest.mark.parametrize(
    ("ipc", "classes", "size"), [(1, 10, 10), (10, 10, 20), (50, 10, 100), (10, 1000, 100), (1, 4, 4)]
)
def test_fair_batches_are_a_fifth_of_the_images(ipc: int, classes: int, size: int) -> None:
    assert Fair().batch_for(ipc, classes) == size


def test_learning_rate_schedules() -> None:
    half, full = Protocol(), Protocol(schedule="cosine")
    assert rate_factor(half, 0, 300) == rate_factor(full, 0, 300) == 1
    assert rate_factor(half, 300, 300) == pytest.approx(0.5)
    assert rate_factor(full, 300, 300) == pytest.approx(0)
    assert rate_factor(half, 150, 300) == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))
    edc = Protocol(schedule="half-cosine-linear")
    assert [rate_factor(edc, e, 300) for e in (0, 150, 250)] == [rate_factor(half, e, 300) for e in (0, 150, 250)]
    assert rate_factor(edc, 275, 300) == pytest.approx(rate_factor(half, 250, 300) / 12), "it drops to a sixth before"
    assert rate_factor(edc, 300, 300) == 0
    assert [rate_factor(Protocol(schedule="half-linear"), e, 300) for e in (0, 150, 300)] == [1, 0.75, 0.5]
    warm = Protocol(warmup_epochs=5, schedule="cosine")
    assert [rate_factor(warm, e, 100) for e in (0, 4, 5)] == pytest.approx([0.2, 1.0, 1.0])
    warm = Protocol(warmup_epochs=4, warmup_from=0.2)
    assert [rate_factor(warm, e, 100) for e in (0, 2, 4)] == pytest.approx([0.2, 0.6, 1.0])
    step = Protocol(schedule="step")
    assert [rate_factor(step, e, 4.5) for e in (0, 2, 3, 4)] == [1.0, 1.0, 0.1, 0.1]
    steps = Protocol(schedule="step", milestones=[0.8, 0.9, 0.95], step_factor=0.5)
    assert [rate_factor(steps, e, 1000) for e in (799, 800, 899, 900, 950)] == [1.0, 0.5, 0.5, 0.25, 0.125]


def answered(answers: torch.Tensor, classes: torch.Tensor, weight: torch.Tensor | None = None) -> Batch:
    """A batch of which a loss looks at the answers alone."""
    place = torch.arange(len(classes))
    images = torch.zeros(len(classes), 3, 8, 8)
    return Batch(images, place, classes, place, classes, torch.ones(len(classes)), answers, weight)


def test_loss_is_kl_at_temperature_without_its_square() -> None:
    rng = generator(0, "loss")
    student, teacher = torch.randn(5, 4, generator=rng), torch.randn(5, 4, generator=rng)
    classes = torch.tensor([0, 1, 2, 3, 0])
    batch = answered(teacher, classes)
    p, q = F.softmax(teacher / 20, dim=1), F.softmax(student / 20, dim=1)
    plain = (p * (p.log() - q.log())).sum(dim=1).mean()
    torch.testing.assert_close(distillation_loss(student, batch, "logits", Protocol()), plain)
    squared = Protocol(multiply_by_temperature_squared=True)
    torch.testing.assert_close(distillation_loss(student, batch, "logits", squared), plain * 400)
    gvbsm = Protocol(loss="mse", hard_weight=0.15)
    plain = (student - teacher).square().mean() - 0.15 * student.log_softmax(dim=1)[range(5), classes].mean()
    torch.testing.assert_close(distillation_loss(student, batch, "logits", gvbsm), plain)


@pytest.mark.parametrize("kind", ["logits", "probabilities"])
@pytest.mark.parametrize("loss", ["kl", "mse"])
def test_an_image_that_counts_twice_is_as_if_it_were_there_twice(kind: str, loss: str) -> None:
    rng = generator(0, "weighted")
    student, teacher = torch.randn(4, 3, generator=rng), torch.randn(4, 3, generator=rng).softmax(dim=1)
    protocol, classes = Protocol(loss=loss, hard_weight=0.1), torch.tensor([0, 1, 2, 0])
    some, twice = torch.tensor([0, 1, 3]), torch.tensor([0, 1, 3, 3])
    weight = torch.tensor([1.0, 1.0, 2.0]) * 3 / 4
    weighted = distillation_loss(student[some], answered(teacher[some], classes[some], weight), kind, protocol)
    plain = distillation_loss(student[twice], answered(teacher[twice], classes[twice]), kind, protocol)
    torch.testing.assert_close(weighted, plain)


def test_training_repeats_bit_for_bit_and_depends_on_the_seed(problem: Problem) -> None:
    def curve(seed: int) -> list[float]:
        chosen = problem.with_seed(seed)
        return train_student(chosen, Labels(chosen, distil(problem), Hard()), "convnet3").curve["loss"]

    assert curve(0) == curve(0)
    assert curve(0) != curve(1)


def test_a_student_from_a_file_is_the_same_wherever_the_file_lies(problem: Problem) -> None:
    """Its key has the code and no folder, so its weights and dropout must have none."""
    folders = ("/here/mine.py:net", "/elsewhere/mine.py:net")
    own = {**problem.models, **dict.fromkeys(folders, problem.models["convnet3"])}
    curves = []
    for name in folders:
        chosen = dataclasses.replace(problem, models=own)
        curves.append(train_student(chosen, Labels(chosen, distil(chosen), Hard()), name).curve["loss"])
    assert curves[0] == curves[1]


@pytest.mark.parametrize(
    ("ipc", "classes", "accumulate", "parts"),
    [(1, 2, 2, [2]), (1, 3, 2, [3]), (1, 10, 4, [3, 3, 4]), (1, 10, 6, [2] * 5)],
)
def test_parts_of_a_batch_have_two_images_and_count_as_they_are_many(
    ipc: int, classes: int, accumulate: int, parts: list[int]
) -> None:
    protocol = Protocol(accumulate=accumulate)
    whole, size = protocol.batch_for(ipc, classes), protocol.part_for(ipc, classes)
    assert [len(batching.places(whole, size, step)) for step in range(batching.steps(whole, size))] == parts


def test_only_the_schedule_step_has_milestones() -> None:
    own = {"milestones": [0.5, 0.75], "step_restarts": True, "warmup_epochs": 2}
    stepped, falling = Protocol(schedule="step", **own), Protocol(schedule="cosine", **own)
    assert [milestones(stepped, epoch, 8) for epoch in range(-1, 8)] == [0, 0, 0, 0, 0, 1, 1, 2, 2]
    assert not any(milestones(falling, epoch, 8) for epoch in range(8))


def test_a_student_learns_the_digits(digits: RealData, teacher: Teacher) -> None:
    problem = make_problem(digits, teacher, ipc=20, epochs=15, evaluate_every=5, mix="none", min_crop=0.6, flip=False)
    training = train_student(problem, Labels(problem, distil(problem), Hard()), "convnet3")
    assert training.last > 60
    assert training.best == max(training.curve["accuracy"]) and training.last == training.curve["accuracy"][-1]
    assert training.curve["tested_epoch"] == [4, 9, 14]
    assert (training.epochs, training.steps, training.batch_size) == (15, 15 * 4, 50)
    share = torch.bincount(digits.test.targets) / len(digits.test)
    weighted = sum(a * float(s) for a, s in zip(training.per_class, share, strict=True))
    assert weighted == pytest.approx(training.last, abs=1e-4)


def test_double_forward_moves_batch_norm_twice(digits: RealData, teacher: Teacher) -> None:
    def running_mean(**quirks: object) -> torch.Tensor:
        problem = make_problem(digits, teacher, epochs=1, batch_size=40, **quirks)
        student = train_student(problem, Labels(problem, distil(problem), Hard()), "convnet3").student
        return next(b for n, b in student.named_buffers() if n.endswith("running_mean"))

    once, twice = running_mean(), running_mean(legacy_double_forward=True)
    torch.testing.assert_close(twice, once * 1.9, atol=1e-5, rtol=1e-4)  # 1 - 0.9^2 against 1 - 0.9


def test_imagenet_normalisation_quirk_is_what_students_see(digits: RealData, teacher: Teacher) -> None:
    problem = make_problem(digits, teacher, legacy_imagenet_normalization=True)
    assert problem.view_normalization.mean == IMAGENET_MEAN
    assert problem.normalization.mean == digits.mean


def protocol(name: str, dataset: str, changes: dict[str, object]) -> Protocol:
    regime = {"relabeler": "hard", "protocol": {"name": name, **changes}}
    (column,) = ColumnMaker(Parts(load_registry(), dataset, {}), 10, ("resnet18",)).columns([regime], teacher=True)
    return column.protocol.component


def test_published_protocols_tell_paper_and_code_apart() -> None:
    paper, code = protocol("delt-paper", "cifar10", {}), protocol("delt-repo", "cifar10", {})
    assert (paper.schedule, code.schedule) == ("cosine", "half-cosine")
    assert (paper.report, code.report) == ("last", "best")
    assert paper.randaugment == code.randaugment == "m5-n4"
    assert protocol("delt-repo", "imagenet", {}).min_crop == 0.25
    assert protocol("rded", "imagenette", {}).shuffle_patches == 2
    zooming = [
        name for name in ("fair", "rded", "delt-repo", "sre2l", "edc") if protocol(name, "tiny-imagenet", {}).test_zoom
    ]
    assert zooming == ["rded", "delt-repo"]
    assert not protocol("rded", "cifar10", {}).test_zoom, "32 // 7 * 8 is 32"
    legacy = ("legacy_double_forward", "legacy_imagenet_normalization")
    assert Fair().report == "last" and not any(getattr(Fair(), name) for name in legacy)


def test_a_changed_protocol_says_so_and_has_another_fingerprint() -> None:
    changed = protocol("fair", "cifar10", {"epochs": "60"})
    assert titled("fair", changed) == "fair v2 (epochs=60)"
    assert changed.fingerprint != Fair().fingerprint


def test_protocol_errors_are_sentences() -> None:
    with pytest.raises(InputError, match="unknown protocol 'fiar'; did you mean 'fair'?"):
        protocol("fiar", "cifar10", {})
    with pytest.raises(InputError, match=r"protocol fair.epochs must be a valid integer.*not 'many'"):
        protocol("fair", "cifar10", {"epochs": "many"})
    with pytest.raises(InputError, match="protocol fair has no option 'epoch'; did you mean 'epochs'"):
        protocol("fair", "cifar10", {"epoch": 3})
    with pytest.raises(InputError, match="m5-n4"):
        protocol("fair", "cifar10", {"randaugment": "strong"})
    with pytest.raises(InputError, match="'colour' is no siamese augmentation"):
        protocol("fair", "cifar10", {"siamese": "colour_flip"})
    with pytest.raises(InputError, match="'lammb' is no optimizer; did you mean 'lamb'"):
        protocol("fair", "cifar10", {"optimizer": "lammb"})
    with pytest.raises(InputError, match="optimizer adamw does not take beta"):
        protocol("fair", "cifar10", {"optimizer_options": {"beta": 0.9}})


@pytest.mark.parametrize("name", load_registry().names("protocol"))
def test_every_protocol_trains(digits: RealData, teacher: Teacher, name: str) -> None:
    for dataset in ("cifar10", "cifar100", "tiny-imagenet", "imagenette"):
        chosen = protocol(name, dataset, {"epochs": 1, "warmup_epochs": 0})
        problem = dataclasses.replace(make_problem(digits, teacher), protocol=chosen)
        training = train_student(problem, Labels(problem, distil(problem), Online()), "convnet3")
        assert math.isfinite(training.curve["loss"][0])


def test_the_students_average_is_tested_where_the_protocol_asks(digits: RealData, teacher: Teacher) -> None:
    def trained(**settings: object) -> torch.nn.Module:
        problem = make_problem(digits, teacher, epochs=2, **settings)
        return train_student(problem, Labels(problem, distil(problem), Hard()), "convnet3").student

    plain, average = trained(), trained(average=0.5)
    weights = [next(model.parameters()) for model in (plain, average)]
    assert not torch.equal(*weights) and torch.allclose(*weights, atol=0.05)


def test_the_last_epoch_counts_whatever_the_test_split_said_before(
    digits: RealData, teacher: Teacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A student that gets worse: the best epoch, which test data chose, is shown beside it and is not its score."""
    problem = make_problem(digits, teacher, epochs=3, evaluate_every=1)
    said = iter([90.0, 50.0, 40.0])
    monkeypatch.setattr("delt_host.training.students.accuracy", lambda *_arguments: (next(said), [0.0] * 10))
    training = train_student(problem, Labels(problem, distil(problem), Hard()), "convnet3")
    assert (training.last, training.best, training.curve["accuracy"]) == (40.0, 90.0, [90.0, 50.0, 40.0])


def test_threads_are_as_many_as_were_asked_for() -> None:
    before = torch.get_num_threads()
    try:
        assert use_threads(2) == torch.get_num_threads() == 2
        assert use_threads(None) == 2, "where no number is given it stays"
    finally:
        torch.set_num_threads(before)
