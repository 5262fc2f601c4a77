"""Tensors with a header of JSON in one safetensors file: what teachers, distilled sets, histories and labels are kept in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import safetensors
from pydantic import BaseModel, PositiveInt
from torch import Tensor

from delt_host.basics.errors import InputError, RunError
from delt_host.basics.options import build
from delt_host.store import files
from delt_host.store.tensor_file import Streamed, TensorFile


class Header(BaseModel):
    """What a file says beside its tensors."""

    format: PositiveInt = 1
    """Counted up where the same words come to mean something else: a reader refuses what is newer than itself."""


Said = TypeVar("Said", bound=Header)


@dataclass(frozen=True)
class FileKind(Generic[Said]):
    """A kind of file: how it is called, what its header says and where that stands."""

    called: str
    """As in ``the teacher FILE cannot be read``."""
    key: str
    """The entry of the file's metadata that holds the header."""
    header: type[Said]
    foreign: str
    """What to say of a safetensors file without one; ``{path}`` is its path."""
    needs: tuple[str, ...] = ()
    """The tensors that every file has."""
    format: int = 1

    def write(self, path: Path, header: Mapping[str, Any], tensors: Mapping[str, Tensor | Streamed]) -> None:
        """Write a file whole or not at all. OSError by the system; RunError for what such files cannot hold."""
        said = json.dumps({"format": self.format, **header})
        try:
            files.write_tensors(path, tensors, {self.key: said})
        except ValueError as error:
            raise RunError(f"the {self.called} cannot be written to {path}: {error}") from None

    def read(self, path: Path) -> tuple[Said, dict[str, Tensor]]:
        """The header, and the tensors by name, which are mapped: each is read when it is used.

        InputError where the file is missing, damaged, something else, or of a newer format.
        """
        header, _ = self.open(path)
        try:
            with safetensors.safe_open(path, "pt") as file:
                return header, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, ValueError, safetensors.SafetensorError) as error:
            raise self._unread(path, error) from None

    def open(self, path: Path) -> tuple[Said, TensorFile]:
        """The header, and the tensors, to be read by rows; errors as `read`."""
        if not path.is_file():
            raise InputError(f"no {self.called} at {path}")
        try:
            file = TensorFile(path, partial(self._rows, path))
            text = file.metadata.get(self.key)
            if text is None:
                raise InputError(self.foreign.format(path=path))
            if missing := [name for name in self.needs if name not in file.names]:
                raise ValueError(f"it has no tensor {missing[0]!r}")
            said = json.loads(text)
        except (OSError, ValueError, RecursionError, safetensors.SafetensorError) as error:
            raise self._unread(path, error) from None
        header = build(self.header, said, f"the {self.called} {path}")
        if header.format > self.format:
            raise InputError(
                f"the {self.called} {path} is of format {header.format}; this delt-host reads up to {self.format}"
            )
        return header, file

    @contextmanager
    def _rows(self, path: Path) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            raise self._unread(path, error) from None

    def _unread(self, path: Path, error: Exception) -> InputError:
        return InputError(f"the {self.called} {path} cannot be read: {error}")
