"""What a plugin may use: real batches, networks as functions of their parameters, unrolled training, losses with gradients of
their own."""

from __future__ import annotations

from delt_host.basics.lazy import attach

__getattr__, __dir__, __all__, HOMES = attach(__name__, __file__)
