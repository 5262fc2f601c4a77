"""Objects in place of names: what somebody gives in Python gets a name, and its place beside what plugins provide.

From there on a run knows names alone, as if a plugin had brought the thing; which of them stand for objects is in its recipe.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar, overload

from torch import nn

from delt_host.basics.errors import InputError
from delt_host.basics.folder_names import numbered, slug
from delt_host.basics.settings import shown
from delt_host.contracts.component import Component
from delt_host.contracts.dataset import RealData
from delt_host.contracts.methods import Choice, Method, Regime
from delt_host.contracts.observer import Observer
from delt_host.plugins.offers import NAME, kind_of_thing, problem_of
from delt_host.plugins.plugin import HERE, Plugin, Provided
from delt_host.plugins.registry import REGISTERED, Registry, registered

LONGEST_NAME = 40  # characters of a name that tells options

GIVEN = Plugin("given", "given in Python", "", HERE)

Thing = TypeVar("Thing")


@dataclass
class Given:
    """The things that a caller gave, by kind and name; `registry` has what is installed, and them."""

    registry: Registry

    def word(self, kind: str, thing: Any) -> str:
        """The name that stands for a thing of this kind from now on; a name that was given stands for itself.

        InputError for a thing of another kind.
        """
        if isinstance(thing, str):
            return thing
        if isinstance(thing, Method | Regime):
            thing = self._with_named_parts(thing)
        cls, options = thing, dict[str, Any]()
        if isinstance(thing, Component):
            cls, options = type(thing), {name: getattr(thing, name) for name in sorted(thing.model_fields_set)}
        if isinstance(thing, nn.Module):
            wrong = "is a network already"
        elif kind == "model" and isinstance(cls, type) and issubclass(cls, Component):
            wrong = "makes no network"
        else:
            wrong = problem_of(kind, _called(thing), cls)
        if wrong:
            raise InputError(f"{_described(thing)} is given as {kind}, and {wrong}{_instead(kind, thing)}")
        if there := _name_of(cls, options, self.registry, kind):
            return there
        installed = _name_of(cls, {}, self.registry, kind)
        # A dataset's name may be followed by its place, which its options may tell.
        name = _told(installed or _called(thing), {} if kind == "dataset" else options)
        return self._placed(kind, name, Provided(cls, GIVEN, options=options))

    def word_of_network(self, network: nn.Module) -> str:
        """The name of a network's architecture: what makes another one that is like it."""
        for name, offer in self.registry.provided["model"].items():
            if isinstance(offer.thing, functools.partial) and offer.thing.args == (network,):
                return name
        return self._placed("model", type(network).__name__, Provided(functools.partial(_like, network), GIVEN))

    def word_of_observer(self, observer: Observer) -> str:
        """The name of an observer that is made already."""
        return self._placed("observer", type(observer).__name__, Provided(lambda _folder: observer, GIVEN))

    def _placed(self, kind: str, name: str, offer: Provided) -> str:
        """Where it has the name, or one with a number after it."""
        taken = self.registry.names(kind)
        name = next(each for each in numbered(name) if each not in taken)
        self.registry = beside(self.registry, kind, name, offer)
        return name

    def _with_named_parts(self, of: Any) -> Any:
        """A method or regime whose parts go by names."""
        parts = {
            stage: Choice(name=self.word(stage, part.thing), options=part.options)
            for stage, part in of
            if isinstance(part, Choice) and part.thing is not None
        }
        return of.model_copy(update=parts) if parts else of


def _like(network: nn.Module, num_classes: int, image_size: int) -> nn.Module:
    """One of the same layers with fresh weights, whatever number and size is asked for: they are those of the network.

    Layers draw as they do when they are made; parameters of modules that cannot, as those of tokens, from a normal
    distribution of standard deviation 0.02, as vision transformers have it.
    """
    made = copy.deepcopy(network).requires_grad_(True).train()
    for module in made.modules():
        if callable(again := getattr(module, "reset_parameters", None)):
            again()
        else:
            for parameter in module.parameters(recurse=False):
                nn.init.trunc_normal_(parameter, std=0.02)
    return made


def beside(registry: Registry, kind: str, name: str, offer: Provided) -> Registry:
    """The registry with one thing more."""
    provided = {**registry.provided, kind: {**registry.provided[kind], name: offer}}
    return replace(registry, provided=provided)


@overload
def register(name: str) -> Callable[[Thing], Thing]: ...
@overload
def register(name: str, thing: Thing) -> Thing: ...
def register(name: str, thing: Any = None) -> Any:
    """Have a name stand for a thing of your own in this process, wherever such a name may be given.

    A subclass of `Component`, a `Method` or `Regime`, or a function from (number of classes, image size) to a network; as a
    decorator where no thing is given. Registered again, the name stands for the later one. InputError for what is none of
    these, and for what is no name. A name that a plugin provides too is refused where it is used.

    >>> @register("mine")
    ... class Mine(Matcher):
    ...     def bind(self, problem): ...
    """
    if thing is None:
        return functools.partial(register, name)
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InputError(f"{shown(name)} is no name: it is typed, so letters and digits with _ . + - among them")
    kind = kind_of_thing(thing)
    if kind is None:
        raise InputError(
            f"{name!r} cannot stand for {_described(thing)}: register a class of a component, a Method, a Regime, or a "
            "function from (number of classes, image size) to a network"
        )
    if wrong := problem_of(kind, name, thing):
        raise InputError(f"{kind} {name!r} {wrong}")
    registered[kind, name] = Provided(thing, REGISTERED)
    return thing


def _name_of(thing: Any, options: Mapping[str, Any], registry: Registry, kind: str) -> str:
    """The name that stands for this very thing with these options; empty where none does."""
    return next(
        (
            name
            for name, offer in registry.provided[kind].items()
            if (offer.thing is thing or _same_data(offer.thing, thing)) and offer.options == options
        ),
        "",
    )


def _same_data(one: Any, other: Any) -> bool:
    """Whether two datasets that were given have the same images, classes and names."""
    data = [getattr(each, "data", None) for each in (one, other)]
    return all(isinstance(each, RealData) for each in data) and data[0].fingerprint == data[1].fingerprint  # type: ignore[union-attr]


def _called(thing: Any) -> str:
    """What it is called where it is written."""
    if isinstance(thing, functools.partial):
        return _called(thing.func)
    if isinstance(thing, Method | Regime):
        return slug(thing.summary or "mine")[:LONGEST_NAME]
    name = getattr(thing, "__name__", "") or type(thing).__name__
    return "network" if name == "<lambda>" else name


def _told(name: str, options: Mapping[str, Any]) -> str:
    """`Mine(weight=0.5)`, as long as that is short."""
    said = ", ".join(f"{option}={value}" for option, value in options.items())
    long = f"{name}({said})"
    return long if said and len(long) <= LONGEST_NAME and long.isprintable() else name


def _described(thing: Any) -> str:
    if inspect.isclass(thing) or inspect.isfunction(thing):
        return thing.__name__
    return f"a {type(thing).__name__}"


def _instead(kind: str, thing: Any) -> str:
    """Where it would be right, to end a sentence."""
    if isinstance(thing, nn.Module):
        return ": give the function that makes it, so that each student begins with weights of its own"
    right = kind_of_thing(thing if isinstance(thing, type) or not isinstance(thing, Component) else type(thing))
    return f": give it as {'teacher or student' if right == 'model' else right}" if right and right != kind else ""
