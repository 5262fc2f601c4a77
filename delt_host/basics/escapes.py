"""What comes from files, plugins and users, made harmless for where it is shown: a terminal, a spreadsheet, Markdown.

LaTeX is escaped by tabulate, HTML by Jinja, figures by ElementTree, JSON by Python.
"""

from __future__ import annotations

import re

_SHOWN_AS = {
    **{code: chr(0x2400 + code) for code in range(32)},  # ␛ for escape: control pictures, each as wide as a letter
    0x7F: "\N{SYMBOL FOR DELETE}",
    **dict.fromkeys([*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\N{REPLACEMENT CHARACTER}"),
    0x2028: " ",
    0x2029: " ",
}
"""Control characters, with those that turn the direction of writing around."""
_LINES = {code: shown for code, shown in _SHOWN_AS.items() if chr(code) not in "\n\t"}

NUMBER = re.compile(r"[-+]?\d[\d,]*(\.\d+)?([eE][-+]?\d+)?( ± \d+(\.\d+)?)?( (%|\w{1,3}))?")
"""A cell that is a figure: 3, -0.5, 1e-3, -64.5 ± 1.6 %."""


def plain(text: str) -> str:
    """In one line, its control characters and terminal escapes as signs that do nothing."""
    return " ".join(text.split()).translate(_SHOWN_AS)


def in_lines(text: str) -> str:
    """The same of text of several lines."""
    return text.replace("\r\n", "\n").translate(_LINES)


def cell(text: str) -> str:
    """For CSV: a spreadsheet reads no formula in it. Numbers stay numbers."""
    shown = plain(text)
    begins = text[:1] in ("=", "+", "-", "@", "\t", "\r", "\n") or shown[:1] in ("=", "+", "-", "@")
    return f"'{shown}" if begins and not NUMBER.fullmatch(shown) else shown


def markdown(text: str) -> str:
    """For a cell or a sentence in Markdown: it shows as it is, and ends neither its cell nor its line."""
    return re.sub(r"([\\`*_{}\[\]<>#|~$&])", r"\\\1", plain(text))
