"""A figure of an attribution: its tokens shaded in rows, or a matrix of tokens and outputs.

Required: the part, layer, unit and mode that the view shows; the caption says what was explained, how, and
how far the scores are from the sum that they promise. Twins: js/src/attribution/{strip,grid}.ts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import legend, svg
from .colour import THEMES, Rgb, Theme, ink_on, ramp, ramp_against, shade
from .lettering import clip, width, wrap
from .part import SMALL, TOKEN, Bar, Part
from .raster import rasterised
from .words import number

if TYPE_CHECKING:
    from jtviz.views.attribution import AttributionView

MARGIN = 12.0
WIDE = 480.0
LINE = 11.5
ROW = 17.0
NAME = 90.0
"""Room for the name of a row of the matrix."""


def strip_svg(view: AttributionView, theme: str = "light") -> str:
    """Draw what an attribution view shows as SVG."""
    colours = THEMES[theme]
    is_matrix = view.mode == "matrix" and len(view.attributions) > 1
    part = _matrix(view, colours) if is_matrix else _text(view, colours)
    wide = max(part.width, WIDE)
    marks = [svg.group(part.marks, MARGIN, MARGIN)]
    y = MARGIN + part.height + 10
    for piece in part.legend:
        elements, height = legend.drawn(colours, piece, wide, "scale")
        marks.append(svg.group(elements, MARGIN, y))
        y += height + 5
    words = " ".join(part.words)
    lines = wrap(words, SMALL, wide)
    for n, line in enumerate(lines):
        marks.append(svg.text(MARGIN, y + 8 + n * LINE, line, SMALL, colours.ink))
    y += len(lines) * LINE
    says = {"title": f"Attribution: {view.shown.score.words}", "desc": words}
    return svg.document(marks, wide + 2 * MARGIN, y + MARGIN - 2, colours.paper, says)


def strip_png(view: AttributionView, theme: str = "light", scale: float = 2) -> bytes:
    """Draw the same as PNG, `scale` pixels to a CSS pixel."""
    return rasterised(strip_svg(view, theme), scale)


def _colour(theme: Theme, score: float, full: float) -> Rgb:
    colours = (ramp_against if score < 0 else ramp)(theme.paper, None, dark=theme.dark)
    return shade(colours, abs(score) / full if full else 0.0)


def _text(view: AttributionView, theme: Theme) -> Part:
    rows = view.rows()
    full = max((float(np.abs(scores).max(initial=0.0)) for _, scores in rows.values()), default=0.0)
    marks: list[str] = []
    y = 0.0
    for side, (labels, scores) in rows.items():
        if len(rows) > 1:
            marks.append(svg.text(0, y + 8, side, SMALL, theme.soft))
            y += 12
        x = 0.0
        tall = ROW + (9 if view.annotate else 0)
        for label, score in zip(labels, scores.tolist(), strict=True):
            said = clip(label, TOKEN, WIDE - 8)
            below = number(score) if view.annotate else ""
            wide = max(width(said, TOKEN), width(below, 6)) + 7
            if x and x + wide > WIDE:
                x, y = 0.0, y + tall + 3
            colour = _colour(theme, score, full)
            marks.append(svg.rect(x, y, wide, tall, rx=2.5, fill=colour))
            ink = ink_on(colour)
            marks.append(svg.text(x + wide / 2, y + 12, said, TOKEN, ink, text_anchor="middle"))
            if below:
                marks.append(svg.text(x + wide / 2, y + 22, below, 6, ink, text_anchor="middle"))
            x += wide + 2
        y += tall + 8
    return Part(marks, WIDE, y, [_bar(view, theme, full)], _caption(view))


def _matrix(view: AttributionView, theme: Theme) -> Part:
    parts = [view.rows(number_) for number_ in range(len(view.attributions))]
    scores_of = [scores for rows in parts for _, scores in rows.values()]
    full = max((float(np.abs(scores).max(initial=0.0)) for scores in scores_of), default=0.0)
    names = [part.score.target.name for part in view.attributions]
    cell = max(7.0, min(40.0 if view.annotate else 24.0, (WIDE - NAME) / len(names)))
    # Names stand upright where they fit, as those of CJK do.
    turned = {name for name in names if width(name, TOKEN) > cell - 2}
    above = min(70.0, max((width(name, TOKEN) for name in turned), default=TOKEN)) + 6
    marks = [
        svg.text(
            0, 0, clip(name, TOKEN, 70), TOKEN, theme.ink, text_anchor=None if name in turned else "middle",
            transform=f"translate({NAME + (i + 0.5) * cell + 3 * (name in turned):.2f} {above - 4:.2f})"
            + " rotate(-90)" * (name in turned),
        )
        for i, name in enumerate(names)
    ]  # fmt: skip
    y = above
    for side in view.trace.tokens:
        labels = parts[0][side][0]
        for row, label in enumerate(labels):
            said = clip(label, TOKEN, NAME - 8)
            marks.append(svg.text(NAME - 5, y + 10, said, TOKEN, theme.ink, text_anchor="end"))
            for column, rows in enumerate(parts):
                score = float(rows[side][1][row])
                colour = _colour(theme, score, full)
                marks.append(svg.rect(NAME + column * cell, y, cell, 14, fill=colour))
                if view.annotate:
                    at = NAME + (column + 0.5) * cell
                    marks.append(
                        svg.text(at, y + 9.5, number(score), 6, ink_on(colour), text_anchor="middle")
                    )
            y += 14
        y += 8
    return Part(marks, NAME + cell * len(names), y, [_bar(view, theme, full)], _caption(view))


def _bar(view: AttributionView, theme: Theme, full: float) -> Bar:
    up = [ramp(theme.paper, None, dark=theme.dark)[round(i * 255 / 16)] for i in range(17)]
    if not view.attributions[view.part].method.is_signed:
        return Bar(tuple(up), ((0.0, "0"), (1.0, number(full))), "how much a token matters")
    down = [ramp_against(theme.paper, None, dark=theme.dark)[round(i * 255 / 16)] for i in range(16, 0, -1)]
    ticks = ((0.0, number(-full)), (0.5, "0"), (1.0, number(full)))
    return Bar((*down, *up), ticks, "speaks against, speaks for what is explained")


def _caption(view: AttributionView) -> list[str]:
    part = view.shown
    against = f" against {part.baseline}" if part.baseline else ""
    points = f", {part.n_steps} points" if part.n_steps else ""
    what = part.score.words if view.mode == "text" or len(view.attributions) == 1 else "each output"
    words = [f"What {what} rests on, by {part.method.label}{against}{points} ({part.method.source})."]
    layers = max(map(len, (part.by_layer or {}).values()), default=0)
    if layers:
        words.append(f"Layer {min(view.explained_layer, layers - 1)} of 0 to {layers - 1}.")
    off = [p.relative_delta for p in view.attributions if p.relative_delta is not None]
    if off:
        most = "" if len(off) == 1 else " at most"
        words.append(f"Scores are off{most} by {max(off):.2%} of the sum that the method promises.")
    return words
