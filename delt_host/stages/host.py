"""What the stages work with, and the guard around every component: its name on whatever goes wrong, the process as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from delt_host.basics import traces
from delt_host.basics.errors import InputError, RunError
from delt_host.basics.file_words import short_name
from delt_host.basics.guard import Guarded
from delt_host.contracts.component import Component
from delt_host.contracts.identity import identity
from delt_host.contracts.observer import Observer
from delt_host.experiment.experiment import Named
from delt_host.plugins.registry import Registry
from delt_host.store.code_identity import code_of, why_unknown
from delt_host.store.store import Store


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
        if place not in self._identities:
            found = {"stage": stage, **identity(named.component)}
            if why := why_unknown(found["code"]):
                self.say(f"nothing that depends on {stage} {short_name(named.name)} is kept: {why}")
            self._identities[place] = named.component, found  # the component too, so that no other gets its number
        return self._identities[place][1]

    def running(self, stage: str, named: Named[Any]) -> AbstractContextManager[None]:
        """Whatever goes wrong inside is this component's: RunError with its name, the plugin that it comes from, and its line.

        InputError passes as it is: it already says what the user would have to change. What it changed of the process
        is set back, with a note.
        """
        return self.guarding(stage, named.name, type(named.component).__module__)

    @contextmanager
    def guarding(self, kind: str, name: str, module: str = "") -> Iterator[None]:
        """The same for anything that a plugin provides; `module` is where its code lies, if not in the plugin's own."""

        def whom() -> str:
            return f"{kind} {short_name(name)} of {self.registry.whose(kind, name)}"

        traces.inside.append(f"{kind} {short_name(name)}")
        try:
            with Guarded(whom, self.say):
                yield
        except (InputError, KeyboardInterrupt):
            raise
        except BaseException as error:  # whatever it is, sys.exit() too, it costs a row and not the run
            traces.give(error)
            modules = (self.registry.whose(kind, name).module, module)
            said = str(error) if isinstance(error, RunError) else traces.told(error, modules)
            raise RunError(f"{whom()}: {said}") from error
        finally:
            traces.inside.pop()

    def say(self, note: str) -> None:
        """Note it, once."""
        if note not in self._said:
            self._said.add(note)
            self.observer.note(note)
