"""What commands, engines, reports and test kits are built of: whatever works on whole experiments, runs and stores.

A component needs none of it: what that imports is in `delt_host` and `delt_host.toolbox`.
"""

from __future__ import annotations

from delt_host.basics.lazy import attach

__getattr__, __dir__, __all__, HOMES = attach(__name__, __file__)
