"""The report: one HTML file that shows finished runs, from their folders alone, without network."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from delt_host import RunError, __version__
from delt_host.workshop import PAGE_FILE, Line, called, check_one_split, duration, files, percent, size
from delt_plugins.report import figures, sections
from delt_plugins.report.images import PER_CLASS, Encoding, Picture, Strip, encode
from delt_plugins.report.run import Run, each_run
from delt_plugins.report.sections import RowSets
from delt_plugins.report.svg import drawing

FEW_PAIRS = 6  # of a table: more are folded below the answers
GRID_BYTES, PAIR_BYTES = 1_000_000, 250_000  # base64 makes four bytes of three


def write_page(run: Path) -> Path:
    """Write `report.html` into a finished run's folder, and give its path; RunError where it cannot be written."""
    file = run / PAGE_FILE
    # Names that are no text, as file systems allow, are no reason to lose the report.
    content = render_page([run]).encode("utf-8", "replace")
    try:
        files.write(file, content)
    except OSError as error:
        raise RunError(f"the report cannot be written to {file}: {error.strerror or error}") from None
    return file


def render_page(runs: Sequence[Path]) -> str:
    """The report of these runs as HTML, in which everything that files and plugins say is escaped; InputError where one
    is not finished."""
    read = [Run.read(path, point) for path, point in each_run(runs)]
    check_one_split(run.results for run in read)
    with drawing():
        shown = _content(read)
    script = (resources.files("delt_plugins.report") / "assets" / "report.js").read_text(encoding="utf-8")
    return template().render(
        **shown,
        style=Markup((resources.files("delt_plugins.report") / "assets" / "report.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


@functools.cache
def template() -> Template:
    """The page without what it shows; to read it takes a tenth of a second."""
    environment = Environment(
        loader=PackageLoader("delt_plugins.report", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"size": size, "duration": duration, "percent": percent}
    return environment.get_template("report.html")


def _content(runs: list[Run]) -> dict[str, Any]:
    tables = sections.tables(runs)
    problems: list[str] = []
    rows = {row.key: row for table in tables for row in table.rows}
    sets = {each.row.key: each for table in tables for each in sections.row_sets(table, problems)}
    made = list(sets.values())
    training = [table for table in tables if table.trains]
    costs = ((lambda line: line.row.cost.image_iterations, "image-iterations"), (_shipped, "KiB of images and labels"))
    over_cost = {
        table.title: [figure for cost, label in costs if (figure := sections.over_cost(table, cost, label)) is not None]
        for table in training
    }
    bars = {
        table.title: figures.bars([row.mark() for row in table.rows], table.heading, table.percent)
        for table in tables
        if table.scored
    }
    grid, grid_encoding = _grid(made)
    pairs, pair_encoding = _pairs(made)
    return {
        "title": _title(runs),
        "version": __version__,
        "runs": runs,
        "tables": tables,
        "answers": [(run.name, sentence) for run in runs for sentence in run.answers],
        "folded": any(len(table.said) > FEW_PAIRS for table in tables),
        "told": [table for table in tables if table.said],
        "failed": sections.failed(tables),
        "legend": [(row.label, figures.swatch(row.number)) for row in rows.values()],
        "bars": bars,
        "over_cost": {title: figures for title, figures in over_cost.items() if figures},
        "by_class": {table.title: classes for table in training if (classes := sections.by_class(table))},
        "learning": {table.title: found for table in tables if (found := sections.learning(table))},
        "recovery": sections.recovery(made),
        "grid": grid,
        "grid_encoding": grid_encoding,
        "grid_seeds": sorted({each.seed for each in made if each.strips}),
        "class_count": max((each.classes for each in made), default=0),
        "fewer_images": any(each.per_class > PER_CLASS for each in made),
        "pairs": pairs,
        "pair_encoding": pair_encoding,
        "settings": sections.settings(tables[0]) if tables else ([], {}),
        "runs_settings": sections.runs_settings(runs),
        "recipes": [(run, _recipe(run)) for run in runs],
        "problems": list(dict.fromkeys(problems)),
    }


Coded = list[tuple[str, str]]
"""Images as (alternative text, `data:` address)."""


def _grid(sets: Sequence[RowSets]) -> tuple[dict[str, list[tuple[Strip, Coded]]], Encoding | None]:
    """Each class's strips, one for each row."""
    strips = [(name, strip) for each in sets for name, strip in each.strips.items()]
    coded, encoding = _coded([picture for _, strip in strips for picture in strip.pictures], GRID_BYTES)
    found: dict[str, list[tuple[Strip, Coded]]] = {}
    for name, strip in strips:
        found.setdefault(name, []).append((strip, [next(coded) for _ in strip.pictures]))
    return found, encoding


def _pairs(sets: Sequence[RowSets]) -> tuple[dict[str, list[tuple[str, Coded]]], Encoding | None]:
    """Each row's pairs of start and result, with a caption."""
    strips = [(each.row.label, name, strip) for each in sets for name, strip in each.strips.items() if strip.pairs]
    both = [picture for *_, strip in strips for pair in strip.pairs for picture in pair]
    coded, encoding = _coded(both, PAIR_BYTES)
    found: dict[str, list[tuple[str, Coded]]] = {}
    for label, name, strip in strips:
        for _, result in strip.pairs:
            caption = f"{name} · {result.iterations:,} iterations"
            found.setdefault(label, []).append((caption, [next(coded), next(coded)]))
    return found, encoding


def _coded(pictures: Sequence[Picture], budget: int) -> tuple[Any, Encoding | None]:
    if not pictures:
        return iter(()), None
    addresses, encoding = encode(pictures, budget)
    return zip((picture.alt for picture in pictures), addresses, strict=True), encoding


def _title(runs: Sequence[Run]) -> str:
    """Who is compared with whom."""
    rows = [(row.role, called(row)) for run in runs for row in run.results.rows]
    methods, baselines = (
        list(dict.fromkeys(label for its, label in rows if its == role)) for role in ("method", "baseline")
    )
    against = f" against {', '.join(baselines)}" if baselines and methods else ""
    return (", ".join(methods or baselines) or "Controls") + against


def _recipe(run: Run) -> str:
    file = run.path / "experiment.toml"
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _shipped(line: Line) -> int:
    return round((line.row.image_bytes + line.label_bytes) / 1024)
