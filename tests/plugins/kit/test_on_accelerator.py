"""On an accelerator everything gives what it gives on the processor; no step waits for it, nor copies to it more than once."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2.functional import to_pil_image

from delt_host import Checkpoint, Compute, InputError, Labels, MemorySplit, Problem, Protocol
from delt_host.contracts.network_source import Frozen
from delt_host.images.randaugment import OPERATIONS, apply_operations, parse_randaugment
from delt_host.plugins.registry import load_registry
from delt_host.recovery import loop
from delt_host.recovery.latents import Latents
from delt_host.toolbox import accuracy, generator, train_student
from delt_host.training import students
from delt_plugins.kit import evaluator, form, initializer, matcher, protocol, relabeler, squeezer
from delt_plugins.kit.small import OneHot, problem_for, real_distilled, real_start, two_groups
from delt_plugins.publish.release import read_release
from delt_plugins.squeezers import ordinary
from pretended import KIND, pretended_accelerator
from small_options import SMALL

CONTRACTS: dict[str, Any] = {
    "initializer": initializer, "matcher": matcher, "relabeler": relabeler,
    "protocol": protocol, "evaluator": evaluator, "form": form, "squeezer": squeezer,
}  # fmt: skip
REGISTRY = load_registry()
QUICK: dict[tuple[str, str], dict[str, Any]] = {
    **SMALL,
    ("evaluator", "cross-architecture"): {"models": ("convnet3", "convnet3_in")},
    ("evaluator", "pruning"): {"network": "convnet3"},  # its own takes no images as small as these
    ("squeezer", "ordinary"): {"epochs": 1},
    ("squeezer", "sam"): {"epochs": 1, "alpha": 1.0},
}
EVERYTHING = [(kind, name) for kind in CONTRACTS for name in REGISTRY.names(kind)]


def made_small(kind: str, name: str, folder: Path) -> Any:
    """The component, with options that make it quick; the published set of `imported` is written into the folder."""
    if (kind, name) != ("initializer", "imported"):
        return REGISTRY.get(kind, name)(**QUICK.get((kind, name), {}))
    small = problem_for(None)
    images = real_start(small).images
    for place, (image, target) in enumerate(zip(images, small.targets().tolist(), strict=True)):
        of_class = folder / "set" / small.class_names[target]
        of_class.mkdir(parents=True, exist_ok=True)
        to_pil_image(image).save(of_class / f"{place}.png")
    found = read_release(folder / "set", small.class_names, small.image_size)
    return REGISTRY.get(kind, name)(path=str(folder / "set"), sha256=found.sha256)


STUDENTS: list[tuple[str, str, dict[str, Any]]] = [(name, "fkd", {}) for name in REGISTRY.names("protocol")]
STUDENTS += [("fair", name, {}) for name in REGISTRY.names("relabeler") if name != "fkd"]
STUDENTS += [
    ("delt-paper", "fkd", {"randaugment": "m5-n4", "shuffle_patches": 2}),
    ("edc", "fkd", {"randaugment": "torchvision-m9-n2", "mix": "mixup"}),
]


def on_accelerator(thing: Any) -> Problem:
    return replace(problem_for(thing), compute=Compute(KIND, "fp32"))


def ready(problem: Problem, counts: Counter[str]) -> Counter[str]:
    """The counts so far, once the teachers, and what images are normalised with, are on the device."""
    _ = problem.networks
    problem.view_normalization.normalize(torch.zeros(1, 3, 1, 1).to(KIND))
    return Counter(counts)


def flat(found: Any) -> list[float]:
    """All numbers of nested results, in order."""
    if isinstance(found, Tensor):
        return found.detach().cpu().double().flatten().tolist()
    if isinstance(found, dict):
        return [number for name in found for number in flat(found[name])]
    if isinstance(found, list | tuple):
        return [number for each in found for number in flat(each)]
    return [float(found)] if isinstance(found, int | float) else []


@pytest.mark.parametrize(("kind", "name"), EVERYTHING)
def test_the_same_on_an_accelerator(kind: str, name: str, tmp_path: Path) -> None:
    """Which has no float64, as Apple's."""
    thing = made_small(kind, name, tmp_path)
    on_cpu = CONTRACTS[kind].results(thing, problem_for(thing))
    with pretended_accelerator(float64=False) as counts:
        found = CONTRACTS[kind].results(thing, on_accelerator(thing))
    if kind in ("matcher", "protocol", "squeezer"):
        assert counts["operators"], "nothing was done on the accelerator"
    assert flat(found) == pytest.approx(flat(on_cpu), rel=1e-3, abs=1e-3, nan_ok=True)


COPIES = {
    "distribution": 2,
    "classified-means": 2,
    "pairs": 2,
    "characteristic": 3,  # of frequencies, as large as a batch, one of their own
    "gradients": 1 + 5,  # of real images one for each class of the group, as memory is of one class
}
"""To the device, an iteration: one of draws, and of matchers of real images one of these, whatever network is asked."""


@pytest.mark.parametrize("name", REGISTRY.names("matcher"))
def test_recovery_waits_for_nothing_between_readings(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor with networks that are trained meanwhile."""
    monkeypatch.setattr(loop, "LOG_POINTS", 1)  # read in the first and the last iteration, however many there are
    made = made_small("matcher", name, tmp_path)
    few, many = recovered(made, 2), recovered(made, 4)
    assert many["waits"] == few["waits"]
    if made.networks.name != "frozen":
        made = made.model_copy(update={"networks": Frozen()})
        few, many = recovered(made, 2), recovered(made, 4)
    assert (many["copies"] - few["copies"]) / 2 <= COPIES.get(name, 1)


def test_only_the_choice_of_clusters_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DREAM's, which k-means makes on the processor."""
    monkeypatch.setattr(loop, "LOG_POINTS", 1)
    made = made_small("matcher", "gradients", tmp_path)
    made = made.model_copy(update={"networks": Frozen(), "clustered_every": 4, "clustered_from": 12})
    chosen, kept, anew = (recovered(made, iterations)["waits"] for iterations in (2, 4, 5))
    assert chosen == kept < anew


def recovered(made: Any, iterations: int, problem: Problem | None = None, **more: Any) -> Counter[str]:
    problem = problem or on_accelerator(made)
    seen, start = problem.seen_by(made), Latents.of(problem, real_start(problem))
    plan = two_groups(problem, iterations).model_copy(update=more)
    with pretended_accelerator() as counts:
        loop.recover_group(seen, start, plan, 0, made, lambda _done, _terms: None)
    return Counter(counts)


def test_committees_and_steps_that_units_count_themselves_ask_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LOG_POINTS", 1)
    models = ("convnet3", "convnet3_in")
    for name in ("general-statistics", "batch-norm"):
        made = REGISTRY.get("matcher", name)(**({"teachers": models} if name == "general-statistics" else {}))
        more = {"moments": "fresh"} if name == "batch-norm" else {}
        few, many = (recovered(made, iterations, **more) for iterations in (2, 6))
        assert [(many[what] - few[what]) / 4 for what in ("waits", "copies")] == [0, 1], name


@pytest.mark.parametrize(("protocol", "relabeler", "options"), STUDENTS)
def test_a_student_waits_for_nothing_and_copies_once_a_step(
    protocol: str, relabeler: str, options: dict[str, Any]
) -> None:
    four_batches = {"steps": 4, "batch_size": 10, "batch_share": 0.0, **options}
    labeller = REGISTRY.get("relabeler", relabeler)()
    problem = on_accelerator(labeller)
    problem = problem.under(REGISTRY.get("protocol", protocol)().model_copy(update=four_batches))
    after: list[Counter[str]] = []
    with pretended_accelerator() as counts:
        labels = Labels(problem, real_distilled(problem), labeller)
        labels.prepare()
        train_student(problem, labels, "convnet3", after_step=lambda _student: after.append(Counter(counts)))
    assert len(after) == 4
    for before, now in pairwise(after):
        assert [now[what] - before[what] for what in ("waits", "copies")] == [0, 1]


@pytest.mark.parametrize("float64", [True, False])
def test_every_operation_of_randaugment_in_one_copy(float64: bool) -> None:
    """To the same levels; without float64 a few are one off."""
    images = problem_for(None).data.train.read(torch.arange(64)).repeat_interleave(2, dim=0)
    drawn = parse_randaugment("m5-n4").draw(generator(0, "every operation"), len(images), images.shape[-1])
    assert len(drawn["operation"].unique()) == len(OPERATIONS)
    wanted = apply_operations(images, **drawn).int()
    with pretended_accelerator(float64) as counts:
        there = images.to(KIND)
        found = apply_operations(there, **drawn)
        assert (counts["copies"], counts["waits"]) == (2, 0), "the images, and all that was drawn"
        differ = (found.cpu().int() - wanted).abs()
    assert int(differ.max()) <= (0 if float64 else 4) and float((differ > 0).float().mean()) < 1e-2


def test_a_students_losses_are_read_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(students, "READINGS", 2)
    problem = on_accelerator(OneHot())
    problem = problem.under(problem.protocol.model_copy(update={"epochs": 8, "batch_size": 40}))
    labels, waits = Labels(problem, real_distilled(problem), OneHot()), list[int]()
    with pretended_accelerator() as counts:
        training = train_student(problem, labels, "convnet3", lambda _done, _losses: waits.append(counts["waits"]))
    read = [now > before for before, now in pairwise([0, *waits])]
    assert read == [True, False, False, False, True, False, False, True]
    assert training.curve["epoch"] == list(range(8)) and len(set(training.curve["loss"])) == 8


@pytest.mark.parametrize("name", REGISTRY.names("relabeler"))
def test_labels_leave_the_device_once_an_epoch_and_views_come_once_a_batch(name: str) -> None:
    made = REGISTRY.get("relabeler", name)()
    problem = on_accelerator(made).under(Protocol(epochs=2, batch_size=10))
    labels = Labels(problem, real_distilled(problem), made)
    with pretended_accelerator() as counts:
        before = ready(problem, counts)
        labels.prepare()
    made_epochs = labels.epochs if labels.by_view else int(made.asks == "image")
    steps = 4 if labels.by_view else 1
    assert [counts[what] - before[what] for what in ("waits", "copies")] == [made_epochs, made_epochs * steps]


@pytest.mark.parametrize("name", REGISTRY.names("squeezer"))
def test_squeezing_copies_once_a_step_and_reads_now_and_then(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordinary, "READINGS", 1)
    made = REGISTRY.get("squeezer", name)(epochs=1)
    problem = on_accelerator(made)
    with pretended_accelerator() as counts:
        snapshots = made.train(problem.data, problem.compute, problem.models, Checkpoint(None), lambda *_: None)
        next(snapshots)
        before = ready(problem, counts)
        next(snapshots)
    steps = made._epoch(problem.data)[0]
    assert [counts[what] - before[what] for what in ("waits", "copies")] == [1, steps]


def test_a_test_of_a_network_waits_once() -> None:
    problem = on_accelerator(OneHot())
    some = torch.arange(1100) % len(problem.data.test)
    split = MemorySplit(problem.data.test.read(some), problem.data.test.targets[some])
    with pretended_accelerator() as counts:
        before = ready(problem, counts)
        accuracy(problem.network, problem.normalization, split, problem.compute)
    assert [counts[what] - before[what] for what in ("waits", "copies")] == [1, 3]


def test_auto_takes_the_accelerator_and_others_are_refused() -> None:
    with pytest.raises(InputError, match="sees no mps device here, only cpu; use --device auto"):
        Compute.choose("mps")
    with pytest.raises(InputError, match="'cpu:3' was asked for, but there is one device"):
        Compute.choose("cpu:3")
    with pretended_accelerator():
        chosen = Compute.choose()
        assert (chosen.device, chosen.precision) == (KIND, "fp32")
        assert chosen.note is not None and "untested" in chosen.note
        with pytest.raises(InputError, match=f"'{KIND}:1' was asked for, but there is one device"):
            Compute.choose(f"{KIND}:1")
    assert Compute("cpu", "fp32").note is None


def test_what_mixes_devices_is_an_error() -> None:
    with pretended_accelerator() as counts:
        there = torch.ones(2, device="cpu").to(KIND)
        with pytest.raises(RuntimeError, match="operands on two devices"):
            there + torch.ones(2)
        assert float((there + there).sum()) == 4 and (counts["copies"], counts["waits"]) == (1, 1)
        there[there > 0]
        assert counts["waits"] == 2
