"""A figure of a model's heads, layer by layer: shaded by a score, those that are off crossed out.

Required: what the view shows; the caption says what a colour stands for, and what else was found. Twin:
js/src/pruning/heads.ts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from jtviz.views.describe import LABELS

from . import legend, svg
from .colour import THEMES, Rgb, Theme, ramp, ramp_against, shade
from .lettering import wrap
from .part import SMALL, TOKEN, Bar
from .raster import rasterised
from .words import number

MARGIN = 12.0
WIDE = 420.0
LINE = 11.5
CELL = 16.0
GAP = 24.0

Off = Sequence[tuple[str, int, int]]


def grid_svg(
    scores: Mapping[str, np.ndarray],
    off: Off,
    *,
    title: str,
    colours: str,
    words: Sequence[str],
    theme: str = "light",
) -> str:
    """Draw heads as SVG.

    Parameters
    ----------
    scores : mapping of str to array
        For each stage ``[layers, heads]``; NaN where there is no such head, or no score.
    off : sequence of (str, int, int)
        Stage, layer and head of those that are off.
    title : str
        What was asked.
    colours : str
        What a colour stands for.
    words : sequence of str
        Sentences for the caption.
    theme : {"light", "dark"}
        Its colours.
    """
    look = THEMES[theme]
    sizes = [abs(x) for values in scores.values() for x in values.ravel().tolist() if np.isfinite(x)]
    full = max(sizes, default=0.0)
    crossed = set(off)
    cells = max((values.shape[1] for values in scores.values()), default=1)
    cell = min(CELL, max(5.0, (WIDE - 20) / max(1, cells)))
    marks: list[str] = []
    x = y = tall = 0.0
    for stage, values in scores.items():
        layers, heads = values.shape
        wide = 16 + heads * cell
        if x and x + wide > WIDE:
            x, y, tall = 0.0, y + tall + GAP / 2, 0.0
        inside = [svg.text(0, 8, LABELS.get(stage, stage), TOKEN, look.soft)]
        for layer in range(layers):
            top = 14 + layer * cell
            inside.append(svg.text(10, top + cell / 2 + 3, str(layer), SMALL, look.soft, text_anchor="end"))
            for head in range(heads):
                at = 16 + head * cell
                is_off = (stage, layer, head) in crossed
                score = float(values[layer, head])
                fill = look.paper if is_off or not np.isfinite(score) else _colour(look, score, full)
                inside.append(
                    svg.rect(
                        at, top, cell - 2, cell - 2, rx=1.5, fill=fill, stroke=look.line, stroke_width=0.5
                    )
                )
                if is_off:
                    a, b, c, d = at + 1.5, top + 1.5, at + cell - 3.5, top + cell - 3.5
                    inside.append(
                        svg.element(
                            "path", d=f"M{a:.1f} {b:.1f}L{c:.1f} {d:.1f}M{a:.1f} {d:.1f}L{c:.1f} {b:.1f}",
                            stroke=look.ink, stroke_width=1, fill="none",
                        )
                    )  # fmt: skip
        marks.append(svg.group(inside, x, y))
        x += wide + GAP
        tall = max(tall, 14 + layers * cell)
    y += tall + 8
    if full > 0:
        is_signed = any(float(np.nanmin(v)) < 0 for v in scores.values() if np.isfinite(v).any())
        drawn, height = legend.drawn(look, _bar(look, full, colours, is_signed=is_signed), WIDE, "scale")
        marks.append(svg.group(drawn, 0, y))
        y += height + 6
    lines = [line for one in words for line in wrap(one, SMALL, WIDE)]
    marks += [svg.text(0, y + 8 + n * LINE, line, SMALL, look.ink) for n, line in enumerate(lines)]
    y += len(lines) * LINE
    says = {"title": title, "desc": " ".join(words)}
    page = [svg.group(marks, MARGIN, MARGIN)]
    return svg.document(page, WIDE + 2 * MARGIN, y + 2 * MARGIN, look.paper, says)


def grid_png(source: str, scale: float = 2) -> bytes:
    """Return a drawn figure as PNG, `scale` pixels to a CSS pixel."""
    return rasterised(source, scale)


def _colour(look: Theme, score: float, full: float) -> Rgb:
    colours = (ramp_against if score < 0 else ramp)(look.paper, None, dark=look.dark)
    return shade(colours, abs(score) / full if full else 0.0)


def _bar(look: Theme, full: float, words: str, *, is_signed: bool) -> Bar:
    up = [ramp(look.paper, None, dark=look.dark)[round(i * 255 / 16)] for i in range(17)]
    if not is_signed:
        return Bar(tuple(up), ((0.0, "0"), (1.0, number(full))), words)
    down = [ramp_against(look.paper, None, dark=look.dark)[round(i * 255 / 16)] for i in range(16, 0, -1)]
    return Bar((*down, *up), ((0.0, number(-full)), (0.5, "0"), (1.0, number(full))), words)
