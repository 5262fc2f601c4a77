"""What benchmarks measure can be built: they are run by hand, and break unseen."""

from __future__ import annotations

import importlib
import sys

import pytest
import torch

from conftest import ROOT
from delt_host.basics.seeding import isolated_rng


@pytest.mark.parametrize("model", ["convnet3", "resnet18"])
def test_the_host_and_the_plain_loops_have_the_networks_of_plugins(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    for name in ("harness", "plain"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    harness, plain = importlib.import_module("harness"), importlib.import_module("plain")
    problem = harness.noise_problem(model, 8, real=20)
    images = problem.normalization.normalize(problem.data.train.read(torch.arange(20)))
    with isolated_rng(0, "plain"):  # the plain loops draw as scripts do
        assert problem.teacher_logits(images).shape == plain.frozen(model, 10, 8)(images).shape == (20, 10)
