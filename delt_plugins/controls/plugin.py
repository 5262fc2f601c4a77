"""What every comparison needs beside the methods: random real images under the identical protocol."""

from __future__ import annotations

from delt_host import Initializer, Method, hookimpl, use
from delt_plugins.controls.real import Real

RANDOM_REAL = Method(
    summary="random real images, nothing optimised: the control",
    source="Qin et al. 2024, arXiv 2406.10485",
    initializer=use("real"),
)


@hookimpl
def delt_initializers() -> dict[str, type[Initializer]]:
    return {"real": Real}


@hookimpl
def delt_methods() -> dict[str, Method]:
    return {"random-real": RANDOM_REAL}
