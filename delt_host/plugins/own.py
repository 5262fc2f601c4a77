"""What the host itself provides, by hooks as any plugin's: what everything else is compared with."""

from __future__ import annotations

from delt_host.contracts.engine import Engine, Local
from delt_host.contracts.form import Form, Pixels
from delt_host.contracts.hookspecs import hookimpl
from delt_host.contracts.network_source import Frozen, NetworkSource
from delt_host.contracts.protocol import Fair, Protocol


@hookimpl
def delt_forms() -> dict[str, type[Form]]:
    return {"pixels": Pixels}


@hookimpl
def delt_network_sources() -> dict[str, type[NetworkSource]]:
    return {"frozen": Frozen}


@hookimpl
def delt_protocols() -> dict[str, type[Protocol]]:
    return {"fair": Fair}


@hookimpl
def delt_engines() -> dict[str, type[Engine]]:
    return {"local": Local}
