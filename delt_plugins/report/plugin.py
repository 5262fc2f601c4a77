"""What is written beside a finished run: its page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from delt_host import hookimpl


def _page(folder: Path) -> Path:
    """`report.html`, a page for a browser: the answer, the table, figures, images, and how to repeat the run."""
    from delt_plugins.report.page import write_page  # drawing libraries take a second

    return write_page(folder)


@hookimpl
def delt_reports() -> dict[str, Callable[[Path], Path]]:
    return {"report": _page}
