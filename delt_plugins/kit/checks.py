"""`check`: what a third party runs to prove that a component keeps its contract.

A file a contract, each with `results`, what a run takes of the component, and `examine`, what is asked beside. `check` takes
the results with a store that is empty, with one that has all that the component remembered, without one, and in another
process; all on a small real problem, in seconds, and with no data of the caller's. Whatever is wrong is one AssertionError.
"""

from __future__ import annotations

import sys
import tempfile
import tomllib
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import tomli_w
from torch import nn

from delt_host import (
    Component,
    Dataset,
    Evaluator,
    Form,
    Initializer,
    Matcher,
    Method,
    NetworkSource,
    Observer,
    Problem,
    Protocol,
    Regime,
    Relabeler,
    Scheduler,
    Squeezer,
)
from delt_host.toolbox import code_of
from delt_host.workshop import build, load_registry, why_unknown
from delt_plugins.kit import (
    dataset,
    evaluator,
    form,
    initializer,
    matcher,
    method,
    model,
    network_source,
    observer,
    protocol,
    relabeler,
    scheduler,
    squeezer,
)
from delt_plugins.kit.another import in_another_process
from delt_plugins.kit.guard import Recording, digests, one_sentence, watched
from delt_plugins.kit.small import VARIED, problem_for, with_another, without_tests

CONTRACTS: tuple[tuple[type, ModuleType], ...] = (
    (Initializer, initializer),
    (Scheduler, scheduler),
    (Matcher, matcher),
    (NetworkSource, network_source),
    (Relabeler, relabeler),
    (Evaluator, evaluator),
    (Protocol, protocol),
    (Form, form),
    (Squeezer, squeezer),
    (Dataset, dataset),
    (Method, method),
    (Regime, method),
)
SEEDED = (initializer, scheduler, matcher, network_source, relabeler, evaluator)
"""Contracts whose results are taken under a second seed too; sets of a test are others under it."""
REWRITTEN = "AssertionRewritingHook"


def check(thing: Any, problem: Problem | None = None) -> None:
    """Every promise of a contract, on `problem` or on a small one of the digits.

    `thing` is a component with its options, or its class, a Method or Regime, a network's builder, or an Observer's class.
    AssertionError, in one sentence, for the first promise that it breaks.
    """
    for _, promise in promises(thing, problem):
        promise()


@dataclass(frozen=True)
class Finding:
    """What became of one promise."""

    promise: str
    broken: str = ""
    """How, in a sentence; empty: it is kept."""
    note: str = ""
    """What could not be tried, where that is so."""

    def __str__(self) -> str:
        return f"{'BROKEN' if self.broken else 'kept'}: {self.promise}" + "".join(
            f"; {said}" for said in (self.broken, self.note) if said
        )


def findings(thing: Any, problem: Problem | None = None) -> Iterator[Finding]:
    """What becomes of each promise of a contract, one after the other, as `check` takes them. After a broken contract the rest
    is not tried: it would say the same."""
    for said, promise in promises(thing, problem):
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                promise()
        except AssertionError as error:
            yield Finding(said, str(error))
            if said == CONTRACT:
                return
            continue
        notes = [str(each.message) for each in caught if issubclass(each.category, UserWarning)]
        yield Finding(said, note="; ".join(notes))


CONTRACT = "the contract of its kind"


def promises(thing: Any, problem: Problem | None = None) -> Iterator[tuple[str, Callable[[], None]]]:
    """Each promise in a few words, and what tries it: AssertionError, in one sentence, where it is broken."""
    name = getattr(thing, "__name__", type(thing).__name__)
    if isinstance(thing, type) and issubclass(thing, Component):
        needed = [option for option, info in thing.model_fields.items() if info.is_required()]
        assert not needed, f"{name}: give it with its options, as {name}({needed[0] if needed else ''}=…)"
        thing = thing()
    contract = _contract(thing)
    assert contract is not None, f"{name} is of no kind that can be checked"
    with one_sentence(name):
        base = problem or problem_for(thing)
        base = replace(base, services=replace(base.services, store=None))
    shown = base if contract in (evaluator, protocol, dataset) else without_tests(base)
    here: dict[str, str] = {}

    def tried(*works: Callable[[], object], watching: bool = True) -> Callable[[], None]:
        def promise() -> None:
            with one_sentence(name), watched(name, thing, base) if watching else nullcontext():
                for work in works:
                    work()

        return promise

    def bare() -> None:
        contract.without_teacher(thing, replace(shown, teachers=(), space=shown.normalization))

    if isinstance(thing, Component):
        yield "options that survive a recipe", tried(lambda: check_options(thing), watching=False)
    yield "code that keys can see", tried(lambda: _check_code(name, thing), watching=False)
    works = [lambda: contract.examine(thing, shown)]
    if contract is initializer:
        works.append(lambda: initializer.check_no_tests(thing, base))
    yield CONTRACT, tried(*works)
    if hasattr(contract, "without_teacher"):
        yield "a run without a teacher", tried(bare)
    yield "the same from the store", tried(lambda: here.update(_check_store(name, thing, contract, shown)))
    if contract not in (method, observer):
        yield (
            "the same in another process",
            tried(lambda: _check_elsewhere(name, thing, contract, shown, here), watching=False),
        )


def _contract(thing: Any) -> ModuleType | None:
    if isinstance(thing, type):
        return observer if issubclass(thing, Observer) else model if issubclass(thing, nn.Module) else None
    found = next((module for contract, module in CONTRACTS if isinstance(thing, contract)), None)
    return found or (model if callable(thing) else None)


def check_options(component: Component) -> None:
    """Options survive a recipe file: written as TOML and read again they make an equal component."""
    name = type(component).__name__
    for option, info in type(component).model_fields.items():
        # What stands below an option in a notebook's cell is not seen by pydantic.
        seen = info.description or type(component).__module__ == "__main__"
        assert seen, f"{name}: option {option!r} has no docstring under it"
    written = {k: v for k, v in component.model_dump(mode="json").items() if v is not None}
    read = tomllib.loads(tomli_w.dumps(written))
    registry = load_registry() if component.parts else None
    again = build(type(component), read, name, registry)
    assert again == component, f"{name}: options change on their way through a recipe"


def _check_code(name: str, thing: Any) -> None:
    if isinstance(thing, Method | Regime):
        return
    code = type(thing) if isinstance(thing, Component) else thing
    loader = getattr(getattr(sys.modules.get(code.__module__), "__spec__", None), "loader", None)
    if type(loader).__name__ == REWRITTEN:  # a test module, whose assertions pytest has changed on their way in
        return
    why = why_unknown(code_of(code))
    assert not why, f"{name}: its code cannot be looked at ({why}), so that nothing of it would be kept"


def _check_store(name: str, thing: Any, contract: ModuleType, problem: Problem) -> dict[str, str]:
    """The results, which are the same with a store, from what it keeps, and without one."""
    with tempfile.TemporaryDirectory() as folder:
        kept = Recording(Path(folder) / "kept")
        first = digests(contract.results(thing, problem.with_store(kept)))
        if not kept.asked:
            return first
        again = digests(contract.results(thing, problem.with_store(kept)))
        without = digests(contract.results(thing, problem))
        assert first == again, (
            f"{name}: another result where what it remembers comes from the store; give all of it back from remember() or "
            "prepared(), and keep nothing beside"
        )
        assert first == without, f"{name}: another result with a store than without one"
        if isinstance(thing, Component) and contract is not evaluator:
            _check_reads(name, thing, contract, problem, kept, Path(folder))
        return first


def _check_reads(
    name: str, thing: Component, contract: ModuleType, problem: Problem, kept: Recording, folder: Path
) -> None:
    """What is remembered under one key is the same whatever the options that the key does not hold."""
    said = [set(inputs.get("by", {}).get("options", ())) for inputs in kept.asked.values()]
    unsaid = [option for option in type(thing).model_fields if not all(option in options for options in said)]
    tried = 0
    for option in unsaid:
        other = with_another(thing, option)
        if other is None or tried == VARIED:
            continue
        tried += 1
        fresh = Recording(folder / option)
        try:
            contract.results(other, problem.with_store(fresh))
        except Exception:  # this value has no sense for it
            continue
        wrong = [place for place, found in fresh.found.items() if kept.found.get(place, found) != found]
        assert not wrong, (
            f"{name}: what it remembers as {wrong[0][0]!r} depends on the option {option!r}, which its key does not hold; name "
            "it in reads, or in a Prepared's inputs"
        )


def _check_elsewhere(name: str, thing: Any, contract: ModuleType, problem: Problem, here: dict[str, str]) -> None:
    """The same results there; and of another seed and set those that one more process has that knows no other."""
    other = replace(problem, seed=problem.seed + 1) if contract in SEEDED else None
    found = in_another_process(contract.__name__, thing, problem, other)
    if found is None:
        return
    wrong = _unlike(name, found, here)
    assert not wrong, (
        f"{name}: {wrong} comes out differently in another process, where the order of sets, hash(), id(), the time, the "
        "process and the working folder are others"
    )
    assert not found["unseen"], (
        f"{name}: imports {found['unseen'][0]} while it runs, which no key sees, so that an edit there would go "
        "unnoticed; import it by its name, in the module's text"
    )
    if other is None:
        return
    alone = in_another_process(contract.__name__, thing, other)
    wrong = _unlike(name, alone, found["after"]) if alone is not None else ""
    assert not wrong, (
        f"{name}: {wrong} of another seed or set comes out differently after a first one than alone: it keeps something of "
        "the first in its module, class or instance; key that by all that it depends on, or use problem.remember()"
    )


def _unlike(name: str, found: dict[str, Any], here: dict[str, str]) -> str:
    """The first result that is another one in the other process; empty where all are the same."""
    assert "error" not in found, f"{name}: in another process it fails: {found.get('error')}"
    return next((what for what, value in here.items() if found["digests"].get(what) != value), "")
