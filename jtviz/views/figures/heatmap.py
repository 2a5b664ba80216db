"""A figure of a table of numbers, such as a layer of the residual stream.

Required: what rows, columns and colours are is said; zero is the paper.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import svg
from .colour import Theme, ink_on, ramp, ramp_against
from .lettering import clip, width
from .matrix import digits
from .part import SMALL, TOKEN, Bar, Part
from .raster import png_of
from .words import number

NAME = 84.0
PLOT = 420.0
TOP = 14.0
LARGEST = 30.0
"""Of a cell."""
ROWS, COLUMNS = 240, 420
"""Drawn, at most."""
NUMBERED = 19.0
"""Cells at least so wide have their number."""
APART = 9.5
"""From one name to the next, at least; where there is less room, every second or nth has one."""

Table = np.ndarray[Any, np.dtype[np.floating[Any]]]


def heatmap(
    values: Table, names: Sequence[str], full: float, look: Theme, *, axes: tuple[str, str], colours: str,
    columns: Sequence[str] = (), is_positive: bool = False,
) -> Part:  # fmt: skip
    """Draw a table.

    Parameters
    ----------
    values : array
        ``[rows, columns]``; what is no number has no colour.
    names : sequence of str
        Of the rows.
    full : float
        The magnitude that the full colour stands for.
    look : Theme
        The colours.
    axes : (str, str)
        What rows and columns are.
    colours : str
        What a colour stands for.
    columns : sequence of str
        Names of the columns; with them cells are square, and large ones have their number.
    is_positive : bool
        Whether there are no numbers below zero.
    """
    rows, across = values.shape
    is_square = bool(columns)
    cell = min(LARGEST, PLOT / max(rows, across))
    row = cell if is_square else min(14.0, max(PLOT / rows, 1.0))
    wide, tall = (across * cell if is_square else PLOT), rows * row
    size = min(TOKEN, max(SMALL - 1, row))
    left = max(width(axes[0], SMALL), *(min(width(one, size), NAME) for one in names)) + 10
    heads, above = _columns(columns, left, cell, look)
    top = TOP + above
    pixels = _pixels(values, full, look)
    picture = "data:image/png;base64," + base64.b64encode(png_of(pixels)).decode()
    marks = [
        svg.text(0, top - 6, axes[0], SMALL, look.soft),
        svg.text(left, 8, axes[1], SMALL, look.soft),
        *heads,
        svg.element(
            "image", x=left, y=top, width=wide, height=tall, preserveAspectRatio="none",
            style="image-rendering:pixelated", href=picture,
        ),
        svg.rect(left, top, wide, tall, fill="none", stroke=look.line, stroke_width=0.5),
    ]  # fmt: skip
    marks += [
        svg.text(
            left - 5, top + (i + 0.5) * row + 0.34 * size, clip(names[i], size, NAME), size, look.ink,
            text_anchor="end",
        )
        for i in range(0, rows, _step(row))
    ]  # fmt: skip
    if is_square and cell >= NUMBERED:
        marks += [
            svg.text(
                left + (j + 0.5) * cell, top + (i + 0.5) * cell + 2.6, digits(float(values[i, j])) or "0",
                7.5,
                ink_on(tuple(pixels[i, j].tolist())), text_anchor="middle",
            )
            for i in range(rows) for j in range(across) if np.isfinite(values[i, j])
        ]  # fmt: skip
    return Part(
        marks, left + wide, top + tall, [_bar(look, full, colours, is_positive=is_positive)], indent=0
    )


def _columns(names: Sequence[str], left: float, cell: float, look: Theme) -> tuple[list[str], float]:
    """Return names above the columns, upright where they all fit, and how high they are."""
    size = min(TOKEN, max(SMALL - 1, cell))
    shown = range(0, len(names), _step(cell))
    is_turned = any(width(names[i], size) > cell - 2 for i in shown)
    above = min(NAME, max((width(names[i], size) for i in shown), default=0.0)) if is_turned else size
    marks = []
    for i in shown:
        x = left + (i + 0.5) * cell
        if is_turned:
            turned = f"translate({x + 0.34 * size:.2f} {TOP + above:.2f}) rotate(-90)"
            marks.append(svg.text(0, 0, clip(names[i], size, NAME), size, look.ink, transform=turned))
        else:
            marks.append(svg.text(x, TOP + above - 1, names[i], size, look.ink, text_anchor="middle"))
    return marks, above + 5 if names else 0.0


def _step(size: float) -> int:
    """Return how far it is from one name to the next, where each thing has so much room."""
    steps = [n * ten for ten in (1, 10, 100, 1000) for n in (1, 2, 5)]
    return next(step for step in steps if step * size >= APART)


def _pixels(values: Table, full: float, look: Theme) -> Any:
    """Return one pixel a number, ``[rows, columns, 3]``."""
    up, down = (np.array(of(look.paper, None, dark=look.dark), np.uint8) for of in (ramp, ramp_against))
    shares = np.nan_to_num(np.abs(values) / (full or 1.0), nan=0.0).clip(0, 1)
    steps = np.floor(255 * shares + 0.5).astype(int)
    return np.where((values < 0)[..., None], down[steps], up[steps])


def _bar(look: Theme, full: float, words: str, *, is_positive: bool) -> Bar:
    up = [ramp(look.paper, None, dark=look.dark)[round(i * 255 / 16)] for i in range(17)]
    if is_positive:
        return Bar(tuple(up), ((0.0, "0"), (1.0, number(full))), words)
    down = [ramp_against(look.paper, None, dark=look.dark)[round(i * 255 / 16)] for i in range(16, 0, -1)]
    return Bar((*down, *up), ((0.0, number(-full)), (0.5, "0"), (1.0, number(full))), words)


def pooled(
    values: Table, names: Sequence[str], most: tuple[int, int] = (ROWS, COLUMNS)
) -> tuple[Table, tuple[str, ...], str]:
    """Return a table that fits: of each block the number of largest magnitude, and what is to be said."""
    rows, columns = (-(-size // most) for size, most in zip(values.shape, most, strict=True))
    if rows == columns == 1:
        return values, tuple(names), ""
    edges = [(0, -size % by) for size, by in zip(values.shape, (rows, columns), strict=True)]
    padded = np.pad(values, edges)
    blocks = padded.reshape(padded.shape[0] // rows, rows, padded.shape[1] // columns, columns)
    flat = blocks.transpose(0, 2, 1, 3).reshape(len(blocks), -1, rows * columns)
    strongest = np.take_along_axis(flat, np.abs(flat).argmax(-1)[..., None], -1)[..., 0]
    said = f" A point is the largest magnitude of {rows} × {columns} numbers."
    if rows == 1:
        return strongest, tuple(names), said
    numbers = tuple(f"{i * rows:,}" for i in range(len(strongest)))
    return strongest, numbers, f"{said} Rows are named by the position of their first token."
