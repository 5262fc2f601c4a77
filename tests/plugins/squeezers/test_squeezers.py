"""Squeezers: the contract, sharpness-aware minimisation against a plain reference, and how a run names and keeps them."""

from __future__ import annotations

import copy
import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from torch import Tensor, nn

from conftest import FP32, Install
from delt_host.basics.errors import RunError
from delt_host.basics.seeding import generator, isolated_rng
from delt_host.cli import cli
from delt_host.contracts.dataset import MemorySplit, RealData
from delt_host.contracts.results import read_results
from delt_host.contracts.squeezer import Snapshot, Squeezer
from delt_host.contracts.teacher import Teacher
from delt_host.images.normalization import Normalization
from delt_host.networks.build import build_model
from delt_host.store.resume import Checkpoint
from delt_host.training.teachers import squeeze
from delt_plugins.networks.plugin import delt_models
from delt_plugins.squeezers.flat import Sam
from delt_plugins.squeezers.ordinary import Ordinary

RHO = 0.1


def silent(_done: int, _losses: object) -> None:
    return None


def test_snapshots_are_a_trajectory_and_copy_only_what_is_asked_for(digits: RealData) -> None:
    kept: dict[int, dict[str, Tensor]] = {}
    seen = []
    for snapshot in Ordinary(epochs=3).train(digits, FP32, delt_models(), Checkpoint(None), silent):
        seen.append(snapshot.epoch)
        if snapshot.epoch != 2:
            kept[snapshot.epoch] = snapshot.weights()
    assert seen == [0, 1, 2, 3]
    first, second, last = (kept[epoch]["classifier.weight"] for epoch in (0, 1, 3))
    assert not first.equal(second) and not second.equal(last), "a copy stays as it was"
    assert squeeze(digits, Ordinary(epochs=3), FP32, delt_models(), silent).state["classifier.weight"].equal(last)


def some_of(digits: RealData, count: int) -> RealData:
    train = MemorySplit(digits.train.read(torch.arange(count)), digits.train.targets[:count])
    return dataclasses.replace(digits, train=train)


@pytest.mark.parametrize(
    ("images", "steps", "batch"), [(1280, 10, 128), (1279, 10, 127), (225, 10, 22), (65, 10, 16), (9, 10, 9)]
)
def test_an_epoch_has_ten_steps_however_few_images_there_are(
    digits: RealData, images: int, steps: int, batch: int
) -> None:
    told: list[int] = []
    data, squeezer = some_of(digits, images), Ordinary(epochs=1)
    for _ in squeezer.train(data, FP32, delt_models(), Checkpoint(None), lambda done, _losses: told.append(done)):
        pass
    assert sum(told) == squeezer.passes(data) == steps * batch
    assert f"{steps} steps of {batch} of {images} images" in squeezer.advice(data)
    assert "--set teacher.epochs=3" in squeezer.advice(data)


def test_where_images_abound_batches_are_what_is_asked_for(digits: RealData) -> None:
    """And the images of an epoch are drawn as they always were, so that teachers are the same to the bit."""
    assert Ordinary(epochs=2).passes(digits) == 2 * (len(digits.train) // 128) * 128
    assert Ordinary(epochs=2, batch_size=8).passes(digits) == 2 * (len(digits.train) // 8) * 8
    assert Ordinary(epochs=100).advice(digits) == "", "a thousand steps are not few"


class Wrong(Squeezer):
    """Gives the epochs that it is told."""

    epochs: tuple[int, ...] = ()
    """Of its snapshots."""

    def train(
        self, data: object, compute: object, models: object, checkpoint: object, progress: object
    ) -> Iterator[Snapshot]:
        return (Snapshot(epoch, nn.Flatten()) for epoch in self.epochs)


@pytest.mark.parametrize(("epochs", "says"), [((), "no snapshot"), ((1, 1), "epoch 1 after epoch 1")])
def test_a_squeezer_that_breaks_its_contract_is_told(digits: RealData, epochs: tuple[int, ...], says: str) -> None:
    with pytest.raises(RunError, match=says):
        squeeze(digits, Wrong(epochs=epochs), FP32, delt_models(), silent)


def small_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 10))


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_the_gradient_is_that_of_the_weights_moved_uphill(digits: RealData, alpha: float) -> None:
    with torch.random.fork_rng():
        model = small_network()
    plain, moved = copy.deepcopy(model), copy.deepcopy(model)
    places = torch.arange(16)
    images, targets = digits.train.read(places).float() / 255, digits.train.targets[places]
    here = torch.autograd.grad(F.cross_entropy(plain(images), targets), list(plain.parameters()))
    length = sum(float(g.square().sum()) for g in here) ** 0.5
    with torch.no_grad():
        for parameter, g in zip(moved.parameters(), here, strict=True):
            parameter += RHO * g / length
    there = torch.autograd.grad(F.cross_entropy(moved(images), targets), list(moved.parameters()))
    inner = sum(float((a * b).sum()) for a, b in zip(here, there, strict=True))
    share = inner / sum(float(g.square().sum()) for g in there)
    wanted = [second - alpha * (g - share * second) for g, second in zip(here, there, strict=True)]

    before = [parameter.clone() for parameter in model.parameters()]
    Sam(rho=RHO, alpha=alpha).gradients(model, images, targets, FP32)
    for parameter, was, gradient in zip(model.parameters(), before, wanted, strict=True):
        assert parameter.equal(was), "the weights are where they were"
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, gradient, atol=1e-6, rtol=1e-4)
    for (name, buffer), after in zip(model.named_buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(buffer, after, msg=f"{name} has seen the weights as they are, once")


@pytest.mark.parametrize(("schedule", "rates"), [("constant", (0.05, 0.05)), ("cosine", (0.05, 0.025))])
def test_plain_momentum_under_a_rate_that_changes_by_epochs_at_most(
    digits: RealData, schedule: Literal["constant", "cosine"], rates: tuple[float, float]
) -> None:
    """As G-VBSM and EDC squeeze: beside a plain loop over the same images in the same order."""
    options: dict[str, Any] = {
        "schedule": schedule,
        "nesterov": False,
        "weight_decay": 0.0,
        "learning_rate": 0.05,
        "epochs": 2,
    }
    plain = Ordinary(**options, batch_size=64, crop="none", flip=False)
    found = [each.weights() for each in plain.train(digits, FP32, delt_models(), Checkpoint(None), silent)]
    with isolated_rng(0, "weights that are then set"):
        network = build_model("convnet3", digits.num_classes, digits.image_size, delt_models())
    network.load_state_dict(found[0])
    velocity = [torch.zeros_like(parameter) for parameter in network.parameters()]
    for epoch, rate in enumerate(rates):
        order = torch.randperm(len(digits.train), generator=generator(0, "squeeze", epoch))
        for batch in order.split(64)[: len(order) // 64]:
            images = Normalization(digits.mean, digits.std).normalize(digits.train.read(batch))
            loss = F.cross_entropy(network(images), digits.train.targets[batch])
            gradients = torch.autograd.grad(loss, list(network.parameters()))
            with torch.no_grad():
                for parameter, v, gradient in zip(network.parameters(), velocity, gradients, strict=True):
                    parameter -= rate * v.mul_(0.9).add_(gradient)
    first, last = (torch.cat([found[at][name].flatten() for name, _ in network.named_parameters()]) for at in (0, -1))
    there = torch.cat([parameter.flatten() for parameter in network.parameters()])
    # Rounding alone makes a twentieth on some processors, a fourteenth on others; Nesterov's momentum makes two fifths.
    assert (last - there).norm() < 0.15 * (last - first).norm(), "but for rounding"


def test_the_next_batch_is_read_while_the_network_works_on_one(digits: RealData) -> None:
    reading, step = threading.Semaphore(0), 0

    class Told(MemorySplit):
        def read(self, indices: Tensor) -> Tensor:
            reading.release()
            return super().read(indices)

    class Waits(Ordinary):
        def gradients(self, model: nn.Module, *given: Any) -> Tensor:
            nonlocal step
            step += 1
            for _ in range({1: 2, 10: 0}.get(step, 1)):  # the batch after its own; in the first step both
                assert reading.acquire(timeout=30), f"nothing is read during step {step}"
            return super().gradients(model, *given)

    few = MemorySplit(digits.train.read(torch.arange(160)), digits.train.targets[:160])
    recipe: dict[str, Any] = {"model": "convnet3", "epochs": 1, "batch_size": 16}
    data = dataclasses.replace(digits, train=Told(few.images, few.targets))
    told = squeeze(data, Waits(**recipe), FP32, delt_models(), silent)
    assert step == 10
    whole = squeeze(dataclasses.replace(digits, train=few), Ordinary(**recipe), FP32, delt_models(), silent)
    assert all(torch.equal(told.state[name], whole.state[name]) for name in whole.state)


SMALL = ["--set", "dataset.image_size=8", "--set", "teacher.epochs=2", "-q"]


def test_a_run_names_its_squeezer_and_takes_its_options(tmp_path: Path) -> None:
    def call(*arguments: str) -> str:
        result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    call("squeeze", *SMALL, "--set", "teacher.squeezer=sam", "--set", "teacher.rho=0.02")
    recipe = Teacher.load(tmp_path / "convnet3.teacher.safetensors").recipe
    assert (recipe["squeezer"], recipe["rho"], recipe["epochs"]) == ("sam", 0.02, 2)
    written = 'method = "random-real"\n[[teacher]]\nname = "flat"\nsqueezer = "sam"\nrho = 0.02\n'
    (tmp_path / "recipe.toml").write_text(written)
    call("run", "recipe.toml", *SMALL, "--ipc", "1", "--seeds", "1", "--set", "protocol.epochs=1", "--out", "run")
    (teacher,) = read_results(tmp_path / "run").teachers
    assert (teacher.name, teacher.architecture, teacher.recipe) == ("flat", "convnet3", recipe)
    assert len(list((tmp_path / "store" / "squeeze").iterdir())) == 1, "one recipe is one teacher, whatever its name"


SQUEEZER = """
from delt_host import Snapshot, Squeezer, hookimpl
from delt_host.networks.build import build_model
from delt_host.basics.seeding import isolated_rng

class Untrained(Squeezer):
    def train(self, data, compute, models, checkpoint, progress):
        FAIL
        with isolated_rng(0, "untrained"):
            yield Snapshot(0, build_model(self.model, data.num_classes, data.image_size, models))

@hookimpl
def delt_squeezers():
    return {"untrained": Untrained}
"""


def test_a_third_partys_squeezer_is_found_and_named_where_it_fails(install: Install, tmp_path: Path) -> None:
    install("untrained", SQUEEZER.replace("FAIL", "pass"))
    said = CliRunner().invoke(cli, ["squeeze", *SMALL[:2], "-q", "--set", "teacher.squeezer=untrained"])
    assert "the teacher is near chance on digits" in str(said.exception)
    assert "training did not work" in str(said.exception) and "order" not in str(said.exception)


def test_a_squeezers_advice_is_the_reason_that_is_told(install: Install, tmp_path: Path) -> None:
    advises = "    def advice(self, data):\n        return f'it saw none of {len(data.train)} images'\n\n    def train("
    install(
        "advising", SQUEEZER.replace("FAIL", "pass").replace("untrained", "advising").replace("    def train(", advises)
    )
    said = CliRunner().invoke(cli, ["squeeze", *SMALL[:2], "-q", "--set", "teacher.squeezer=advising"])
    assert str(said.exception).endswith("at least 19.0 % is needed; it saw none of 1352 images")


def test_a_third_partys_failure_is_its_own(install: Install, tmp_path: Path) -> None:
    install("failing", SQUEEZER.replace("FAIL", "data.nothing").replace("untrained", "failing"))
    said = CliRunner().invoke(cli, ["squeeze", *SMALL[:2], "-q", "--set", "teacher.squeezer=failing"])
    assert isinstance(said.exception, RunError)
    assert "squeezer failing of failing 1.2 (failing): AttributeError" in str(said.exception)
