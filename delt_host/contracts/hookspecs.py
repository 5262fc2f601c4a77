"""What marks a plugin's functions as hooks; `delt_host.contracts.kinds` has all of them."""

from __future__ import annotations

import pluggy

from delt_host.basics.version import GROUP

hookimpl = pluggy.HookimplMarker(GROUP)
"""Marks a function of a plugin as the hook whose name it has."""
