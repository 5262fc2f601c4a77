"""Several values for one option: which lists are such, and what all combinations of them are."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from pydantic import BaseModel

from delt_host.basics.errors import InputError
from delt_host.basics.options import Lookup, takes

MOST = 1000
"""Of rows, columns or runs that one command makes."""


def is_sweep(settings: type[BaseModel], option: str, value: Any, registry: Lookup) -> TypeGuard[list[Any]]:
    """Whether a list is several values to try: the option takes no such list, and it takes some of what is in it.

    So ``scheduler.roll=[0,4]`` is a value, and ``scheduler.roll=[[0,4],[0,2]]`` are two; a list of which nothing is right is
    taken for a value, whose error says what would be.
    """
    if not isinstance(value, list) or option not in settings.model_fields or takes(settings, option, value, registry):
        return False
    return any(takes(settings, option, each, registry) for each in value)


def grid(swept: Mapping[str, Sequence[Any]], of: str) -> list[dict[str, Any]]:
    """Every combination of the values, the last option's turning fastest; of nothing the one without any.

    InputError, `of` being what they are for, where there is none, one is there twice, or they are too many.

    >>> grid({"a": [1, 2], "b": [3, 4]}, "x")
    [{'a': 1, 'b': 3}, {'a': 1, 'b': 4}, {'a': 2, 'b': 3}, {'a': 2, 'b': 4}]
    """
    for option, values in swept.items():
        if not values:
            raise InputError(f"{of}: {option} has no value")
        alike = [json.dumps(value, sort_keys=True, default=str) for value in values]
        if twice := next((one for place, one in enumerate(alike) if one in alike[:place]), None):
            raise InputError(f"{of}: {option} has {twice} twice")
    if (count := math.prod(map(len, swept.values()))) > MOST:
        raise InputError(f"{of}: {' × '.join(swept)} are {count:,} combinations; {MOST:,} at most")
    return [dict(zip(swept, values, strict=True)) for values in itertools.product(*swept.values())]
