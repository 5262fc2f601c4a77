"""What the stages work with, and the guard around every component: its name on whatever goes wrong, its writes confined."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from delt_host.code_identity import code_of, why_unknown
from delt_host.component import Component
from delt_host.confine import confined
from delt_host.errors import InputError, RunError
from delt_host.experiment import Named
from delt_host.identity import identity
from delt_host.observer import Observer
from delt_host.plugins import Registry
from delt_host.store import Store


@dataclass
class Host:
    """What the stages work with: installed plugins, the store, and whoever listens."""

    registry: Registry
    store: Store
    observer: Observer
    folder: Path | None = None
    """The run's folder, where components may leave files of their own."""
    told: set[tuple[str, str]] = field(default_factory=set)
    """The stages that the observer has heard of, each with what it was of."""
    untold: dict[str, str] = field(default_factory=dict)
    """Rows whose steps could not be told, by label, and why: they will fail."""
    _said: set[str] = field(default_factory=set)
    _codes: dict[tuple[Any, ...], str] = field(default_factory=dict)
    _identities: dict[tuple[str, int], tuple[Component, dict[str, Any]]] = field(default_factory=dict)

    def code_of(self, *things: Any) -> str:
        """The digest of their code, looked at once: what a run has imported is what it runs."""
        if things not in self._codes:
            self._codes[things] = code_of(*things)
        return self._codes[things]

    def identity(self, stage: str, named: Named[Component]) -> dict[str, Any]:
        """What a component is to the store."""
        place = stage, id(named.component)
        if place not in self._identities:  # the component is kept with it, so that no other gets its number
            self._identities[place] = named.component, self._identity(stage, named)
        return self._identities[place][1]

    def _identity(self, stage: str, named: Named[Component]) -> dict[str, Any]:
        found = {"stage": stage, **identity(named.component)}
        if (why := why_unknown(found["code"])) and why not in self._said:
            self._said.add(why)
            self.observer.note(f"nothing that depends on {stage} {named.name} is kept: {why}")
        return found

    @contextmanager
    def running(self, stage: str, named: Named[Component]) -> Iterator[None]:
        """Whatever goes wrong inside is this component's: RunError with its name and the plugin that it comes from.

        InputError passes as it is: it already says what the user would have to change. Files outside the store and the
        run's folder cannot be written inside.
        """
        folders = [self.store.root] if self.folder is None else [self.store.root, self.folder]
        try:
            with confined(folders):
                yield
        except InputError:
            raise
        except Exception as error:
            said = str(error) if isinstance(error, RunError) else f"{type(error).__name__}: {error}"
            plugin = self.registry.provider(stage, named.name).plugin
            raise RunError(f"{stage} {named.name} of {plugin}: {said}") from error
