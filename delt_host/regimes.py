"""Regimes: what students are told, and how they are trained on it. An axis of the comparison, beside its rows.

Images may be worth nothing or twenty points according to how they are labelled, so every row is scored under each regime of the
run, on the same images.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator

from delt_host.methods import Choice, choice_of


class Regime(BaseModel):
    """A relabeler and a protocol, each with options."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    summary: str
    """One line for listings."""
    source: str = ""
    """Paper, venue, number."""
    relabeler: Choice
    protocol: Choice

    @field_validator("relabeler", "protocol", mode="before")
    @classmethod
    def _choices_may_be_names(cls, given: Any) -> Any:
        return choice_of(given)
