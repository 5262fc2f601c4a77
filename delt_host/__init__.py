"""delt-host: dataset distillation methods as plugins, compared fairly. What a plugin or a notebook imports."""

from __future__ import annotations

from delt_host.basics.lazy import attach
from delt_host.basics.version import VERSION

__version__ = VERSION
__getattr__, __dir__, __all__, HOMES = attach(__name__, __file__)
