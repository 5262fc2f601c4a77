"""The comparison as text of a given width, and as HTML: for whoever is not in a terminal."""

from __future__ import annotations

import html
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console

from delt_host.basics.file_words import short_name
from delt_host.compare.lines import Line, Point, lines_over
from delt_host.compare.naming import ABSENT, naming
from delt_host.display import table

WIDTH = 100  # characters
STYLE = 'style="text-align: left"'


def drawn(show: Callable[[Console], None]) -> str:
    """What is shown on a console, as text without colours."""
    file = io.StringIO()
    show(Console(file=file, width=WIDTH, color_system=None, force_jupyter=False, force_terminal=False))
    return file.getvalue()


@dataclass(frozen=True)
class Table:
    """What `delt-host run` prints: as text where it is printed, as HTML where a notebook shows it."""

    points: Sequence[Point]
    """Of one run, or of several with what each differs in."""
    unfinished: bool = False

    def __str__(self) -> str:
        said = drawn(lambda console: table.show(console, self.points))
        return ("finished so far:\n" if self.unfinished else "") + said

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        """Scores, a table for each evaluator with a column a regime, and what can be told from them."""
        parts, found = ["<p><b>finished so far</b></p>"] * self.unfinished, list(lines_over(self.points))
        for title in dict.fromkeys(line.evaluator.title for line in found):
            chosen = [line for line in found if line.evaluator.title == title]
            heading = f"{table.about(self.points)}{short_name(title)}: {table.score(chosen[0].evaluator)}"
            said = table.answered(self.points) if chosen[0] is found[0] else []
            parts += [f"<p><b>{html.escape(heading)}</b></p>", _scores(chosen), _sentences(chosen, said)]
        return "".join(parts)


def _scores(chosen: Sequence[Line]) -> str:
    names, columns = naming(chosen), list(dict.fromkeys(line.column for line in chosen))
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for line in chosen:
        rows.setdefault((*names.cells(line), line.row.role), {})[line.column] = line.shown(line.summary)
    head = _cells("th", [*names.headings(short=True), "role", *(column or "set" for column in columns)])
    body = [_cells("td", [*cells, *(found.get(column, ABSENT) for column in columns)]) for cells, found in rows.items()]
    return f"<table><thead>{head}</thead><tbody>{''.join(body)}</tbody></table>"


def _cells(tag: str, texts: Sequence[str]) -> str:
    cells = "".join(f"<{tag} {STYLE}>{html.escape(text)}</{tag}>" for text in texts)
    return f"<tr>{cells}</tr>"


def _sentences(chosen: Sequence[Line], answers: Sequence[str]) -> str:
    columns = {line.column for line in chosen}
    pairs = len({(str(line.point), line.row.label) for line in chosen}) <= table.FEW_ROWS
    said = []
    for line in chosen:
        under = f" under {line.column}" if len(columns) > 1 and line.column else ""
        said += [f"{line.called}{under}: {each.sentence}" for each in line.differences if pairs]
        said += [f"{line.called} failed{under}: {failure}" for failure in line.failures]
    said += answers
    return f"<ul>{''.join(f'<li>{html.escape(each)}</li>' for each in said)}</ul>" if said else ""
