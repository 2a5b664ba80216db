"""A figure of a lens: what each layer would predict, a cell for each layer and position.

Twin: js/src/layers/lens-table.ts.

Required: the likeliest token of each cell, bold where it is the model's own; the shade is the number that the
legend names, zero is the paper.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jtviz.analysis.layers.lens import LogitLens

from . import svg
from .colour import Theme, ink_on, ramp, shade
from .lettering import clip, width
from .part import SMALL, Bar, Part
from .sheet import BOLD
from .words import number

WIDE = 620.0
NAME = 68.0
CELL = (26.0, 50.0)
"""Narrowest and widest."""
ROW = 14.0
TINY = 6.5
GAP = 14.0
"""Between the parts of a table that goes on below."""

Table = np.ndarray[Any, np.dtype[np.floating[Any]]]

MEANINGS = {
    "probability": "probability of the token in the cell",
    "entropy": "entropy: how undecided the layer is, up to the most in this table",
    "divergence": "KL(last layer ‖ this layer): how far from what the model says, up to the most here",
    "rank": "rank of the model’s answer in the layer, log scale; 1 is the likeliest",
}


def lens_table(lens: LogitLens, by: str, vocabulary: int, pinned: int | None, look: Theme) -> Part:
    """Draw a table.

    Parameters
    ----------
    lens : LogitLens
        The positions that are drawn.
    by : str
        What cells are coloured by, one of `MEANINGS`.
    vocabulary : int
        How many tokens a rank is a place among.
    pinned : int or None
        The position that is framed.
    look : Theme
        The colours.
    """
    layers, count = lens.entropy.shape
    shares, bar = _shaded(lens, by, vocabulary, look)
    said = np.array(lens.words(lens.ids[..., 0]), dtype=object).reshape(layers, count)
    is_own = (lens.ids[..., 0] == lens.answer).numpy()
    text, rows = list(lens.tokens), lens.rows.tolist()
    is_next = lens.side == "decoder"
    read = [text[row] for row in rows]
    then = [text[row + 1] if row + 1 < len(text) else "–" for row in rows] if is_next else []
    widest = max(width(one, SMALL) * BOLD for one in (*said.flat, *read, *then))
    cell = min(max(widest + 7, CELL[0]), CELL[1])
    parts = math.ceil(count / max(1, int((WIDE - NAME) // cell)))
    each = math.ceil(count / parts)
    colours = ramp(look.paper, None, dark=look.dark)
    heads = [("position", [f"{row:,}" for row in rows], TINY, look.soft), ("reads", read, SMALL, look.ink)]
    heads += [("then", then, SMALL, look.soft)] if is_next else []
    marks: list[str] = []
    y = 0.0
    for first in range(0, count, each):
        columns = range(first, min(count, first + each))
        begin = y
        for name, line, size, ink in heads:
            marks.append(svg.text(NAME - 6, y + 8, name, size, look.soft, text_anchor="end"))
            for place, column in enumerate(columns):
                at = NAME + (place + 0.5) * cell
                marks.append(
                    svg.text(at, y + 8, clip(line[column], size, cell - 3), size, ink, text_anchor="middle")
                )
            y += 11
        y += 2
        for layer in reversed(range(layers)):
            name = f"after layer {layer - 1}" if layer else "enters layer 0"
            marks.append(svg.text(NAME - 6, y + 9.5, name, SMALL, look.soft, text_anchor="end"))
            for place, column in enumerate(columns):
                x, fill = NAME + place * cell, shade(colours, float(shares[layer, column]))
                is_bold = bool(is_own[layer, column])
                size = SMALL * (BOLD if is_bold else 1)
                marks.append(svg.rect(x + 0.4, y + 0.4, cell - 0.8, ROW - 0.8, rx=1.5, fill=fill))
                marks.append(
                    svg.text(
                        x + cell / 2, y + 9.8, clip(said[layer, column], size, cell - 3), SMALL, ink_on(fill),
                        text_anchor="middle", font_weight="bold" if is_bold else None,
                    )
                )  # fmt: skip
            y += ROW
        if pinned in rows and rows.index(pinned) in columns:
            x = NAME + (rows.index(pinned) - first) * cell
            marks.append(
                svg.rect(
                    x - 0.3, begin - 2, cell + 0.6, y - begin + 3, rx=2.5,
                    fill="none", stroke=look.accent, stroke_width=1.2,
                )
            )  # fmt: skip
        y += GAP
    return Part(marks, NAME + min(each, count) * cell, y - GAP, [bar], indent=0)


def _shaded(lens: LogitLens, by: str, vocabulary: int, look: Theme) -> tuple[Table, Bar]:
    """Return the shade of each cell, 0 to 1, and what shades stand for."""
    colours = ramp(look.paper, None, dark=look.dark)
    stops = tuple(colours[round(i * 255 / 16)] for i in range(17))
    if by == "rank":
        ranks = lens.rank.double().numpy()
        shares = 1 - np.log(ranks) / math.log(vocabulary) if vocabulary > 1 else np.ones_like(ranks)
        return shares, Bar(stops, ((0.0, f"{vocabulary:,}"), (1.0, "1")), MEANINGS[by])
    if by == "probability":
        return lens.probability[..., 0].double().numpy(), Bar(stops, ((0.0, "0"), (1.0, "1")), MEANINGS[by])
    values = getattr(lens, by).double().numpy()
    most = float(values.max())
    ticks = ((0.0, "0"), (1.0, f"{number(most)} nats"))
    return values / (most or 1.0), Bar(stops, ticks, MEANINGS[by])
