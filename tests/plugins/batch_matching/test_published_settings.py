"""What a run of each method of batch matching takes, by dataset and IPC; nothing is computed."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from delt_host.experiment.request import Request
from delt_host.experiment.resolve import resolve
from delt_host.plugins.registry import load_registry
from delt_plugins.batch_matching import plugin
from delt_plugins.kit.small import problem_for
from made_problem import method_row

FAMILY = [*sorted(plugin.delt_methods()), "dm"]
SIZES = [("cifar10", 1), ("cifar10", 10), ("cifar10", 50), ("tiny-imagenet", 10), ("tiny-imagenet", 50), ("digits", 10)]
PUBLISHED: dict[tuple[str, str], dict[int, Any]] = {
    # DC, algorithm 1: a thousand networks, each matched 1, 10 and 50 times.
    **{(name, "iterations"): {1: 1000, 10: 10_000, 50: 50_000} for name in ("dc", "dsa", "dcc")},
    **{(name, "networks.max_age"): {1: 1, 10: 10, 50: 50} for name in ("dc", "dsa", "dcc")},
    **{(name, "networks.epochs"): {1: 1, 10: 50, 50: 10} for name in ("dc", "dsa", "dcc")},
    **{(name, "learning_rate"): dict.fromkeys((1, 10, 50), 0.1) for name in ("dc", "dsa", "dcc")},
    **{(name, "real_batch"): dict.fromkeys((1, 10, 50), 256) for name in ("dc", "dsa", "dcc")},
    ("dcc", "contrastive_from"): {1: 250, 10: 2500, 50: 2500},
    ("idc", "iterations"): dict.fromkeys((1, 10, 50), 200_000),
    # of pixels in 0..1, 0.005 at IPC 10, times IPC / 10
    **{(name, "learning_rate"): {1: 0.0005 / 0.061, 10: 0.005 / 0.061, 50: 0.025 / 0.061} for name in ("idc", "dream")},
    **{(name, "networks.steps"): dict.fromkeys((1, 10, 50), 32) for name in ("idc", "dream")},
    **{(name, "networks.batch"): dict.fromkeys((1, 10, 50), 64) for name in ("idc", "dream")},
    ("dream", "iterations"): dict.fromkeys((1, 10, 50), 25_000),
    **{(name, "real_batch"): dict.fromkeys((1, 10, 50), 64) for name in ("idc", "dream")},
    ("idm", "iterations"): dict.fromkeys((1, 10, 50), 20_000),
    ("idm", "learning_rate"): dict.fromkeys((1, 10, 50), 0.2),
    ("idm", "real_batch"): {1: 5000, 10: 256, 50: 256},
    ("idm", "networks.size"): dict.fromkeys((1, 10, 50), 100),
    ("idm", "networks.max_age"): {1: 10, 10: 60, 50: 60},
    ("idm", "classify"): {1: 0.5, 10: 0.5, 50: 0.1},
    ("dance", "iterations"): dict.fromkeys((1, 10, 50), 10_000),
    # of pixels in 0..1, 0.01 for each image a class
    ("dance", "learning_rate"): {1: 0.01 / 0.061, 10: 0.1 / 0.061, 50: 0.5 / 0.061},
    ("dance", "real_batch"): dict.fromkeys((1, 10, 50), 128),
    ("ncfm", "iterations"): dict.fromkeys((1, 10, 50), 20_000),
    ("ncfm", "learning_rate"): dict.fromkeys((1, 10, 50), 0.025),
    ("ncfm", "real_batch"): dict.fromkeys((1, 10, 50), 1024),
    **{(name, "networks.experts"): dict.fromkeys((1, 10, 50), 20) for name in ("dance", "ncfm")},
    **{(name, "networks.decay"): dict.fromkeys((1, 10, 50), "steps") for name in ("dance", "ncfm")},
    **{(name, "networks.cutmix"): dict.fromkeys((1, 10, 50), 0.5) for name in ("idc", "dream", "dance", "ncfm")},
    ("cim", "iterations"): dict.fromkeys((1, 10, 50), 200),
    **{(name, "networks.model"): dict.fromkeys((1, 10, 50), "convnet3_in") for name in ("dc", "idm", "ncfm", "dm")},
    # DM's loop steps once more after the last of its 20,000 iterations.
    ("dm", "iterations"): dict.fromkeys((1, 10, 50), 20_001),
    ("dm", "learning_rate"): dict.fromkeys((1, 10, 50), 1.0),
    ("dm", "momentum"): dict.fromkeys((1, 10, 50), 0.5),
    ("dm", "real_batch"): dict.fromkeys((1, 10, 50), 256),
    ("dm", "siamese"): dict.fromkeys((1, 10, 50), "color_crop_cutout_flip_scale_rotate"),
}


def taken(method: str, dataset: str, ipc: int, option: str) -> Any:
    """An option of the scheduler or the matcher of a run."""
    row = method_row(method, dataset, ipc)
    assert row.scheduler is not None and row.matcher is not None
    first, *rest = option.split(".")
    owner = row.matcher.component if hasattr(row.matcher.component, first) else row.scheduler.component
    for each in (first, *rest):
        owner = getattr(owner, each)
    return owner


@pytest.mark.parametrize(("method", "option"), PUBLISHED)
def test_settings_are_the_papers(method: str, option: str) -> None:
    for ipc, wanted in PUBLISHED[method, option].items():
        found = taken(method, "cifar10", ipc, option)
        assert found == (pytest.approx(wanted) if isinstance(wanted, float) else wanted), f"IPC {ipc}"


def test_tiny_imagenet_has_cifars_but_where_its_paper_differs() -> None:
    assert taken("idm", "tiny-imagenet", 50, "classify") == 0.8
    assert taken("idm", "tiny-imagenet", 10, "classify") == 0.5
    assert taken("dc", "tiny-imagenet", 10, "iterations") == 10_000


@pytest.mark.parametrize("method", FAMILY)
def test_every_method_plans_at_every_size(method: str) -> None:
    for dataset, ipc in SIZES:
        row = method_row(method, dataset, ipc)
        assert row.scheduler is not None and row.matcher is not None
        matcher = row.matcher.component
        small = problem_for(matcher).in_form(row.form.component)
        plan = row.scheduler.component.plan(small)
        (group,) = plan.groups
        assert group.iterations == row.scheduler.component.iterations
        passes = matcher.passes(small, group.phases[0])
        assert math.isfinite(passes) and passes > 0


@pytest.mark.parametrize("method", [name for name in FAMILY if not name.startswith("dm")])
def test_on_the_digits_networks_are_small_at_every_ipc(method: str) -> None:
    for ipc in (1, 10, 50):
        assert taken(method, "digits", ipc, "iterations") <= 60
        if method != "cim":  # it asks the teacher
            assert taken(method, "digits", ipc, "networks.model") == "convnet3_in_w32"
            assert taken(method, "digits", ipc, "real_batch") == 32


def test_dm_on_the_digits_has_the_teachers_network_and_all_classes_in_a_step() -> None:
    for ipc in (1, 10):
        assert taken("dm", "digits", ipc, "networks.model") == "", "the teacher's architecture"
        assert taken("dm", "digits", ipc, "turns") == "together"


def test_students_of_cim_and_ncfm_do_not_begin_anew_where_their_rate_falls() -> None:
    for name, ipc, batch in (("cim", 10, 50), ("cim", 50, 100), ("ncfm", 10, 256)):
        asked = Request(method=[name], regime=[name], dataset="cifar10", ipc=ipc)
        protocol = resolve(asked, load_registry()).regimes[0].protocol.component
        assert not protocol.step_restarts and protocol.batch_size == batch
        assert protocol.epochs == (1000 if name == "cim" else 2000)


def test_the_inner_loop_of_dc_is_of_epochs_over_the_set() -> None:
    for dataset, ipc, steps in (
        ("cifar10", 1, 1),
        ("cifar10", 10, 50),
        ("cifar10", 50, 20),
        ("tiny-imagenet", 10, 400),
    ):
        images = ipc * (200 if dataset == "tiny-imagenet" else 10)
        pool = taken("dc", dataset, ipc, "networks")
        batches = [each.tolist() for each in pool.batches(images, torch.Generator().manual_seed(0))]
        assert len(batches) == steps, (dataset, ipc)
        first = [place for each in batches[: steps // pool.epochs] for place in each]
        assert sorted(first) == list(range(images)) != first, "each image once in an epoch, in another order"
