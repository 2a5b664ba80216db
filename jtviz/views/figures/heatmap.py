"""A figure of a table of numbers, such as a layer of the residual stream.

Required: what rows, columns and colours are is said; zero is the paper.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import legend, svg
from .colour import THEMES, Theme, ramp, ramp_against
from .lettering import clip, wrap
from .part import SMALL, TOKEN, Bar
from .raster import png_of
from .words import number

MARGIN = 12.0
NAME = 80.0
PLOT = 420.0
LINE = 11.5
NAMED = 60
"""Rows that have a name each; of more none has."""

Table = np.ndarray[Any, np.dtype[np.floating[Any]]]


def heatmap_svg(
    values: Table, names: Sequence[str], full: float, *, axes: tuple[str, str], colours: str, words: str,
    theme: str = "light",
) -> str:  # fmt: skip
    """Draw a table as SVG.

    Parameters
    ----------
    values : array
        ``[rows, columns]``.
    names : sequence of str
        Of the rows.
    full : float
        The magnitude that the full colour stands for.
    axes : (str, str)
        What rows and columns are.
    colours : str
        What a colour stands for.
    words : str
        The caption.
    theme : {"light", "dark"}
        Its colours.
    """
    look = THEMES[theme]
    rows = len(values)
    row = min(14.0, max(420.0 / rows, 1.0))
    tall = rows * row
    marks = [
        svg.text(0, 8, axes[0], SMALL, look.soft),
        svg.text(NAME, 8, axes[1], SMALL, look.soft),
        svg.element(
            "image", x=NAME, y=14.0, width=PLOT, height=tall, preserveAspectRatio="none",
            style="image-rendering:pixelated", href=_pixels(values, full, look),
        ),
        svg.rect(NAME, 14, PLOT, tall, fill="none", stroke=look.line, stroke_width=0.5),
    ]  # fmt: skip
    if rows <= NAMED:
        size = min(TOKEN, row)
        marks += [
            svg.text(
                NAME - 5, 14 + (i + 0.75) * row, clip(name, size, NAME - 8), size, look.ink, text_anchor="end"
            )
            for i, name in enumerate(names)
        ]
    y = 14 + tall + 10
    drawn, height = legend.drawn(look, _bar(look, full, colours), NAME + PLOT, "scale")
    marks.append(svg.group(drawn, 0, y))
    y += height + 6
    lines = wrap(words, SMALL, NAME + PLOT)
    marks += [svg.text(0, y + 8 + n * LINE, line, SMALL, look.ink) for n, line in enumerate(lines)]
    size_of = (NAME + PLOT + 2 * MARGIN, y + len(lines) * LINE + 2 * MARGIN)
    says = {"title": words.partition(".")[0], "desc": words}
    return svg.document([svg.group(marks, MARGIN, MARGIN)], *size_of, look.paper, says)


def _pixels(values: Table, full: float, look: Theme) -> str:
    """Return one pixel a number, as the address of a picture."""
    up, down = (np.array(of(look.paper, None, dark=look.dark), np.uint8) for of in (ramp, ramp_against))
    shares = np.nan_to_num(np.abs(values) / (full or 1.0), nan=0.0).clip(0, 1)
    steps = np.floor(255 * shares + 0.5).astype(int)
    pixels = np.where((values < 0)[..., None], down[steps], up[steps])
    return "data:image/png;base64," + base64.b64encode(png_of(pixels)).decode()


def _bar(look: Theme, full: float, words: str) -> Bar:
    up = [ramp(look.paper, None, dark=look.dark)[round(i * 255 / 16)] for i in range(17)]
    down = [ramp_against(look.paper, None, dark=look.dark)[round(i * 255 / 16)] for i in range(16, 0, -1)]
    return Bar((*down, *up), ((0.0, number(-full)), (0.5, "0"), (1.0, number(full))), words)
