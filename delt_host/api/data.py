"""`delt_host.load_data`: real images, as a run sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from delt_host.api import words
from delt_host.api.telling import observer_of
from delt_host.contracts.dataset import RealData
from delt_host.contracts.services import Services
from delt_host.experiment.parts import Parts
from delt_host.experiment.request import Request
from delt_host.store.entry import default_store
from delt_host.store.store import Store


def load_data(
    dataset: Any = None,
    *,
    set: Mapping[str, Any] | None = None,
    store: str | Path | None = None,
    plugins: str | Sequence[str] | None = None,
    prefer: str | Sequence[str] | None = None,
    quiet: bool = False,
) -> RealData:
    """The images of a dataset, by its name or whatever else `delt_host.run` takes for one, with `set` for its options.

    InputError for what is to be changed.

    >>> data = load_data("digits", set={"dataset.image_size": 8})
    >>> data.test.read(torch.arange(2)).shape
    torch.Size([2, 3, 8, 8])
    """
    said = {"dataset": dataset, "set": set, "plugins": plugins, "prefer": prefer}
    given = words.opened(Request(), said)
    request = words.request_of(said, given)
    observer = observer_of(quiet, given.registry)
    parts = Parts(given.registry, request.dataset, request.set)
    parts.check_all_used()
    kept = Store(Path(store).absolute() if store is not None else default_store(), observer.note)
    with observer:
        return parts.dataset.component.load(Services(kept, observer)).checked()
