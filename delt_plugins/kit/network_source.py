"""What the conformance kit asks of a network source."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from delt_host import Networks, NetworkSource, Problem
from delt_plugins.kit.small import real_start


def results(source: NetworkSource, problem: Problem) -> dict[str, Any]:
    return {"logits": torch.stack(_answers(source, source.bind(problem.seen_by(source), 0), problem, range(2)))}


def examine(source: NetworkSource, problem: Problem) -> None:
    """Networks give logits, require no gradient, and are the same under the same seed and for a group that goes on."""
    name, seen = type(source).__name__, problem.seen_by(source)

    def answers(networks: Networks, iterations: range) -> list[Tensor]:
        return _answers(source, networks, problem, iterations)

    first = answers(source.bind(seen, 0), range(4))
    wanted = (problem.num_images, problem.num_classes)
    assert all(tuple(each.shape) == wanted for each in first), f"{name}: logits are not {wanted}"
    assert all(bool(each.isfinite().all()) for each in first), f"{name}: some logits are not finite"
    again = source.bind(seen, 0)
    same = torch.equal(torch.stack(answers(again, range(2))), torch.stack(first[:2]))
    assert same, f"{name}: two runs under one seed differ; use problem.generator()"
    gone_on, state = source.bind(seen, 0), {key: tensor.clone() for key, tensor in again.state().items()}
    gone_on.load(state)
    same = torch.equal(torch.stack(answers(gone_on, range(2, 4))), torch.stack(first[2:]))
    assert same, f"{name}: a group that goes on after a kill has other networks; what lasts belongs into state()"


def _answers(source: NetworkSource, networks: Networks, problem: Problem, iterations: range) -> list[Tensor]:
    name, targets, found = type(source).__name__, problem.targets(), []
    images = problem.normalization.normalize(real_start(problem).images)
    for iteration in iterations:
        network = networks.at(iteration, lambda: (images, targets))
        assert isinstance(network, nn.Module), f"{name}: at() gives a {type(network).__name__}, not a network"
        loose = [each for each, parameter in network.named_parameters() if parameter.requires_grad]
        assert not loose, f"{name}: parameter {next(iter(loose))!r} requires a gradient in iteration {iteration}"
        with torch.no_grad():
            found.append(network(images))
    return found
