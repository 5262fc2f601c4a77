"""What engines of machines ask of a run before they spread it."""

from __future__ import annotations

from delt_host import InputError
from delt_host.workshop import Comparison, Description, Task, tasks


def check_device(device: str) -> None:
    """InputError for one card by its number: each piece has a card of its own, and each sees it as the first; and for cards
    that no engine asks for."""
    if not device.startswith(("cpu", "cuda")):
        raise InputError(f"--device {device} is nothing that an engine asks for; with an engine say cpu or cuda")
    if device not in ("cpu", "cuda"):
        raise InputError(f"--device {device} names one card; with an engine say cuda")


def work_of(comparison: Comparison, threads: int) -> tuple[list[Task], Description]:
    """What is to be done elsewhere, and what a worker must know of it; from here on the engine says how far it is."""
    description = Description.of(comparison, threads)
    if found := tasks(comparison):
        comparison.host.observer.expect(())
    return found, description
