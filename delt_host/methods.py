"""A method is only a name for choices with options; it holds no loop of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Choice(BaseModel):
    """A component by name, with options."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    options: dict[str, Any] = Field(default_factory=dict)


def use(name: str, **options: Any) -> Choice:
    """``use("constant", crop="cosine")``: the component `constant` with one option set."""
    return Choice(name=name, options=options)


def choice_of(given: Any) -> Any:
    """In a recipe a choice is a name, or a table of the name and the options beside it."""
    if isinstance(given, str):
        return {"name": given}
    if isinstance(given, Mapping) and "options" not in given:
        return {"name": given.get("name"), "options": {k: v for k, v in given.items() if k != "name"}}
    return given


WRITE_INSTEAD = (
    "what students are told is a regime of the whole comparison: write --regime RELABELER:PROTOCOL, in a recipe "
    'regime = ["RELABELER:PROTOCOL"], in a method regime = "RELABELER:PROTOCOL"'
)
"""The answer to relabelers and protocols of rows, methods and runs."""


def refuse_former(table: Any) -> Any:
    """ValueError for a relabeler or protocol among the keys of a recipe, row or method; the table as it is without."""
    for key in ("relabeler", "protocol"):
        if isinstance(table, Mapping) and table.get(key) is not None:
            raise ValueError(f"{key} has no place here; {WRITE_INSTEAD}")
    return table


class Method(BaseModel):
    """Five choices. `scheduler` and `matcher` are None for methods that optimise nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    summary: str
    """One line for listings."""
    source: str = ""
    """Paper, venue, number."""
    initializer: Choice
    scheduler: Choice | None = None
    matcher: Choice | None = None
    evaluator: Choice = Choice(name="student")
    form: Choice = Choice(name="pixels")
    """How its images are stored."""
    regime: str = ""
    """The published one, as ``--regime`` takes it: shown, and used by ``delt-host reproduce``, never by a run."""

    datasets: Mapping[str, dict[str, Any]] = Field(default_factory=dict)
    """Published settings of single datasets, as ``{"tiny-imagenet": {"scheduler.learning_rate": 0.1}}``, of one IPC on
    every dataset as ``{"ipc 1": {…}}``, and of both as ``{"cifar10 ipc 1": {…}}``, the later before the earlier. A
    component, or none, in place of the method's own is ``{"initializer": "noise"}``; `regime` may be among them."""

    def published(self, dataset: str, ipc: int) -> dict[str, Any]:
        """The published settings for a dataset at an IPC, by ``STAGE.OPTION`` or ``STAGE``."""
        keys = (dataset, f"ipc {ipc}", f"{dataset} ipc {ipc}")
        return {option: value for key in keys for option, value in self.datasets.get(key, {}).items()}

    def published_regime(self, dataset: str, ipc: int) -> str:
        """The regime that it is published with for a dataset at an IPC; empty where it names none."""
        return str(self.published(dataset, ipc).get("regime", self.regime))

    @model_validator(mode="before")
    @classmethod
    def _regimes_are_no_choice(cls, given: Any) -> Any:
        return refuse_former(given)

    @field_validator("initializer", "scheduler", "matcher", "evaluator", "form", mode="before")
    @classmethod
    def _choices_may_be_names(cls, given: Any) -> Any:
        return choice_of(given)
