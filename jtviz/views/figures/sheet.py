"""A drawn picture with its title above, and what its colours stand for and its caption below.

Required: nothing lies on anything else, however long the words are.
"""

from __future__ import annotations

from . import legend, svg
from .colour import Theme
from .lettering import wrap
from .part import SMALL, Part

MARGIN = 12.0
NARROWEST = 320.0
LINE = 11.5
TITLE = 10.0
BOLD = 1.1
"""How much wider bold letters are."""


def sheet(part: Part, title: str, look: Theme) -> str:
    """Return a whole figure as SVG."""
    wide = max(part.width, NARROWEST)
    heads = wrap(title, TITLE * BOLD, wide)
    marks = [
        svg.text(0, 9 + n * 13, line, TITLE, look.ink, font_weight="bold") for n, line in enumerate(heads)
    ]
    y = len(heads) * 13 + 7.0
    marks.append(svg.group(part.marks, 0, y))
    y += part.height + 10
    for n, piece in enumerate(part.legend):
        drawn, height = legend.drawn(look, piece, wide, f"scale{n}")
        marks.append(svg.group(drawn, 0, y))
        y += height + 6
    lines = [line for words in part.words for line in wrap(words, SMALL, wide)]
    marks += [svg.text(0, y + 8 + n * LINE, line, SMALL, look.ink) for n, line in enumerate(lines)]
    y += len(lines) * LINE
    page = svg.group(marks, MARGIN, MARGIN)
    says = {"title": title, "desc": " ".join(part.words)}
    return svg.document([page], wide + 2 * MARGIN, y + 2 * MARGIN, look.paper, says)
