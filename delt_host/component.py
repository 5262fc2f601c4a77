"""What every component is: a frozen set of options.

Its fields are the options: they give the command line (``--set matcher.weight=0.5``), the recipe file, the docs and the store
key. Options hold no tensors; what runs is made from a `Problem`.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from delt_host.prepared import Prepared
    from delt_host.problem import Problem


class Component(BaseModel, ABC):
    """A named, validated set of options. Unknown options and wrong types are refused with the field's name."""

    # Docstrings under the fields are their descriptions: for `delt-host show`, the docs and the JSON schema.
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    source: ClassVar[str] = ""
    """Paper, section, equation or table the component comes from."""
    committee: ClassVar[bool] = False
    """Whether it makes use of every teacher of the run. Otherwise it is shown the first alone, and its results do not
    depend on the others."""

    @property
    def parts(self) -> dict[str, Component]:
        """The components among its options, by option."""
        options = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in options.items() if isinstance(value, Component)}

    def prepares(self, problem: Problem) -> Sequence[Prepared]:
        """What it will read with ``problem.prepared(...)``: long work on data and teachers that rows and seeds share.

        Asked before there is a teacher, too: it looks at sizes, options and the teachers' architectures, and computes nothing.
        """
        return ()
