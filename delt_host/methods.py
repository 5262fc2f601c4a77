"""A method is only a name for five choices with options; it holds no loop of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Choice(BaseModel):
    """A component by name, with options."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    options: dict[str, Any] = Field(default_factory=dict)


def use(name: str, **options: Any) -> Choice:
    """``use("constant", crop="cosine")``: the component `constant` with one option set."""
    return Choice(name=name, options=options)


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
    relabeler: Choice = Choice(name="fkd")
    evaluator: Choice = Choice(name="student")
    datasets: Mapping[str, dict[str, Any]] = Field(default_factory=dict)
    """Published settings of single datasets, as ``{"tiny-imagenet": {"scheduler.learning_rate": 0.1}}``."""
