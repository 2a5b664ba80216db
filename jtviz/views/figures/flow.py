"""The text itself, its tokens shaded by attention, once as queries and once as keys.

Required: runs the way its letters do. Twin: js/src/parts/text.ts.
"""

from __future__ import annotations

from collections.abc import Sequence

from . import svg
from .labels import Label
from .legend import bar
from .lettering import is_right_to_left
from .look import Look
from .part import SMALL, Part
from .shading import shaded
from .words import outside

SIZE = 10.0
LINE = 17.0
ROOM = 400.0
PAD = 1.5
SPACE = 2.5
TITLES = {"query": "query: the token that looks", "key": "key: the token looked at"}


def draw(look: Look) -> Part:
    """Draw both sides of the text."""
    rows, cols = look.window()
    shading = shaded(look, rows, cols)
    marks, y, width = [], 0.0, 0.0
    for role, part in (("query", rows), ("key", cols)):
        title = TITLES[role]
        shown = [
            Label.of(look, role, i, size=SIZE, room=ROOM / 2, shade=shading.of(role, i))
            for i in range(part.start, part.stop)
        ]
        is_reversed = is_right_to_left(look.side(role).sentence)
        places, lines = _set(look, role, shown)
        widest = max(x + label.width + 2 * PAD for (x, _), label in zip(places, shown, strict=True))
        width = max(width, ROOM if lines > 1 or is_reversed else widest)
        anchor, edge = ("end", ROOM) if is_reversed else ("start", 0.0)
        marks.append(svg.text(edge, y + 8, title, SMALL, look.theme.soft, text_anchor=anchor))
        y += 14
        for (x, line), label in zip(places, shown, strict=True):
            wide = label.width + 2 * PAD
            corner = ROOM - x - wide if is_reversed else x
            top = y + line * LINE
            marks += label.box(look, corner, top + 1, wide, LINE - 2)
            marks.append(label.text(look, corner + wide / 2, top + LINE / 2, "middle"))
        y += lines * LINE + 10
    legend = [bar(look, shading.full, shading.least, shading.words)]
    return Part(marks, width, y - 10, legend, outside(look, rows, cols), indent=0)


def _set(look: Look, role: str, labels: list[Label]) -> tuple[list[tuple[float, int]], int]:
    """Return how far into which line each token stands, and the number of lines."""
    gaps, starts = gaps_of(look.side(role).spans), look.axis(role).starts
    widths = [label.width + 2 * PAD for label in labels]
    return in_lines(widths, [starts[label.index] in gaps for label in labels], ROOM)


def in_lines(
    widths: Sequence[float], spaced: Sequence[bool], room: float
) -> tuple[list[tuple[float, int]], int]:
    """Return how far into which line each thing stands, with space before some, and the number of lines."""
    places: list[tuple[float, int]] = []
    x, line = 0.0, 0
    for n, (wide, is_spaced) in enumerate(zip(widths, spaced, strict=True)):
        if n and is_spaced:
            x += SPACE
        if n and x + wide > room:
            x, line = 0.0, line + 1
        places.append((x, line))
        x += wide
    return places, line + 1


def gaps_of(spans: Sequence[tuple[int, int] | None]) -> set[int]:
    """Return the tokens before which there is a space, or nothing at all, in the sentence."""
    end, gaps = 0, set()
    for i, span in enumerate(spans):
        if span is None or span[0] > end:
            gaps.add(i)
        end = end if span is None else span[1]
    return gaps
