"""What the records of `results.json` are made of: numbers that JSON has, and tables that newer ones can be read as."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat


def _number(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value: Any) -> Any:
    """What JSON would give back: components of others may say anything."""
    return json.loads(json.dumps(_finite(value), default=str))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return _number(value)


Number = Annotated[FiniteFloat | None, BeforeValidator(_number)]
Amount = Annotated[Annotated[FiniteFloat, Field(ge=0)] | None, BeforeValidator(_number)]
Json = Annotated[dict[str, Any], BeforeValidator(_plain)]


class Record(BaseModel):
    """A table of `results.json`."""

    # A newer delt-host of the same format may write more than is known here.
    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True, from_attributes=True)
