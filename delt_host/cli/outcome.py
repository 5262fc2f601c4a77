"""What a command that compares tells when it ends, well or not: the table first, whatever else goes wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from delt_host.basics.errors import RunError
from delt_host.basics.folder_names import shown_path
from delt_host.display import table, terminal
from delt_host.runs import reports

if TYPE_CHECKING:
    from delt_host.api.result import Result


@dataclass
class Telling:
    """Tells of one command."""

    as_json: bool
    quiet: bool = False
    ended: list[str] = field(default_factory=list)
    """The runs of a sweep that have."""

    def unfinished(self, made: Result, whole: bool) -> None:
        """Print what is finished when a run ends early, and all of it where it could only not be written."""
        if not self.as_json:
            if not whole:
                terminal.complain("finished so far:")
            table.show(terminal.out(), made.points)
        elif whole:
            terminal.say(json.dumps(made.results.table(), indent=1))

    def point(self, name: str, failure: str) -> None:
        """Say that a run of a sweep has ended."""
        self.ended.append(name)
        if not self.quiet:
            terminal.complain(f"run {len(self.ended)}, {name}: {'failed' if failure else 'finished'}")

    def end(self, made: Result) -> None:
        """Print the table, or the results for programs, and have reports written beside them; one that fails is a note.

        RunError where a row failed, or a run of a sweep.
        """
        terminal.results_lie_in(shown_path(made.folder))
        self._results(made)
        for said in self._reports(made):
            if not self.as_json:
                _say(said)
        if made.failures:
            parts = [
                f"{name}: {why[0]}" if name in made.failed else name for name, why in sorted(made.failures.items())
            ]
            raise RunError(f"failed: {', '.join(parts)}; what did not fail is complete and in {made.folder}")

    def _results(self, made: Result) -> None:
        if self.as_json:
            terminal.say(json.dumps(_tables(made), indent=1))
            return
        if not made.points:
            return
        table.show(terminal.out(), made.points)
        if made.swept:
            what = "The runs, each with its report"
        elif made.results.made_by == "run":
            what = "Results, images and the recipe that repeats this run"
        else:
            what = "Results"
        _say(f"{what}: {shown_path(made.folder)}")

    def _reports(self, made: Result) -> Iterator[str]:
        assert made.registry is not None
        for run in made.runs.values() if made.swept else [made]:
            for name, written in reports.write(
                made.registry, run.folder, lambda note: terminal.complain(f"note: {note}")
            ):
                if not made.swept:
                    yield f"The {name}{', for a browser' * (written.suffix == '.html')}: {shown_path(written)}"


def _say(text: str) -> None:
    terminal.out().print(f"  {text}", highlight=False, soft_wrap=True, markup=False)


def _tables(made: Result) -> Any:
    """As programs read it: of a sweep a list."""
    if not made.swept:
        return {"folder": str(made.folder), **made.results.table()}
    runs = zip(made.points, made.runs.values(), strict=True)
    return [{"folder": str(run.folder), "point": point.varied, **run.results.table()} for point, run in runs]
