"""Who does the pieces of a run: it itself, workers beside it, or an engine that was named or given."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from delt_host.basics.errors import InputError, RunError
from delt_host.basics.settings import shown
from delt_host.basics.traces import told
from delt_host.contracts.engine import Engine
from delt_host.experiment.engines import engine_for
from delt_host.experiment.request import Request
from delt_host.plugins.registry import Registry
from delt_host.spread.workers import Workers
from delt_host.stages.story import Comparison

LOCAL, WORKERS = "local", "--workers"
MOST_WORKERS = 1024


def engine_of(
    given: str | Engine, registry: Registry, address: str | None = None, workers: int = 1
) -> tuple[str, Engine]:
    """With its name; of one that is given itself, its class's. InputError for what is unknown, and for two of both."""
    if not isinstance(workers, int) or not 1 <= workers <= MOST_WORKERS:
        raise InputError(f"--workers must be 1 to {MOST_WORKERS:,}, not {shown(workers)}")
    if isinstance(given, Engine):
        offers = registry.provided["engine"].items()
        name, engine = next((name for name, offer in offers if offer.thing is type(given)), type(given).__name__), given
    else:
        name, engine = given.partition(",")[0], engine_for(given, registry, address)
    if workers == 1:
        return name, engine
    if name != LOCAL:
        raise InputError(
            f"--workers are processes of this machine, --engine {name} has its own: leave one of the two out"
        )
    return WORKERS, Workers(count=workers)


def share_of_threads(threads: int | None, workers: int, there: int | None = None) -> int:
    """Each process's: as many as are said, else its share of those that are `there`, by default all of the machine."""
    if threads is not None:
        return threads
    return max((torch.get_num_threads() if there is None else there) // workers, 1)


def with_threads(request: Request, threads: int | None, workers: int) -> tuple[Request, int]:
    """The request, and how many threads each process has: what this call says, or its share of the recipe's.

    The recipe keeps all of them, for calls without workers; a strict one says what its results were made with, and is kept to.
    """
    if not request.strict:
        return request, share_of_threads(threads, workers, request.threads)
    share = share_of_threads(request.threads, workers)
    return request.model_copy(update={"threads": share}), share


def refused(name: str, objects: Sequence[str]) -> str:
    """Why an engine does nothing with objects of Python."""
    whose = "workers are sent" if name == WORKERS else f"engine {name} sends"
    out = "--workers" if name == WORKERS else "the engine"
    return (
        f"{whose} descriptions, and objects of Python are none ({', '.join(objects)}): write them into a file, name them as "
        f"FILE.py:NAME, or leave {out} out"
    )


def filled(engine: Engine, name: str, comparison: Comparison, threads: int) -> None:
    """Have the engine do what it can, in so many threads for each piece.

    What nobody foresaw is its plugin's; what it sets of the process, Ray's is, stays.
    """
    try:
        engine.fill(comparison, threads)
    except (InputError, RunError, KeyboardInterrupt):
        raise
    except BaseException as error:
        whose = comparison.host.registry.provided["engine"].get(name)
        by, modules = (str(whose.plugin), [whose.plugin.module]) if whose else (name, [])
        raise RunError(f"engine of {by}: {told(error, modules)}") from error
