"""Squeezers: how a teacher is trained on the real data. The host drives them, measures what they leave and keeps it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from delt_host.basics.brief import Brief
from delt_host.basics.compute import Compute
from delt_host.contracts.component import Component
from delt_host.contracts.dataset import RealData
from delt_host.images.normalization import Normalization
from delt_host.networks.build import Builder
from delt_host.store.resume import Checkpoint

OnProgress = Callable[[int, dict[str, float]], None]
"""Told how many images went through the network since it was last told, and of losses."""


@dataclass(frozen=True, repr=False)
class Snapshot(Brief):
    """The network as it stands after an epoch. It is copied only when somebody asks for its weights."""

    epoch: int
    """Epochs done; 0: as it was drawn."""
    network: nn.Module
    """As it is trained: on the device, and changed by the next epoch."""

    def weights(self) -> dict[str, Tensor]:
        """A copy on the CPU of all parameters and buffers by name; to be asked for before training goes on."""
        return {name: tensor.detach().cpu().clone() for name, tensor in self.network.state_dict().items()}


class Squeezer(Component):
    """Trains a network on the real training images."""

    model: str = "convnet3"
    """The network: ours, torchvision's or timm's by name."""

    @abstractmethod
    def train(
        self,
        data: RealData,
        compute: Compute,
        models: Mapping[str, Builder],
        checkpoint: Checkpoint,
        progress: OnProgress,
    ) -> Iterator[Snapshot]:
        """Train, and give a snapshot after each epoch: the last one is the teacher.

        Images are read from ``data.train`` alone, and normalised as `normalization` says. Draws come from
        `delt_host.toolbox.generator` and `isolated_rng`, each snapshot being given outside of such a block. Where
        `checkpoint` holds something, go on from there, to the same bits; snapshots of epochs before are not given again.
        RunError for a training that diverges.
        """

    def passes(self, data: RealData) -> float:
        """How many images go through the network, forward and back; `progress` is told of as many in all."""
        return 0.0

    def advice(self, data: RealData) -> str:
        """What to change for a better network, and why, where this one ends poor on the test split; empty: nobody knows.

        It is told to users, after the accuracy: ``it was trained for 20 steps: train it longer (--set teacher.epochs=30)``.
        """
        return ""

    @property
    def architecture(self) -> str:
        """The name of the network that `train` leaves."""
        return self.model

    def normalization(self, data: RealData) -> Normalization:
        """What the network's images are normalised with."""
        return Normalization(data.mean, data.std)
