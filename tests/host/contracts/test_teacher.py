"""The teacher as one artifact: what is refused, what is mapped, what is kept."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import safetensors.torch
import torch

from conftest import FP32, random_teacher
from delt_host.basics.compute import Compute
from delt_host.basics.errors import InputError
from delt_host.contracts.dataset import MemorySplit, RealData
from delt_host.contracts.teacher import Teacher, chance_limit, check_accuracy, is_poor
from delt_host.training.teachers import accuracy, measured, squeeze
from delt_plugins.networks.plugin import delt_models
from delt_plugins.squeezers.ordinary import Ordinary

MODELS = delt_models()


@pytest.fixture(scope="module")
def squeezed(digits: RealData) -> Teacher:
    return squeeze(digits, Ordinary(epochs=4), FP32, MODELS, lambda _n, _t: None)


def test_a_squeezed_teacher_knows_the_digits_and_its_recipe(squeezed: Teacher, digits: RealData) -> None:
    assert squeezed.accuracy > 80
    assert squeezed.recipe["epochs"] == 4 and squeezed.dataset == "digits"
    assert squeezed.class_names == digits.class_names and squeezed.mean == digits.mean


def test_squeezing_repeats_bit_for_bit(squeezed: Teacher, digits: RealData) -> None:
    again = squeeze(digits, Ordinary(epochs=4), FP32, MODELS, lambda _n, _t: None)
    assert again.fingerprint == squeezed.fingerprint
    other = squeeze(digits, Ordinary(epochs=4, seed=1), FP32, MODELS, lambda _n, _t: None)
    assert other.fingerprint != squeezed.fingerprint


def test_progress_adds_up_to_the_images_seen(digits: RealData) -> None:
    seen: list[int] = []
    squeeze(digits, Ordinary(epochs=2, crop="resized"), FP32, MODELS, lambda n, _t: seen.append(n))
    assert sum(seen) == 2 * (len(digits.train) // 128) * 128


def test_the_artifact_survives_the_disk(squeezed: Teacher, tmp_path: Path) -> None:
    squeezed.save(tmp_path / "t.safetensors")
    loaded = Teacher.load(tmp_path / "t.safetensors")
    assert loaded.fingerprint == squeezed.fingerprint and loaded.facts() == squeezed.facts()


def test_a_permuted_class_order_is_mapped_by_name(squeezed: Teacher, digits: RealData) -> None:
    """A dataset whose classes come in another order: the same teacher is exactly as good."""
    order = [3, 1, 4, 0, 5, 9, 2, 6, 8, 7]
    position = torch.tensor(order).argsort()
    names = tuple(digits.class_names[i] for i in order)
    splits = [MemorySplit(s.images, position[s.targets]) for s in (digits.train, digits.test)]  # type: ignore[attr-defined]
    permuted = dataclasses.replace(digits, class_names=names, train=splits[0], test=splits[1])
    squeezed.check_fits(permuted)
    assert measured(squeezed, permuted, FP32, MODELS).accuracy == pytest.approx(squeezed.accuracy)


def test_other_classes_are_refused_with_both_orders(squeezed: Teacher, digits: RealData) -> None:
    other = dataclasses.replace(digits, class_names=("zero", *digits.class_names[1:]))
    with pytest.raises(InputError, match=r"teacher \(10\): 0, 1, 2.*dataset \(10\): zero, 1, 2"):
        squeezed.check_fits(other)


def test_another_image_size_is_refused(squeezed: Teacher, digits: RealData) -> None:
    with pytest.raises(InputError, match="the teacher takes 8 px images, digits gives 16 px"):
        squeezed.check_fits(dataclasses.replace(digits, image_size=16))


def test_a_teacher_near_chance_is_refused_with_what_may_be_the_reason(digits: RealData) -> None:
    poor = measured(random_teacher(digits), digits, FP32, MODELS)
    with pytest.raises(InputError, match=r"near chance on digits: top-1 .*in the order of the classes \(0, 1, .*mean"):
        check_accuracy(poor, digits, poor.accuracy)
    turned = dataclasses.replace(poor, class_names=poor.class_names[::-1])
    with pytest.raises(InputError, match=r"order of its classes \(9, 8, .*dataset's: 0, 1"):
        check_accuracy(turned, digits, poor.accuracy)


@pytest.mark.parametrize(("advice", "says"), [("it is young", "it is young"), ("", "training did not work")])
def test_one_that_was_squeezed_on_the_data_is_not_suspected_of_their_order(
    digits: RealData, advice: str, says: str
) -> None:
    poor = measured(random_teacher(digits), digits, FP32, MODELS)
    with pytest.raises(InputError, match="at least 19.0 % is needed; ") as error:
        check_accuracy(poor, digits, poor.accuracy, advice)
    assert says in str(error.value) and "order" not in str(error.value)


@pytest.mark.parametrize(
    ("classes", "measured", "poor"), [(2, 74.0, True), (2, 76.0, False), (10, 54.0, True), (10, 56.0, False)]
)
def test_less_than_half_way_is_poor(classes: int, measured: float, poor: bool) -> None:
    assert is_poor(classes, measured) == poor


@pytest.mark.parametrize(("classes", "limit"), [(2, 55.0), (10, 19.0), (1000, 10.09)])
def test_chance_limit(classes: int, limit: float) -> None:
    assert chance_limit(classes) == pytest.approx(limit)


def test_a_bare_state_dict_is_refused_with_the_way_out(tmp_path: Path) -> None:
    safetensors.torch.save_file({"x": torch.zeros(1)}, tmp_path / "bare.safetensors")
    with pytest.raises(InputError, match="no class names or normalisation; make a teacher .* delt-host import-teacher"):
        Teacher.load(tmp_path / "bare.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"\xff" * 30)
    with pytest.raises(InputError, match="broken.safetensors cannot be read"):
        Teacher.load(tmp_path / "broken.safetensors")


def test_accuracy_is_the_share_of_right_answers(squeezed: Teacher, digits: RealData) -> None:
    network = squeezed.network(digits.class_names, FP32, MODELS)
    indices = torch.arange(0, 60)
    some = MemorySplit(digits.test.read(indices), digits.test.targets[indices])
    whole, per_class = accuracy(network, squeezed.normalization, some, FP32)
    with torch.inference_mode():
        right = (
            network(squeezed.normalization.normalize(digits.test.read(indices))).argmax(1) == digits.test.targets[:60]
        )
    assert whole == pytest.approx(100 * right.float().mean().item())
    counts = torch.bincount(digits.test.targets[:60], minlength=10)
    assert sum(a * c for a, c in zip(per_class, counts.tolist(), strict=True) if c) == pytest.approx(
        100 * int(right.sum())
    )


@pytest.mark.skipif(not torch.cpu._is_avx512_bf16_supported(), reason="this CPU does not multiply bfloat16 natively")
def test_precision_changes_little(squeezed: Teacher, digits: RealData) -> None:
    assert abs(measured(squeezed, digits, Compute("cpu", "bf16"), MODELS).accuracy - squeezed.accuracy) < 2


def test_weights_of_another_dataset_are_refused_for_pretrained(
    digits: RealData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "delt_plugins.squeezers.ordinary.pretrained_model", lambda *_: (torch.nn.Identity(), ["x"] * 1000)
    )
    with pytest.raises(InputError, match="knows ImageNet-1K's 1000 classes, digits has 10"):
        squeeze(digits, Ordinary(weights="DEFAULT"), FP32, MODELS, lambda _n, _t: None)


def test_a_diverging_squeeze_says_what_to_lower(digits: RealData) -> None:
    from delt_host.basics.errors import RunError

    with pytest.raises(RunError, match=r"diverged in epoch .*teacher.learning_rate"):
        squeeze(digits, Ordinary(epochs=3, learning_rate=1e9), FP32, MODELS, lambda _n, _t: None)
