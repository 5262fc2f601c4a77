"""Named protocols against what published training scripts printed: rates, tested epochs, decay, batches, an epoch's steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
import torchvision
from torch import Tensor, nn

from conftest import make_problem
from delt_host.basics.errors import InputError
from delt_host.contracts.dataset import FirstOfEach, RealData
from delt_host.contracts.labels import Labels
from delt_host.contracts.protocol import Fair, Protocol
from delt_host.contracts.relabeler import Batch
from delt_host.contracts.teacher import Teacher
from delt_host.experiment.columns import ColumnMaker
from delt_host.experiment.parts import Parts
from delt_host.plugins.registry import load_registry
from delt_host.training import students as students_module
from delt_host.training.students import Training, rate_factor, split_by_decay, train_student
from made_inputs import student_batches, tiny_student, tiny_teacher, waves
from published import golden

REPOSITORIES = ("rded", "delt", "gvbsm", "edc", "sre2l")
RUNS = {
    ("rded", "cifar10"): ("rded", "cifar10", 10),
    ("delt", "cifar10"): ("delt-repo", "cifar10", 10),
    ("gvbsm", "cifar10"): ("gvbsm", "cifar10", 10),
    ("gvbsm", "cifar100"): ("gvbsm", "cifar100", 10),
    ("gvbsm", "tiny-imagenet"): ("gvbsm", "tiny-imagenet", 50),
    ("edc", "cifar10 ipc 1"): ("edc", "cifar10", 1),
    ("edc", "cifar100"): ("edc", "cifar100", 10),
    ("edc", "tiny-imagenet"): ("edc", "tiny-imagenet", 10),
    ("edc", "imagenette"): ("edc", "imagenette", 10),
    ("edc", "imagenet"): ("edc", "imagenet", 10),
    ("sre2l", "imagenet"): ("sre2l", "imagenet", 10),
    ("sre2l", "tiny-imagenet"): ("sre2l", "tiny-imagenet", 50),
    ("sre2l", "cifar100"): ("sre2l", "cifar100", 50),
}
"""What each script's figures are called, and the protocol, dataset and images a class that claim them."""
OUR_NAMES = {
    "tinyimagenet": "tiny-imagenet",
    "imagenet-nette": "imagenette",
    "imagenet-100": "imagenet100",
    "imagenet-1k": "imagenet",
    "conv3": "convnet3",
    "conv4": "convnet4",
    "resnet18_modified": "resnet18",
    "resnet101_modified": "resnet101",
}
TEST_IMAGES = {"cifar10": 1000, "cifar100": 100, "tiny-imagenet": 50, "imagenet": 50, "imagenet100": 50}
"""Images a class that published test sets have; ImageNette's classes have from 357 to 419."""


def protocol(name: str, dataset: str, ipc: int, *students: str) -> Protocol:
    maker = ColumnMaker(Parts(load_registry(), dataset, {}), ipc, students)
    (column,) = maker.columns([f"hard:{name}"], teacher=True)
    return cast("Protocol", column.protocol.component)


def of_torchvision(name: str) -> nn.Module:
    with torch.device("meta"):
        return torchvision.models.get_model(name, num_classes=10)


@pytest.mark.parametrize("repository", REPOSITORIES)
def test_decay_goes_by_the_name_of_a_parameter(repository: str) -> None:
    for name, (decayed, every) in golden(f"students_{repository}")["decayed"].items():
        network = of_torchvision(name)
        with_decay, without = split_by_decay(network, "weights")
        assert (len(with_decay), len(with_decay) + len(without)) == (decayed, every), name
        free = {id(parameter) for parameter in without}
        called = [
            name for name, parameter in network.named_parameters() if id(parameter) in free and parameter.ndim > 1
        ]
        assert all("weight" not in name for name in called)
        assert bool(called) == (name != "resnet18"), "class token, positions, bias tables"


def test_other_rules_of_decay() -> None:
    vision = of_torchvision("vit_b_16")
    assert len(split_by_decay(vision, "matrices")[0]) == 52, "class token and positions beside the fifty weights"
    assert len(split_by_decay(vision, "all")[1]) == 0
    named = {name: protocol(name, "imagenet", 10).decayed for name in ("rded", "delt-repo", "gvbsm", "edc", "sre2l")}
    assert set(named.values()) == {"weights"}
    assert protocol("dsa", "cifar10", 10).decayed == "all"
    for dataset in ("cifar100", "tiny-imagenet"):
        figures = golden("students_sre2l")[dataset]
        with_decay, _ = split_by_decay(tiny_student(), protocol("sre2l", dataset, 50).decayed)
        assert len(with_decay) == figures["decayed"] == len(list(tiny_student().parameters()))


@pytest.mark.parametrize(("script", "claimed"), RUNS.items())
def test_rates_and_tested_epochs(script: tuple[str, str], claimed: tuple[str, str, int]) -> None:
    repository, dataset = script
    figures, ours = golden(f"students_{repository}")[dataset], protocol(*claimed)
    epochs = figures["epochs"]
    assert ours.epochs == epochs
    for epoch, rate in figures["rates"].items():
        assert ours.learning_rate * rate_factor(ours, int(epoch), epochs) == pytest.approx(rate, rel=1e-6), epoch
    tested = [epoch for epoch in range(epochs) if epoch == epochs - 1 or ours.tests(epoch, epochs)]
    assert [len(tested), *tested[:2], *tested[-2:]] == figures["tested"]
    if "temperature" in figures:
        assert ours.temperature == figures["temperature"]


def trained_on(batches: list[tuple[Tensor, Tensor]], ours: Protocol, data: RealData, teacher: Teacher) -> Training:
    """The tiny student after one epoch of these batches, with what the tiny teacher says of them."""

    def epoch(_number: int) -> Iterator[Batch]:
        for images, classes in batches:
            place = torch.arange(len(classes))
            with torch.no_grad():
                said = tiny_teacher()(images)
            yield Batch(images, place, classes, place, classes, torch.ones(len(classes)), said)

    labels = SimpleNamespace(epoch=epoch, kind="logits", learning_rate=None)
    images = sum(len(classes) for _, classes in batches)
    problem = make_problem(data, teacher, ipc=-(-images // 10))
    problem = replace(problem, protocol=ours.model_copy(update={"steps": len(batches), "evaluate_every": 0}))
    return train_student(problem, cast("Labels", labels), "convnet3", student=tiny_student())


def matches(network: nn.Module, figures: dict[str, Any], rel: float = 2e-6) -> None:
    """Norms of parameters and statistics, and what the network answers in eval mode."""
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            assert float(tensor.norm()) == pytest.approx(figures[name], rel=rel), name
    with torch.no_grad():
        said = network.eval()(waves(1, 3, 8, 8, pitch=0.29))[0]
    torch.testing.assert_close(said, torch.tensor(figures["logits"]), rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize(("script", "claimed"), RUNS.items())
def test_an_epoch_of_steps(
    script: tuple[str, str],
    claimed: tuple[str, str, int],
    digits: RealData,
    teacher: Teacher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The student's weights and statistics, its average with them, and the mean loss that the script printed."""
    repository, dataset = script
    figures, ours = golden(f"students_{repository}")[dataset], protocol(*claimed)
    losses: list[tuple[int, float]] = []
    of_batch = students_module.distillation_loss

    def noted(logits: Tensor, *others: Any) -> Tensor:
        loss = of_batch(logits, *others)
        losses.append((len(logits), float(loss.detach())))
        return loss

    monkeypatch.setattr(students_module, "distillation_loss", noted)
    training = trained_on(student_batches(figures["images"], figures["batch"]), ours, digits, teacher)
    matches(training.student, figures["average" if ours.average else "student"])
    assert training.batch_size == figures["batch"]
    mean = sum(count * loss for count, loss in losses) / figures["images"] / ours.accumulate
    assert mean == pytest.approx(figures["loss"], rel=2e-5, abs=5e-5 * (script == ("sre2l", "cifar100")))


def test_the_average_is_of_parameters_alone(digits: RealData, teacher: Teacher) -> None:
    """Beside it the student has other parameters and the same BatchNorm statistics."""
    ours = protocol("edc", "cifar10", 1)
    average = trained_on(student_batches(10, 10), ours, digits, teacher).student
    student = trained_on(student_batches(10, 10), ours.model_copy(update={"average": 0.0}), digits, teacher).student
    matches(student, golden("students_edc")["cifar10 ipc 1"]["student"])
    assert all(torch.equal(a, b) for a, b in zip(average.buffers(), student.buffers(), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(average.parameters(), student.parameters(), strict=True))


@pytest.mark.parametrize(("repository", "name"), [("rded", "rded"), ("delt", "delt-repo")])
def test_batches_rates_and_test_images_by_dataset_and_student(repository: str, name: str) -> None:
    classes = {
        "cifar10": 10,
        "cifar100": 100,
        "tiny-imagenet": 200,
        "imagenette": 10,
        "imagenet100": 100,
        "imagenet": 1000,
    }
    for case, (batch, rate, test_images) in golden(f"students_{repository}")["settings"].items():
        subset, ipc, student = case.split()
        dataset, student = OUR_NAMES.get(subset, subset), OUR_NAMES.get(student, student)
        ours = protocol(name, dataset, int(ipc), student)
        assert (ours.batch_for(int(ipc), classes[dataset]), ours.learning_rate_for(student)) == (batch, rate), case
        assert (ours.test_images or TEST_IMAGES[dataset]) == test_images, case


def test_settings_of_a_student_are_for_a_run_of_it_alone() -> None:
    maker = ColumnMaker(Parts(load_registry(), "cifar100", {}), 10, ("convnet3", "resnet18"))
    columns = maker.columns(["hard:rded", "hard:fair"], teacher=True)
    assert columns[0].protocol.component.batch_for(10, 100) == 100
    (said,) = maker.not_taken(columns)
    assert "protocol rded is published with settings of its own for convnet3 on cifar100 (batch_size=25, " in said
    assert protocol("rded", "cifar100", 10, "convnet3").batch_for(10, 100) == 25


def test_students_of_dsa(digits: RealData, teacher: Teacher, monkeypatch: pytest.MonkeyPatch) -> None:
    """All epochs of a short training: where the rate falls, the optimiser begins anew."""
    figures, ours = golden("students_dsa"), Protocol.model_validate(protocol("dsa", "cifar10", 10).model_dump())
    long, short = figures["1000"], figures["12"]
    assert ours.epochs == long["epochs"]
    factors = [rate_factor(ours, epoch, ours.epochs) for epoch in range(ours.epochs)]
    assert factors.index(min(factors)) == long["lower"]
    assert [ours.learning_rate * factors[0], ours.learning_rate * factors[-1]] == pytest.approx(long["rates"])
    lower = {"milestones": [short["lower"] / short["epochs"]], "epochs": short["epochs"]}
    ((images, classes),) = student_batches(40, 40)
    place = torch.arange(40)
    hard = torch.nn.functional.one_hot(classes, 10).float()
    batch = Batch(images, place, classes, place, classes, torch.ones(40), hard)
    labels = SimpleNamespace(epoch=lambda _number: iter([batch]), kind="probabilities", learning_rate=None)

    def trained(**changes: Any) -> nn.Module:
        problem = replace(make_problem(digits, teacher), protocol=ours.model_copy(update={**lower, **changes}))
        return train_student(problem, cast("Labels", labels), "convnet3", student=tiny_student()).student

    matches(trained(), short["student"], rel=1e-5)
    going_on = trained(step_restarts=False).state_dict()["5.weight"]
    assert float(going_on.norm()) != pytest.approx(short["student"]["5.weight"], rel=1e-5), "momentum is forgotten"


def test_the_first_test_images_of_each_class(digits: RealData, teacher: Teacher) -> None:
    first = FirstOfEach(digits.test, 5)
    assert torch.bincount(first.targets).tolist() == [5] * 10
    assert torch.equal(first.read(torch.arange(10, 15)), digits.test.read(digits.test.of_class(2)[:5]))
    assert len(FirstOfEach(digits.test, 10_000)) == len(digits.test)
    seen = []
    accuracy = students_module.accuracy
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(students_module, "accuracy", lambda *a: seen.append(len(a[2])) or accuracy(*a))
        trained_on(student_batches(20, 10), Protocol(test_images=5), digits, teacher)
    assert seen == [50]


def test_new_settings_can_be_typed() -> None:
    typed = ["evaluate_counted_from=0", "evaluate_after=0.5", "accumulate=2", "schedule=step", "milestones=[0.5, 0.75]"]
    said = ",".join(["hard:fair", *(f"protocol.{each}" for each in typed)])
    (column,) = ColumnMaker(Parts(load_registry(), "digits", {}), 10, ()).columns([said], teacher=True)
    settings = column.protocol.component.model_dump()
    wanted = {"evaluate_counted_from": 0, "evaluate_after": 0.5, "accumulate": 2, "milestones": [0.5, 0.75]}
    assert {option: settings[option] for option in wanted} == wanted


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(InputError, match="are not shares of the epochs, between 0 and 1"):
        ColumnMaker(Parts(load_registry(), "digits", {}), 10, ()).columns(
            ["hard:fair,protocol.milestones=[800,900]"], teacher=True
        )


def test_the_fair_protocol_is_what_it_was() -> None:
    """Its settings, each as it stood when its figures were measured; options that came later are at what changes nothing."""
    assert Fair.version == 2
    differs = {
        option: value for option, value in Fair().model_dump().items() if Protocol().model_dump()[option] != value
    }
    assert differs == {"batch_share": 0.2, "evaluate_every": 100}
    neutral = Protocol()
    assert (neutral.accumulate, neutral.decayed, neutral.average, neutral.test_images) == (1, "matrices", 0.0, 0)
    assert (neutral.evaluate_counted_from, neutral.evaluate_after, neutral.warmup_from) == (1, 0.0, 0.0)
    assert Fair().fingerprint == "909c3112"
