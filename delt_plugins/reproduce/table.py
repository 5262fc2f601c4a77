"""A table of the paper as a data file: its axes, its grids of cells, and the published figures beside them."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, PositiveFloat, PositiveInt, field_validator

from delt_host import InputError
from delt_host.workshop import build, dotted, unknown

SHIPPED = files("delt_plugins.reproduce") / "tables"
COMMON = "common"
"""The file of what all tables share: scales, readings, datasets."""
NOT_AT_HAND = "?"
"""What stands in a grid for a published figure that nobody wrote down here."""
PLAIN_AXES = ("dataset", "ipc", "student", "method")
"""Axes whose values are what a run is asked for with, unless the file says otherwise."""

Value = str | int | float


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CellSetting(_Strict):
    """What a value of an axis, a grid, or a table asks of a run; the more special goes before the more general."""

    dataset: str | None = None
    teacher: str | list[str] | None = None
    """A model to squeeze, or several, which components ask for by name."""
    ipc: PositiveInt | None = None
    method: str | None = None
    """As ``delt-host run --method`` takes it: NAME,STAGE=COMPONENT,STAGE.OPTION=VALUE."""
    student: str | None = None
    regime: str | None = None
    """What students are told, as ``--regime`` takes it; None: what the reading says."""
    evaluator: str | None = None
    """None: a student."""
    score: str | None = None
    """Which of the evaluator's scores is shown; None: its headline."""
    per: str | None = None
    """A method whose score divides the cell's, seed by seed: what is shown is the ratio."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Options as ``STAGE.OPTION``; one that no component of the cell has is an error."""

    @field_validator("set")
    @classmethod
    def _keys_are_dotted(cls, value: dict[str, Any]) -> dict[str, Any]:
        return dotted(value)

    def over(self, other: CellSetting) -> CellSetting:
        """This setting where it says something, `other` elsewhere; options of both."""
        said = {name: getattr(self, name) for name in type(self).model_fields if getattr(self, name) is not None}
        return other.model_copy(update={**said, "set": {**other.set, **self.set}})


class Scale(_Strict):
    """How much of the published budget is spent."""

    seeds: PositiveInt = 3
    iterations: PositiveFloat = 1.0
    """The share of each schedule's iterations."""
    epochs: PositiveFloat = 1.0
    """The share of the epochs of the regime's protocol."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Options of those cells that have them."""

    _keys_are_dotted = field_validator("set")(dotted)


class Reading(_Strict):
    """What a cell means, where the paper's words and its published code differ."""

    regime: str = ""
    """What students are told, as ``--regime`` takes it; empty: what the cell's method is published with."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Options of those cells that have them."""

    _keys_are_dotted = field_validator("set")(dotted)


class KnownDataset(_Strict):
    """What is known of a dataset that may not be here, for the dry run, and how its teachers are squeezed."""

    classes: PositiveInt
    train: PositiveInt
    test: PositiveInt
    image_size: PositiveInt
    set: dict[str, Any] = Field(default_factory=dict)
    """Options of those cells that have them: the teacher's recipe."""

    _keys_are_dotted = field_validator("set")(dotted)


class Common(_Strict):
    """What tables share; a table's own go before it."""

    scale: dict[str, Scale] = Field(default_factory=dict)
    reading: dict[str, Reading] = Field(default_factory=dict)
    datasets: dict[str, KnownDataset] = Field(default_factory=dict)


class TableFile(Common):
    """A table's file as it is written."""

    title: str
    source: str
    """Where the published figures stand."""
    note: str = ""
    unit: str = "%"
    """Of the figures; empty for ratios and other plain numbers."""
    axes: list[str] = Field(min_length=1)
    readings: list[str] = Field(default_factory=lambda: ["delt-paper", "delt-repo"], min_length=1)
    defaults: CellSetting = CellSetting()
    axis: dict[str, dict[str, CellSetting]] = Field(default_factory=dict)
    """What each value of an axis asks for: [axis.AXIS.VALUE]."""
    grid: list[dict[str, Any]] = Field(min_length=1)


class Published(_Strict):
    """A figure of the paper."""

    mean: float
    std: float | None = None
    """None where its spread is not at hand."""
    source: str = ""
    provenance: str = "cited"


@dataclass(frozen=True)
class Cell:
    """One figure of a table."""

    place: dict[str, Value]
    """Its value on each axis."""
    setting: CellSetting
    published: Published | None
    """None: not at hand."""

    @property
    def name(self) -> str:
        return ", ".join(f"{axis} {value}" if axis == "ipc" else str(value) for axis, value in self.place.items())


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper with all its cells."""

    name: str
    file: TableFile
    cells: tuple[Cell, ...]

    def scale(self, name: str) -> Scale:
        return _known("scale", name, self.file.scale)

    def reading(self, name: str, regimes: Sequence[str]) -> Reading:
        """A reading of the table, or the regime of that name, of those that there are, or made as RELABELER:PROTOCOL."""
        if name in self.file.reading:
            return self.file.reading[name]
        if ":" not in name and name not in regimes:
            raise unknown("reading", name, (*self.file.reading, *regimes))
        return Reading(regime=name)


def shipped() -> list[str]:
    """The names of the tables that come with the package, in the paper's order."""
    names = [entry.name.removesuffix(".toml") for entry in SHIPPED.iterdir() if entry.name.endswith(".toml")]
    order = {"table": 0, "figure": 1}
    split = [(name.rstrip("0123456789"), name) for name in names if name != COMMON]
    return [name for kind, name in sorted(split, key=lambda at: (order[at[0]], int(at[1][len(at[0]) :])))]


def load_table(name: str) -> PaperTable:
    """A shipped table by its name, or one's own by the path of its file.

    InputError naming the file and the key that is wrong, or the nearest name.
    """
    common = build(Common, _toml(f"{COMMON}.toml", (SHIPPED / f"{COMMON}.toml").read_bytes()), f"{COMMON}.toml")
    path = Path(name)
    if path.suffix == ".toml":
        try:
            text = path.read_bytes()
        except OSError as error:
            raise InputError(f"the table {path} cannot be read: {error.strerror}") from None
        where, name = str(path), path.stem
    elif name in shipped():
        text, where = (SHIPPED / f"{name}.toml").read_bytes(), f"{name}.toml"
    else:
        raise unknown("table", name, shipped())
    file = build(TableFile, _toml(where, text), where)
    both = {key: {**getattr(common, key), **getattr(file, key)} for key in Common.model_fields}
    file = file.model_copy(update=both)
    cells = [cell for number, grid in enumerate(file.grid, 1) for cell in _cells(file, grid, f"{where}: grid {number}")]
    for place, cell in enumerate(cells):
        if any(cell.place == other.place for other in cells[:place]):
            raise InputError(f"{where} has the cell {cell.name!r} twice")
    return PaperTable(name, file, tuple(cells))


def _toml(where: str, text: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(text.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"the table {where} cannot be read: {error}") from None


def _known(kind: str, name: str, table: Mapping[str, Any]) -> Any:
    if name not in table:
        raise unknown(kind, name, table)
    return table[name]


def _cells(file: TableFile, grid: Mapping[str, Any], where: str) -> Iterator[Cell]:
    """The cells of one grid, the last axis running fastest; axes run in the order in which the grid names them."""
    rest = dict(grid)
    source = str(rest.pop("source", file.source))
    means, stds = rest.pop("published", NOT_AT_HAND), rest.pop("std", NOT_AT_HAND)
    if missing := [axis for axis in file.axes if axis not in rest]:
        raise InputError(f"{where} says nothing of the axis {missing[0]!r}")
    along = {key: value if isinstance(value, list) else [value] for key, value in rest.items() if key in file.axes}
    shape = [len(along[key]) for key in along if isinstance(rest[key], list)]
    own = build(CellSetting, {key: value for key, value in rest.items() if key not in file.axes}, where)
    places = list(itertools.product(*along.values()))
    figures = zip(
        places, _figures(means, shape, f"{where}.published"), _figures(stds, shape, f"{where}.std"), strict=True
    )
    for values, mean, std in figures:
        place = dict(zip(along, values, strict=True))
        place = {axis: place[axis] for axis in file.axes}
        setting = file.defaults
        for axis, value in place.items():
            setting = _asked(file, axis, value, where).over(setting)
        published = None if mean is None else Published(mean=mean, std=std, source=source)
        yield Cell(place, own.over(setting), published)


def _asked(file: TableFile, axis: str, value: Value, where: str) -> CellSetting:
    """What a value of an axis asks for."""
    written = file.axis.get(axis, {})
    if str(value) in written:
        setting = written[str(value)]
        plain = axis in PLAIN_AXES and getattr(setting, axis) is None
        return CellSetting(**{axis: value}).over(setting) if plain else setting
    if axis not in PLAIN_AXES:
        raise unknown(f"value of {where}.{axis}", str(value), written)
    return build(CellSetting, {axis: value}, where)


def _figures(given: Any, shape: Sequence[int], where: str) -> list[float | None]:
    """Nested lists of figures of a shape, flattened; one ``?`` stands for as many as there are cells."""
    if given == NOT_AT_HAND:
        count = 1
        for side in shape:
            count *= side
        return [None] * count
    if not shape:
        return [_figure(given, where)]
    if not isinstance(given, list) or len(given) != shape[0]:
        got = len(given) if isinstance(given, list) else "no list"
        raise InputError(
            f"{where} must have {' × '.join(map(str, shape))} figures as the grid's axes are long, not {got}"
        )
    return [figure for part in given for figure in _figures(part, shape[1:], where)]


def _figure(given: Any, where: str) -> float:
    return build(_Figure, {"figure": given}, where).figure


class _Figure(_Strict):
    figure: FiniteFloat


def select(table: PaperTable, only: Sequence[str]) -> list[Cell]:
    """The cells with all the values asked for: ``cifar10`` or ``dataset=cifar10``, of one axis any of several.

    InputError with the nearest value for one that the table has not.
    """
    values: dict[str, list[str]] = {axis: [] for axis in table.file.axes}
    for cell in table.cells:
        for axis, value in cell.place.items():
            if str(value) not in values[axis]:
                values[axis].append(str(value))
    wanted: dict[str, set[str]] = {}
    for text in only:
        axis, equals, value = text.partition("=")
        if not equals:
            holding = [axis for axis in values if text in values[axis]]
            if not holding:
                raise unknown(f"value of {table.name}", text, [one for axis in values for one in values[axis]])
            axis, value = holding[0], text
        elif axis not in values:
            raise unknown(f"axis of {table.name}", axis, values)
        elif value not in values[axis]:
            raise unknown(f"{axis} of {table.name}", value, values[axis])
        wanted.setdefault(axis, set()).add(value)
    chosen = [cell for cell in table.cells if all(str(cell.place[axis]) in wanted[axis] for axis in wanted)]
    if not chosen:
        raise InputError(f"{table.name} has no cell with {' and '.join(only)} together")
    return chosen
