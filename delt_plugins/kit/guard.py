"""Whatever is wrong ends in one AssertionError of one sentence, and what a component changed of the process is set back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from delt_host import Component, InputError, Problem, RunError
from delt_host.workshop import GENERATORS, Guarded, Store, sentence, told

GLOBAL = frozenset(setting.name for setting in GENERATORS)


@contextmanager
def one_sentence(name: str) -> Iterator[None]:
    """AssertionError for whatever is raised inside, on one line that begins with the component's name."""
    try:
        yield
    except AssertionError as error:
        said = " ".join(str(error).split())
        if said.startswith(f"{name}: "):
            raise AssertionError(said) from error
        raise AssertionError(f"{name}: {said or told(error)}") from error
    except (InputError, RunError) as error:
        raise AssertionError(f"{name}: {sentence(error)}") from error
    except (Exception, SystemExit) as error:
        raised = "" if isinstance(error, SystemExit) else "it raised "
        raise AssertionError(f"{name}: {raised}{told(error)}") from error


@contextmanager
def watched(name: str, thing: Any, problem: Problem) -> Iterator[None]:
    """AssertionError where the block draws from a global generator, or changes options, data, teachers or the process."""
    guarded = Guarded(lambda: name, lambda _: None)
    looked = _looks(thing, problem)
    failed: BaseException | None = None
    try:
        with guarded:
            yield
    except (Exception, SystemExit) as error:
        failed = error
    # Said first: it is why two runs differ.
    for what in guarded.changed:
        if what in GLOBAL:
            layers = ", or, to build layers, delt_host.toolbox.drawn_network" if what.startswith("torch") else ""
            raise AssertionError(f"{name}: draws from {what}; use problem.generator(){layers}") from failed
    if guarded.changed:
        raise AssertionError(f"{name}: changes {guarded.changed[0]} for the whole process; set it back") from failed
    try:
        now = _looks(thing, problem)
    except Exception as error:
        raise AssertionError(f"{name}: changes what it was given, so that {sentence(error)}") from failed
    for what, before in looked.items():
        if now[what] != before:
            raise AssertionError(f"{name}: changes {what} in place; work on a copy") from failed
    for network in problem.services.built.values():
        if any(module.training for module in network.modules()):
            raise AssertionError(
                f"{name}: leaves a teacher in training mode; teachers are shared, and in eval mode"
            ) from failed
        if any(parameter.requires_grad for parameter in network.parameters()):
            raise AssertionError(
                f"{name}: leaves a teacher's parameters requiring a gradient; they are shared"
            ) from failed
    if failed is not None:
        raise failed


def _looks(thing: Any, problem: Problem) -> dict[str, str]:
    """Digests of what no component may change."""
    data = problem.data
    every = torch.arange(min(len(data.train), 2000))
    found = {
        "problem.data.train": _digest(data.train.read(every), data.train.targets),
        "a teacher's weights": _digest(*(each for teacher in problem.teachers for each in teacher.state.values())),
    }
    for teacher in problem.teachers:
        for key, network in problem.services.built.items():
            if key[0] == teacher.fingerprint and not _as_loaded(network, teacher.state):
                found["a teacher's weights"] += " network"
    if isinstance(thing, Component):
        found["its options"] = repr(thing.model_dump())
    return found


def _as_loaded(network: torch.nn.Module, state: dict[str, torch.Tensor]) -> bool:
    own = {name.removeprefix("model."): each for name, each in network.state_dict().items()}
    return all(torch.equal(own[name].cpu().float(), each.float()) for name, each in state.items() if name in own)


def _digest(*tensors: torch.Tensor) -> str:
    total = hashlib.sha256()
    for each in tensors:
        total.update(
            each.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes() if each.numel() else b""
        )
    return total.hexdigest()


def digests(results: dict[str, Any]) -> dict[str, str]:
    """Each result as a digest, tensors by their bits, others by how they are printed."""
    return {
        name: _digest(each) if isinstance(each, torch.Tensor) else hashlib.sha256(repr(each).encode()).hexdigest()
        for name, each in results.items()
    }


class Recording(Store):
    """A store that knows what it was asked for."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.asked: dict[tuple[str, str], dict[str, Any]] = {}
        """Inputs by stage and key."""
        self.found: dict[tuple[str, str], str] = {}
        """Digests of what was given for them."""

    def resume(self, stage: str, inputs: Any, work: Any, *others: Any, **named: Any) -> Any:
        entry = super().resume(stage, inputs, work, *others, **named)
        self.asked[stage, entry.key] = dict(inputs)
        self.found[stage, entry.key] = repr(sorted(digests(dict(entry.tensors)).items()))
        return entry
