"""What rows' methods are published with, which the iterations and the students' steps of a run are held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from delt_host.basics.errors import InputError
from delt_host.contracts.methods import Method
from delt_host.contracts.protocol import Protocol
from delt_host.experiment.columns import ColumnMaker
from delt_host.experiment.experiment import Published, Row
from delt_host.experiment.parts import Parts
from delt_host.experiment.rows import RowMaker


def with_published(rows: Sequence[Row], parts: Parts, ipc: int, students: tuple[str, ...]) -> tuple[Row, ...]:
    """The rows, each that optimises something with what its method is published with, if that is known: whoever holds other
    methods against them reads a recipe for itself, and a method that is installed no more costs no row of it."""
    if not parts.dataset.component.reported:
        return tuple(rows)
    bare = parts.bare()
    found = {name: _published(name, bare, ipc, students) for name in {row.method for row in rows if row.scheduler}}
    return tuple(replace(row, published=found.get(row.method) if row.scheduler else None) for row in rows)


def _published(name: str, parts: Parts, ipc: int, students: tuple[str, ...]) -> Published | None:
    try:
        of, own = name, parts.registry.get("method", name)
        while own.of and own.of != of:  # a preset may be of a preset
            of, own = own.of, parts.registry.get("method", own.of)
        if not own.source:
            return None
        (row,) = RowMaker(parts, ipc, {}).from_spec(of, "method")
    except InputError:
        return None
    return Published(of, row.scheduler, row.form, _protocol(own, parts, ipc, students))


def _protocol(method: Method, parts: Parts, ipc: int, students: tuple[str, ...]) -> Protocol | None:
    regime = method.published(parts.published_as, ipc).get("regime", method.regime)
    if not regime:
        return None
    try:
        (column,) = ColumnMaker(parts, ipc, students).columns([regime], teacher=True)
    except InputError:
        return None
    return column.protocol.component
