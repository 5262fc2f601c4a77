"""Squeezers by name."""

from __future__ import annotations

from delt_host import Squeezer, hookimpl
from delt_plugins.squeezers.flat import Sam
from delt_plugins.squeezers.ordinary import Ordinary


@hookimpl
def delt_squeezers() -> dict[str, type[Squeezer]]:
    return {"ordinary": Ordinary, "sam": Sam}
