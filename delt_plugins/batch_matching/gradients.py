"""Gradient matching: what synthetic images would teach a network, in one step, beside what real images would.

Zhao, Mopuri and Bilen: Dataset Condensation with Gradient Matching, ICLR 2021 (arXiv 2006.05929), and those that came of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, SerializeAsAny
from torch import Tensor, nn

from delt_host import Match, Matcher, NetworkSource, Phase, Problem, RunError, Views
from delt_host.toolbox import RealBatch, RealBatches, by_class, logits, parameters, with_gradient
from delt_plugins.batch_matching.clusters import Clusters
from delt_plugins.batch_matching.distances import Distance, distance
from delt_plugins.dm.distribution import real_images
from delt_plugins.sources.trained import Pool

SECOND, WEIGHTS = 5.0, 1.3
"""Times as long as forward and back to the pixels, about, by ConvNet-3 on a CPU: second derivatives, a gradient of weights."""


class GradientMatching(Matcher):
    """The distance of gradients of the cross-entropy to the network's weights, of each class's synthetic and real images.

    A class's pixel gradient is taken at once, so that memory is of one class, whatever their number, summed gradients included;
    a network's batch norms see one class on either side. Real images get the
    step's draw of the plan. Gradients are of matrices and convolutions alone: biases and norms count nowhere.
    """

    source: ClassVar[str] = "DC, eq. 5 to 9; DSA, eq. 4; DCC, eq. 6; IDC, section 4.2; DREAM, section 3.2"

    networks: SerializeAsAny[NetworkSource] = Pool(
        size=1, max_age=10, trained_on="current", steps=50, momentum=0.0, weight_decay=0.0
    )
    """Where the networks come from; as DC at IPC 10: one, matched ten times and trained between on the set for 50 steps."""
    real_batch: int = Field(256, ge=1)
    """Real images of each class in an iteration, drawn without replacement."""
    distance: Distance = "rows"
    """`rows`: 1 - cos of each output row (DC); `squared` (IDC), `absolute`: the sum of differences."""
    layers: Literal["all", "convolutions"] = "all"
    """Which weights count; `convolutions`: without the classifier's (IDC)."""
    contrastive_from: int = Field(-1, ge=-1)
    """The iteration from which on one distance is taken of the sum of the classes' gradients, as DCC does, in place of the sum
    of their distances; -1: never. It takes a step of all classes together."""
    clustered_every: int = Field(0, ge=0)
    """Iterations after which the real images of a class are chosen anew as those nearest to centres of its clusters in the
    network's features (DREAM); 0: drawn at random in each."""
    clustered_from: int = Field(0, ge=0)
    """Images of a class, drawn anew, in which clusters are looked for; 0: all."""

    def bind(self, problem: Problem) -> Match:
        batches = RealBatches(problem)
        clusters = Clusters(problem, self.real_batch, self.clustered_from)

        def real_of(label: int, views: Views) -> RealBatch:
            rng = views.generator("real", label)
            if not self.clustered_every:
                return batches.of_classes([label], self.real_batch, rng)
            return batches.at(clusters.of_class(label, views, self.clustered_every, rng))

        def match(views: Views) -> dict[str, Tensor]:
            if self.contrastive_from >= 0 and views.turn:
                raise RunError(
                    "contrastive_from sums all classes of a step, and there is one; set scheduler.turns=together"
                )
            of, classes_of = parameters(views.network), list(by_class(views))
            weights = [name for name, each in of.items() if each.ndim >= (4 if self.layers == "convolutions" else 2)]

            def of_real(label: int) -> list[Tensor]:
                images, classes = real_of(label, views)
                return gradients(problem, views.network, of, weights, (views.augment(images), classes))

            def of_synthetic(own: slice | Tensor, graph: bool) -> list[Tensor]:
                batch = views.images[own], views.targets[own]
                return gradients(problem, views.network, of, weights, batch, graph)

            pixels, value = torch.zeros_like(views.images), torch.zeros((), device=views.images.device)
            if 0 <= self.contrastive_from <= views.iteration:
                shares = [len(views.targets[own]) / len(views.targets) for _, own in classes_of]
                wanted = _sum((1 / len(classes_of), of_real(label)) for label, _ in classes_of)
                given = _sum(
                    (share, of_synthetic(own, False)) for share, (_, own) in zip(shares, classes_of, strict=True)
                )
                value, slopes = _slopes(self.distance, given, wanted)
                for share, (_, own) in zip(shares, classes_of, strict=True):
                    # the distance has one slope to the sum, so each class's part goes back by itself
                    along = zip(slopes, of_synthetic(own, True), strict=True)
                    pulled = torch.stack([(slope * each).sum() for slope, each in along]).sum()
                    pixels += share * torch.autograd.grad(pulled, views.images)[0]
            else:
                for label, own in classes_of:
                    apart = distance(self.distance, of_synthetic(own, True), of_real(label))
                    pixels += torch.autograd.grad(apart, views.images)[0]
                    value = value + apart.detach()
            return {"gradients": with_gradient(value, {views.images: pixels}).view(1)}

        return match

    def passes(self, problem: Problem, phase: Phase) -> float:
        """Counted as ways to the pixels: a synthetic image's second derivatives as `SECOND` of them, a gradient of weights as
        `WEIGHTS`; where gradients are summed, there is one of each synthetic image more."""
        summed = max(phase.iterations - self.contrastive_from, 0) if self.contrastive_from >= 0 else 0
        synthetic = super().passes(problem, phase) * (SECOND + WEIGHTS * summed / phase.iterations)
        choices = -(-phase.iterations // self.clustered_every) if self.clustered_every else 0
        looked_at = real_images(problem, self.clustered_from or len(problem.data.train)) / 3
        real = phase.iterations * real_images(problem, self.real_batch)
        return synthetic + WEIGHTS * real + choices * looked_at

    def at_once(self, problem: Problem, phase: Phase) -> float:
        """A class at a time, and of its synthetic images twice as much is kept."""
        synthetic = phase.active * problem.form.cells / problem.num_classes
        return self.real_batch + 2 * synthetic


def _sum(weighted: Iterable[tuple[float, list[Tensor]]]) -> list[Tensor]:
    """Of lists of gradients, each times its number, added up as they come."""
    total: list[Tensor] = []
    for weight, each in weighted:
        own = [weight * tensor for tensor in each]
        total = [*map(torch.add, total, own)] if total else own
    return total


def _slopes(kind: Distance, given: list[Tensor], wanted: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """The distance (), and its gradient to each tensor of `given`."""
    with torch.enable_grad():
        leaves = [each.detach().requires_grad_(True) for each in given]
        apart = distance(kind, leaves, wanted)
    return apart.detach(), list(torch.autograd.grad(apart, leaves))


def gradients(
    problem: Problem,
    network: nn.Module,
    of: dict[str, Tensor],
    weights: Sequence[str],
    batch: RealBatch,
    graph: bool = False,
) -> list[Tensor]:
    """Of the mean cross-entropy of `batch`, images (n, 3, S, S) and classes (n,), to these of the network's parameters `of`;
    with `graph` differentiable."""
    images, classes = batch
    with torch.enable_grad():
        loss = F.cross_entropy(logits(problem, network, images, of), classes)
        return list(torch.autograd.grad(loss, [of[name] for name in weights], create_graph=graph))
