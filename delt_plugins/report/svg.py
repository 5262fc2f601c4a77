"""Matplotlib figures as SVG inside the page: its fonts, its colours for light and dark, no ids that clash."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SERIES = 8  # colours in the page's style sheet
INK, MUTED, RULE, PAPER = "#010001", "#010002", "#010003", "#010004"
_STANDS_FOR = {INK: "var(--ink)", MUTED: "var(--muted)", RULE: "var(--rule)", PAPER: "var(--paper)"}
_STANDS_FOR |= {f"#0200{number:02x}": f"var(--series-{number})" for number in range(SERIES)}
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be read aloud, found and copied
    "svg.hashsalt": "delt-host",
    "text.parse_math": False,  # a label is a label, whatever dollar signs it has
    "font.family": "sans-serif",
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.facecolor": "none",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "grid.color": RULE,
}


def series(number: int) -> str:
    """The colour of a row, for Matplotlib; the page's style sheet says what it looks like."""
    return f"#0200{number % SERIES:02x}"


def plain(text: str, length: int) -> str:
    """Text for a figure, cut to a length, without what XML cannot hold."""
    kept = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
    return kept if len(kept) <= length else kept[: length - 1] + "…"


def _matplotlib() -> Any:
    """It would refuse a backend that is not here, as a notebook's kernel or a cluster's module leaves one; none is used."""
    inherited = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib as mpl
    finally:
        if inherited is not None:
            os.environ["MPLBACKEND"] = inherited
    return mpl


@contextmanager
def drawing() -> Iterator[None]:
    """Matplotlib with the page's settings; it says nothing of fonts, since the browser chooses them."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)  # before the import, which may build a font cache
    try:
        mpl = _matplotlib()

        with mpl.rc_context(_SETTINGS), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
            yield
    finally:
        logger.setLevel(level)


def inline(figure: Figure, says: str) -> Markup:
    """The figure as an ``<svg>`` element that fills its place's width; `says` is read instead of it."""
    file = io.StringIO()
    figure.savefig(file, format="svg", facecolor="none", dpi=72, metadata={"Date": None})
    root = ElementTree.fromstring(file.getvalue())
    prefix = "f" + hashlib.sha256(file.getvalue().encode()).hexdigest()[:8]
    text = ElementTree.tostring(_cleaned(root, prefix, says), encoding="unicode")
    for stand_in, colour in _STANDS_FOR.items():
        text = text.replace(stand_in, colour)
    return Markup(text)  # ElementTree has escaped every label


def _cleaned(root: ElementTree.Element, prefix: str, says: str) -> ElementTree.Element:
    used = set(re.findall(r"#([A-Za-z0-9_-]+)", " ".join(v for e in root.iter() for k, v in e.items() if _refers(k))))
    for element in root.iter():
        for child in list(element):
            # Its style sheet would hold for the whole page.
            if child.tag.endswith(("}metadata", "}style")):
                element.remove(child)
        element.tag = element.tag.rpartition("}")[2]
        attributes = {name.rpartition("}")[2]: value for name, value in element.items()}
        if attributes.get("id") not in used:
            attributes.pop("id", None)
        else:
            attributes["id"] = f"{prefix}-{attributes['id']}"
        for name in ("href", "clip-path"):
            if name in attributes:
                attributes[name] = attributes[name].replace("#", f"#{prefix}-")
        element.attrib.clear()
        element.attrib.update(attributes)
    box = root.attrib["viewBox"]
    root.attrib.clear()
    root.attrib.update({"viewBox": box, "role": "img", "aria-label": says})
    return root


def _refers(attribute: str) -> bool:
    return attribute.endswith(("href", "clip-path"))
