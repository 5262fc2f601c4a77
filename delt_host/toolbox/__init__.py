"""What a plugin may use: real batches, networks as functions of their parameters, unrolled training, losses with gradients of
their own."""

from delt_host.toolbox.batches import RealBatches
from delt_host.toolbox.gradients import with_gradient
from delt_host.toolbox.networks import drawn_network, features, logits, parameters
from delt_host.toolbox.unroll import distance_after, unrolled

__all__ = [
    "RealBatches",
    "distance_after",
    "drawn_network",
    "features",
    "logits",
    "parameters",
    "unrolled",
    "with_gradient",
]
