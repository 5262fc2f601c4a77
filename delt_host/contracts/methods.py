"""Methods and regimes: names for choices of components with options. They hold no loops of their own.

A method is a row of the comparison. A regime is what students are told, and how they are trained on it: images may be worth
nothing or twenty points according to how they are labelled, so every row is scored under each regime of the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from delt_host.contracts.component import Component


class Choice(BaseModel):
    """A component by name, with options."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """As it is registered."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Those that differ from the component's defaults."""
    thing: Any = Field(None, exclude=True)
    """The component itself, or its class, where it is given in Python in place of a name."""


def use(component: str | type[Component], **options: Any) -> Choice:
    """``use("constant", crop="cosine")``: the component `constant` with one option set. In Python a class does, too."""
    return Choice(**choice_of(component), options=options)


def choice_of(given: Any) -> Any:
    """In a recipe a choice is a name, or a table of the name and the options beside it; in Python a component or its class."""
    if isinstance(given, str):
        return {"name": given}
    if isinstance(given, Component) or (isinstance(given, type) and issubclass(given, Component)):
        return {"name": (given if isinstance(given, type) else type(given)).__name__, "thing": given}
    if isinstance(given, Mapping) and "options" not in given:
        return {"name": given.get("name"), "options": {k: v for k, v in given.items() if k != "name"}}
    return given


class Method(BaseModel):
    """Five choices. `scheduler` and `matcher` are None for methods that optimise nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    summary: str
    """One line for listings."""
    source: str = ""
    """Paper, venue, number. Where there is one, a row's iterations and its students' steps are held against those that the
    method was published with."""
    of: str = ""
    """The installed method whose cheaper preset this one is, ``ncfm``: what its rows are held against in place of its own."""
    initializer: Choice
    """Where recovery starts."""
    scheduler: Choice | None = None
    """Which images are optimised when."""
    matcher: Choice | None = None
    """What they are made to match."""
    evaluator: Choice = Choice(name="student")
    """How its sets are scored, unless the run says otherwise."""
    form: Choice = Choice(name="pixels")
    """How its images are stored."""
    regime: str = ""
    """The published one, as ``--regime`` takes it: what the method's name stands for there; no run takes it unasked."""

    datasets: Mapping[str, dict[str, Any]] = Field(default_factory=dict)
    """Published settings of single datasets, as ``{"tiny-imagenet": {"scheduler.learning_rate": 0.1}}``, of one IPC on
    every dataset as ``{"ipc 1": {…}}``, and of both as ``{"cifar10 ipc 1": {…}}``, the later before the earlier. A
    component, or none, in place of the method's own is ``{"initializer": "noise"}``; `regime` may be among them."""

    def published(self, dataset: str, ipc: int) -> dict[str, Any]:
        """The published settings for a dataset at an IPC, by ``STAGE.OPTION`` or ``STAGE``."""
        keys = (dataset, f"ipc {ipc}", f"{dataset} ipc {ipc}")
        return {option: value for key in keys for option, value in self.datasets.get(key, {}).items()}

    @field_validator("initializer", "scheduler", "matcher", "evaluator", "form", mode="before")
    @classmethod
    def _choices_may_be_names(cls, given: Any) -> Any:
        return choice_of(given)


class Regime(BaseModel):
    """A relabeler and a protocol, each with options."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    summary: str
    """One line for listings."""
    source: str = ""
    """Paper, venue, number."""
    relabeler: Choice
    """Who says what students are to answer."""
    protocol: Choice
    """How they are trained and measured."""

    @field_validator("relabeler", "protocol", mode="before")
    @classmethod
    def _choices_may_be_names(cls, given: Any) -> Any:
        return choice_of(given)
