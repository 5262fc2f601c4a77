"""`try_out`: what something does within seconds, before a run: its figures, its images, and what the conformance kit says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from delt_host import Component, InputError, MemorySplit, Observer
from delt_host.workshop import (
    Comparison,
    Experiment,
    Host,
    Named,
    Registry,
    Request,
    Store,
    default_store,
    file_word,
    load_registry,
    outlined,
    prepare_run,
    resolve,
    save_grid,
    short_name,
    unknown,
)
from delt_plugins.kit import figures
from delt_plugins.kit.checks import Finding, findings

FIRST = {"method": ["sre2l"], "control": [], "seeds": 1, "ipc": 2, "regime": ["hard"]}
"""The run in which a thing takes the place of another of its kind."""
QUICK = {"dataset.image_size": 16, "teacher.epochs": 2}
"""On the digits, whose teacher is squeezed in seconds, and once."""
SPOKEN: dict[str, Callable[[str], dict[str, Any]]] = {
    "method": lambda name: {"method": [name]},
    "initializer": lambda name: {"initializer": name},
    "scheduler": lambda name: {"scheduler": name},
    "matcher": lambda name: {"matcher": name},
    "form": lambda name: {"form": name},
    "evaluator": lambda name: {"evaluator": [name]},
    "relabeler": lambda name: {"regime": [f"{name}:fair"]},
    "protocol": lambda name: {"regime": [f"hard:{name}"]},
    "regime": lambda name: {"regime": [name]},
    "dataset": lambda name: {"dataset": name},
    "network_source": lambda name: {"method": ["dm"], "set": {"matcher.networks": name}},
    "squeezer": lambda name: {"set": {"teacher.squeezer": name}},
    "model": lambda name: {"student": [name]},
    "observer": lambda _: {},
}
"""How a request says that a thing of a kind is used."""


@dataclass
class Trial:
    """What was seen of one thing."""

    kind: str
    name: str
    """As it is typed."""
    figures: dict[str, Any] = field(default_factory=dict)
    """By name; lists are iteration by iteration, tables by term or by place."""
    lines: list[str] = field(default_factory=list)
    """The same for a reader."""
    images: MemorySplit | None = None
    """uint8 RGB with classes; of what recovers, those before and those after."""
    picture: Path | None = None
    """Where they lie as a PNG, a line for each class."""
    findings: list[Finding] = field(default_factory=list)
    """What the conformance kit says."""

    @property
    def passes(self) -> bool:
        """Whether no promise was seen broken."""
        return not any(finding.broken for finding in self.findings)

    def __str__(self) -> str:
        shown = [f"images: {self.picture}"] if self.picture else []
        return "\n".join([f"{self.kind} {short_name(self.name)}", *self.lines, *shown, *map(str, self.findings)])


def try_out(word: str, kind: str = "", **how: Any) -> Trial:
    """Try what a name, or ``./mine.py:Mine``, stands for: its figures, its images and what the conformance kit says.

    `how` is what `tried` takes. InputError for what is not there, RunError with its line where it fails.

    >>> try_out("./mine.py:Mine", options={"matcher.weight": 2}).figures["terms"]  # doctest: +SKIP
    {'mine': 8.567}
    """
    *_, trial = tried(word, kind, **how)
    return trial


def tried(
    word: str,
    kind: str = "",
    *,
    dataset: str | None = None,
    teacher: str | None = None,
    options: Mapping[str, Any] | None = None,
    registry: Registry | None = None,
    store: Path | None = None,
    picture: Path | None = None,
    observer: Observer | None = None,
    device: str | None = None,
    kit: bool = True,
) -> Iterator[Trial]:
    """The trial once it has its figures, and again after each finding of the conformance kit.

    On the digits with a small teacher, which is kept, or on a dataset and with a teacher as a run takes them. `kind` says
    which is meant where several have the name; `options` are as of ``--set``; `picture` is where images go, as a PNG; without
    `kit` the contract is not checked.
    """
    registry = registry or load_registry()
    kind, name = _meant(word, kind, registry)
    said = {**FIRST, "dataset": dataset, "device": device, **SPOKEN[kind](name)}
    quick = QUICK if said["dataset"] is None and teacher is None else {}
    said["set"] = {**quick, **said.get("set", {}), **(options or {})}
    experiment = resolve(
        Request.from_table({**said, "teacher": [teacher] if teacher else []}, "what is tried"), registry
    )
    host = Host(registry, Store(store or default_store()), observer or Observer())
    trial = Trial(kind, name)
    thing = _thing(kind, name, experiment, registry)
    if kind in figures.OF:
        _figures(trial, thing, experiment, host)
    if picture is not None and trial.images is not None:
        save_grid(trial.images, int(trial.images.targets.max()) + 1, picture)
        trial.picture = picture
    yield trial
    for finding in findings(thing) if kit else ():
        trial.findings.append(finding)
        yield trial


def _figures(trial: Trial, thing: Any, experiment: Experiment, host: Host) -> None:
    asks = trial.kind in figures.WITH_TEACHER
    comparison: Comparison = (prepare_run if asks else outlined)(experiment, host)
    row = comparison.rows[0]
    problem = comparison.problem.in_form(row.form.component)
    with host.guarding(trial.kind, trial.name, getattr(type(thing), "__module__", "")):
        seen = figures.OF[trial.kind](thing, problem, row, comparison)
    trial.figures, trial.lines, trial.images = seen.figures, seen.lines, seen.images


def _meant(word: str, kind: str, registry: Registry) -> tuple[str, str]:
    """The kind and the name in every folder of what a word stands for."""
    if kind and kind not in SPOKEN:
        raise unknown("kind", kind, SPOKEN)
    if file_word(word):
        found = [each for each in registry.files.kinds(word) if kind in ("", each[0])] or [(kind, word)]
    else:
        found = [(of, word) for of in SPOKEN if kind in ("", of) and word in registry.names(of)]
        if not found:
            raise unknown(kind or "name", word, {name for of in SPOKEN for name in registry.names(of)})
    if len({of for of, _ in found}) > 1 and len({name for _, name in found}) == 1:
        raise InputError(f"{word} is a {' and a '.join(of for of, _ in found)}: say which with --kind")
    if len(found) > 1:
        raise InputError(f"there are {', '.join(f'{of} {short_name(name)}' for of, name in found)}: name one of them")
    of, name = found[0]
    if of not in SPOKEN:
        raise InputError(f"{word} is a {of}, which is tried in a run (kinds: {', '.join(SPOKEN)})")
    return of, registry.called(of, name)


def _thing(kind: str, name: str, experiment: Experiment, registry: Registry) -> Any:
    """The component with its options, or what has none, as it is."""
    row, column = experiment.rows[0], experiment.regimes[0]
    named: dict[str, Named[Component] | None] = {
        **row.stages(),
        "relabeler": column.relabeler,
        "protocol": column.protocol,
        "dataset": experiment.dataset,
        "evaluator": experiment.evaluators[0],
    }
    if kind == "network_source" and row.matcher is not None:
        return row.matcher.component.networks
    if kind == "squeezer" and experiment.teachers and isinstance(experiment.teachers[0].made_by, Named):
        return experiment.teachers[0].made_by.component
    found = named.get(kind)
    return registry.get(kind, name) if found is None else found.component
