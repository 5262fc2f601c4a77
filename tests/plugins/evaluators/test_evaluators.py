"""Evaluators and compressed labels against known answers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from conftest import make_problem
from delt_host.basics.compute import Compute
from delt_host.basics.errors import InputError
from delt_host.contracts.dataset import MemorySplit, RealData
from delt_host.contracts.labels import Labels, label_bytes
from delt_host.contracts.problem import Problem
from delt_host.contracts.protocol import Protocol
from delt_host.contracts.relabeler import Answer, Batch, Relabeler
from delt_host.contracts.sets import Distilled
from delt_host.contracts.taught import Taught
from delt_host.contracts.teacher import Teacher
from delt_host.training.students import train_student
from delt_plugins.controls.real import Real
from delt_plugins.evaluators.continual import Continual
from delt_plugins.evaluators.diversity import Diversity, coverage
from delt_plugins.evaluators.privacy import Privacy, area_under_curve
from delt_plugins.evaluators.pruning import Pruning, norms, smallest_scales
from delt_plugins.evaluators.ranking import AugmentationRobust, label_robust, robust_score
from delt_plugins.evaluators.robustness import Corrupted, Robustness, corruptions
from delt_plugins.evaluators.students import CrossArchitecture, Student
from delt_plugins.kit import random_teacher
from delt_plugins.labels.compressed import EightBit, Pruned, TopK
from delt_plugins.labels.relabelers import Fixed, Fkd, Hard


@pytest.fixture
def distilled(problem: Problem) -> Distilled:
    start = Real().initialize(problem, range(problem.num_classes))
    return Distilled.of(start.images, problem.targets())


# --- diversity


def test_a_set_of_copies_has_similarity_one_and_hardly_covers(problem: Problem, distilled: Distilled) -> None:
    first = distilled.read(torch.arange(40)).view(10, 4, 3, 8, 8)[:, :1].expand(-1, 4, -1, -1, -1).flatten(0, 1)
    copies = Diversity().evaluate(problem, Distilled.of(first, distilled.targets), None).scores
    various = Diversity().evaluate(problem, distilled, None).scores
    assert copies["similarity"] == pytest.approx(1, abs=1e-5)
    assert various["similarity"] < copies["similarity"] and various["coverage"] > copies["coverage"]


def test_similarity_by_hand() -> None:
    """Three unit vectors at 0, 90 and 90 degrees: the centroid is (1, 2) / 3; cosines 1 / sqrt 5 and 2 / sqrt 5, twice."""
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    mean = F.cosine_similarity(features, features.mean(dim=0)[None]).mean()
    assert float(mean) == pytest.approx((1 + 2 + 2) / 5**0.5 / 3)


def test_coverage_by_hand() -> None:
    """On a line at 0, 1, 3, 6 with k = 1 the radii are 1, 1, 2, 3: a point at 4.5 reaches 3 and 6, one at 9 reaches 6."""
    real = torch.tensor([[0.0], [1.0], [3.0], [6.0]])
    assert coverage(real, torch.tensor([[4.5]]), 1) == 0.5
    assert coverage(real, torch.tensor([[9.0]]), 1) == 0.25
    assert coverage(real, real, 1) == 1


# --- privacy


def test_copied_training_images_are_found(problem: Problem) -> None:
    indices = torch.cat([problem.data.train.of_class(c)[:4] for c in range(10)])
    copied = problem.data.train.read(indices)
    noise = torch.randint(0, 256, copied.shape, generator=problem.generator("noise"), dtype=torch.uint8)
    half = torch.arange(40) % 2 == 0
    mixed = torch.where(half.view(-1, 1, 1, 1), copied, noise)
    found = Privacy(members=200).evaluate(problem, Distilled.of(mixed, problem.targets()), None)
    assert found.scores["near-copies"] == 50
    nearest = torch.tensor(found.facts["nearest_training_image"])[half]
    assert torch.equal(problem.data.train.read(nearest), copied[half])


def test_the_attack_tells_members_where_they_lie_there_and_nothing_where_they_do_not(problem: Problem) -> None:
    """A training split that is the distilled set itself, against tests far from it; then against itself."""
    data, pixels = problem.data, problem.data.train.read(torch.arange(60))
    members = MemorySplit(pixels, data.train.targets[:60])
    others = MemorySplit(255 - pixels, data.train.targets[:60])
    scores = []
    for test in (others, members):
        chosen = problem.of_data(RealData(data.name, data.class_names, 8, data.mean, data.std, members, test, "x"))
        result = Privacy(members=60).evaluate(chosen, Distilled.of(pixels, data.train.targets[:60]), None)
        scores.append(result.scores["membership"])
    assert scores[0] > 95 and scores[1] == pytest.approx(50)


def test_area_under_curve_by_hand() -> None:
    assert area_under_curve(torch.tensor([2.0, 3.0]), torch.tensor([0.0, 1.0])) == 1
    assert area_under_curve(torch.tensor([1.0, 1.0]), torch.tensor([1.0])) == 0.5
    assert area_under_curve(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 0.0])) == 0.75


# --- pruning


@pytest.fixture(scope="module")
def short(digits: RealData) -> Problem:
    return make_problem(digits, random_teacher(digits), epochs=2)


def told(problem: Problem, relabeler: Relabeler, distilled: Distilled | None = None) -> Taught:
    return Taught(problem, relabeler, real_set(problem) if distilled is None else distilled)


def real_set(problem: Problem) -> Distilled:
    start = Real().initialize(problem, range(problem.num_classes))
    return Distilled.of(start.images, problem.targets())


def test_pruning_nothing_changes_nothing(short: Problem) -> None:
    labels = told(short, Hard())
    scores = Pruning(network="convnet3", ratio=0.0).evaluate(short, real_set(short), labels).scores
    assert scores["pruned"] == scores["dense"] and scores["removed"] == 0
    plain = Pruning(network="convnet3", ratio=0.0, sparsity=0.0).evaluate(short, real_set(short), labels).scores
    assert plain["dense"] == Student().evaluate(short, real_set(short), labels).scores["last"]


def test_removed_channels_stay_removed(short: Problem) -> None:
    network = short.teacher.network(short.class_names, short.compute, short.models)
    scales = torch.cat([norm.weight for norm in norms(network)])
    with torch.no_grad():
        for norm in norms(network):
            norm.weight.copy_(torch.rand(len(norm.weight), generator=short.generator("scales")) + 0.1)
    masks = smallest_scales(network, 0.5)
    assert sum(int(mask.sum()) for mask in masks) == len(scales) // 2
    labels = told(short, Hard())
    result = Pruning(network="convnet3", ratio=0.5).evaluate(short, real_set(short), labels)
    assert sum(result.facts["kept_channels"]) == 192 and result.scores["removed"] == 50
    assert min(result.facts["kept_channels"]) >= 1


# --- continual


def test_continual_in_one_step_is_the_plain_evaluation(short: Problem) -> None:
    distilled = real_set(short)
    labels = told(short, Hard(), distilled)
    plain = Student().evaluate(short, distilled, labels).scores["last"]
    assert Continual(steps=1).evaluate(short, distilled, labels).scores == {"average": plain, "last": plain}


def test_continual_goes_through_all_classes(short: Problem) -> None:
    distilled = real_set(short)
    result = Continual(steps=4).evaluate(short, distilled, told(short, Fkd(), distilled))
    assert result.facts["curve"]["classes"] == [2, 5, 7, 10]
    assert sorted(result.facts["order"]) == sorted(short.class_names)
    with pytest.raises(InputError, match="11 steps, but digits 10 classes"):
        Continual(steps=11).evaluate(short, distilled, told(short, Fkd(), distilled))


# --- DD-Ranking


@pytest.mark.parametrize(("alpha", "score"), [(0, 0.268941), (0.05, 0.290755), (1, 1), (-1, 0)])
def test_the_published_map_of_robust_scores(alpha: float, score: float) -> None:
    assert robust_score(alpha) == pytest.approx(score, abs=5e-7)


def test_the_steps_of_continual_learning_are_told_what_their_regime_tells(short: Problem) -> None:
    """One-hot labels of the classes seen, not the teacher's."""
    distilled, given = real_set(short), []

    class Noted(Fixed):
        def bind(self, problem: Problem) -> Answer:
            def answer(batch: Batch) -> torch.Tensor:
                given.append((problem.num_classes, len(batch.index)))
                return torch.nn.functional.one_hot(batch.classes, problem.num_classes).float()

            return answer

    Continual(steps=2).evaluate(short, distilled, told(short, Noted(), distilled))
    assert given == [(5, 20), (10, 40)]


def test_label_robustness_by_hand() -> None:
    """HLR = 0.9 - 0.5, IOR = 0.7 - 0.6; alpha = 0.05 - 0.2."""
    found = label_robust(0.9, 0.5, 0.7, 0.6)
    assert (found["hlr"], found["ior"]) == (pytest.approx(0.4), pytest.approx(0.1))
    assert found["lrs"] == pytest.approx(robust_score(-0.15))


def test_random_images_lead_random_images_by_nothing_without_augmentation_too(short: Problem) -> None:
    for relabeler in (Fkd(), Hard()):
        augmented = AugmentationRobust().evaluate(short, real_set(short), told(short, relabeler)).scores
        assert augmented["lead-with"] == augmented["lead-without"] == 0
        assert augmented["ars"] == pytest.approx(0.268941, abs=5e-7)


# --- robustness and many students


def test_corruptions_change_images_as_much_as_their_severity(problem: Problem) -> None:
    split = problem.data.test
    indices = torch.arange(30)
    clean = split.read(indices).float()
    for name in corruptions(problem, 1):
        weak, strong = (
            (Corrupted(split, corruptions(problem, s)[name]).read(indices).float() - clean).abs().mean() for s in (1, 5)
        )
        assert 0 < float(weak) <= float(strong), name
    noisy = Corrupted(split, corruptions(problem, 3)["noise"])
    assert torch.equal(noisy.read(indices)[7], noisy.read(torch.tensor([7]))[0]), "noise belongs to the image"


def test_the_clean_score_is_the_plain_one(short: Problem) -> None:
    labels = told(short, Hard())
    plain = Student().evaluate(short, real_set(short), labels).scores["last"]
    assert Robustness().evaluate(short, real_set(short), labels).scores["clean"] == plain
    many = CrossArchitecture(models=("convnet3", "wrn_16_2")).evaluate(short, real_set(short), labels).scores
    assert many["convnet3"] == plain and many["mean"] == (plain + many["wrn_16_2"]) / 2


# --- labels


@pytest.mark.parametrize("relabeler", [Pruned(keep=0.4), TopK(k=3), EightBit(), Fixed()])
def test_compressed_labels_take_what_they_say(problem: Problem, distilled: Distilled, relabeler: Relabeler) -> None:
    labels = Labels(problem, distilled, relabeler)
    assert label_bytes(relabeler, problem) == labels.size_bytes < label_bytes(Fkd(), problem)


def test_pruned_labels_are_the_first_epochs_again_and_again(digits: RealData, teacher: Teacher) -> None:
    problem = make_problem(digits, teacher, epochs=10)
    whole, pruned = (Labels(problem, real_set(problem), r) for r in (Fkd(), Pruned(keep=0.2)))
    for number, like in ((0, 0), (1, 1), (2, 0), (9, 1)):
        for mine, theirs in zip(pruned.epoch(number), whole.epoch(like), strict=True):
            assert torch.equal(mine.images, theirs.images) and torch.equal(mine.answers, theirs.answers)


def test_top_k_keeps_the_mass_of_the_rest_and_eight_bits_are_close(problem: Problem, distilled: Distilled) -> None:
    labels = [Labels(problem, distilled, r) for r in (Fkd(), TopK(k=3), EightBit())]
    for exact, few, rounded in zip(*(one.epoch(1) for one in labels), strict=True):
        true, kept = exact.answers.softmax(dim=1), few.answers.softmax(dim=1)
        best = true.topk(3, dim=1).indices
        torch.testing.assert_close(kept.gather(1, best), true.gather(1, best), atol=2e-3, rtol=2e-2)
        span = exact.answers.amax(dim=1) - exact.answers.amin(dim=1)
        assert bool(((rounded.answers - exact.answers).abs().amax(dim=1) < 0.01 * span).all())
    with pytest.raises(InputError, match="k = 10 must be below the 10 classes"):
        Labels(problem, distilled, TopK(k=10))


def test_fixed_labels_do_not_depend_on_the_view(digits: RealData, teacher: Teacher) -> None:
    problem = make_problem(digits, teacher, mix="none")
    distilled = real_set(problem)
    expected = problem.teacher_logits(
        problem.normalization.normalize(distilled.read(torch.arange(len(distilled))))
    ).softmax(dim=1)
    for epoch in (0, 1):
        for batch in Labels(problem, distilled, Fixed()).epoch(epoch):
            for target, own in zip(batch.answers, batch.classes, strict=True):
                mine = expected[distilled.targets == own]
                assert float((mine - target).abs().amax(dim=1).min()) < 1e-3


def test_fixed_labels_follow_the_pixels_of_cutmix(problem: Problem) -> None:
    """With a teacher that is sure of each class the label is the hard one."""
    distilled = real_set(problem)
    hard, fixed = Labels(problem, distilled, Hard()), Labels(problem, distilled, Fixed())
    fixed._soft = F.one_hot(distilled.targets, 10).half()  # type: ignore[attr-defined]
    for one, other in zip(hard.epoch(0), fixed.epoch(0), strict=True):
        torch.testing.assert_close(one.answers, other.answers, atol=1e-3, rtol=0)


def test_label_bytes_of_imagenet_at_ipc_10() -> None:
    """FKD for 10,000 images, 300 epochs, 1000 classes in fp16: 5.6 GiB, known before anything runs."""
    split = MemorySplit(torch.zeros(1000, 3, 8, 8, dtype=torch.uint8), torch.arange(1000))
    names = tuple(map(str, range(1000)))
    data = RealData("imagenet", names, 224, (0.5,) * 3, (0.5,) * 3, split, split, "x")
    problem = Problem(data, (), 10, 0, Protocol(epochs=300), Compute("cpu", "fp32"))
    assert label_bytes(Fkd(), problem) / 2**30 == pytest.approx(5.6, abs=0.05)
    assert label_bytes(Pruned(keep=1 / 50), problem) / 2**30 == pytest.approx(5.6 / 50, abs=0.01)


def test_training_takes_a_student_a_penalty_and_a_step(short: Problem) -> None:
    labels = Labels(short, real_set(short), Hard())
    steps: list[int] = []
    first = train_student(short, labels, "convnet3", after_step=lambda _student: steps.append(1))
    assert len(steps) == first.steps
    again = train_student(short, labels, "convnet3", student=first.student)
    assert again.student is first.student
    heavy = train_student(short, labels, "convnet3", penalty=lambda s: sum(p.square().sum() for p in s.parameters()))
    assert next(heavy.student.parameters()).norm() < next(first.student.parameters()).norm()
