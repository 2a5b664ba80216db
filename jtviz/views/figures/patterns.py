"""A figure of activations as few patterns: the text coloured by them, and each along the text.

Twin: js/src/layers/neurons-patterns.ts.

Required: a pattern has one colour and its number beside it; weights are those of the analysis.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from jtviz.analysis.layers.units import Factors
from jtviz.tokens import Tokens

from . import svg
from .colour import Rgb, Theme, head_colour, ink_on, to_lab, to_rgb
from .flow import gaps_of, in_lines
from .lettering import clip, is_right_to_left, width
from .part import SMALL, TOKEN, Part

WIDE = 480.0
PAD = 2.5
LINE = 25.0
TINY = 6.5
FAINT = 0.05
"""A weight below this has no number."""
CHIP, CURVE, MOST = 26.0, 150.0, 190.0
"""Room for the number of a pattern, for its weights, and for the tokens with most of it."""
BARS = 150
ROW = 19.0

Table = np.ndarray[Any, np.dtype[np.floating[Any]]]


def patterns(found: Factors, tokens: Tokens, shown: range, look: Theme) -> Part:
    """Draw the tokens that are shown, and all patterns over the whole text."""
    weights = found.weights[0].numpy()
    marks, y = _text(weights, tokens, shown, look)
    y += 8
    heads = ((0.0, "pattern"), (CHIP + 12, "weight along the text"), (CHIP + CURVE + 22, "most in"))
    marks += [svg.text(x, y + 8, said, SMALL, look.soft) for x, said in heads]
    marks.append(svg.text(WIDE, y + 8, "strongest units", SMALL, look.soft, text_anchor="end"))
    y += 14
    units = found.components.argsort(dim=1, descending=True, stable=True)[:, :3].tolist()
    for pattern, strongest in enumerate(units):
        own, colour = weights[:, pattern], head_colour(pattern, dark=look.dark)
        marks.append(svg.rect(4, y + 1, 18, 13, rx=2, fill=colour))
        marks.append(svg.text(13, y + 10.5, str(pattern), SMALL, ink_on(colour), text_anchor="middle"))
        marks += _curve(own, CHIP + 12, y + 1, colour, look)
        said = clip(" · ".join(most_in(own, list(tokens))), TOKEN, MOST - 10)
        marks.append(svg.text(CHIP + CURVE + 22, y + 10.5, said, TOKEN, look.ink))
        said = ", ".join(map(str, strongest))
        marks.append(svg.text(WIDE, y + 10.5, said, SMALL, look.soft, text_anchor="end"))
        y += ROW
    return Part(marks, WIDE, y - 4, indent=0)


def most_in(weights: Table, text: list[str]) -> list[str]:
    """Return the tokens with most of a pattern, each once, at most four."""
    order = [i for i in np.argsort(-weights, kind="stable").tolist() if weights[i] >= FAINT]
    return list(dict.fromkeys(text[i] for i in order))[:4]


def blend(background: Rgb, colour: Rgb, share: float) -> Rgb:
    """Return a colour over the background, even to the eye."""
    part = max(0.0, min(1.0, share))
    a, b, c = (x + (y - x) * part for x, y in zip(to_lab(background), to_lab(colour), strict=True))
    return to_rgb((a, b, c))


def _text(weights: Table, tokens: Tokens, shown: range, look: Theme) -> tuple[list[str], float]:
    """Draw tokens in the colour of their strongest pattern; return how high that is, too."""
    said = [clip(tokens[i], TOKEN, WIDE / 2) for i in shown]
    widths = [max(width(one, TOKEN), width("00", TINY)) + 2 * PAD for one in said]
    gaps = gaps_of(tokens.spans)
    places, lines = in_lines(widths, [i in gaps for i in shown], WIDE)
    is_reversed = is_right_to_left(tokens.sentence)
    marks = []
    for i, one, wide, (x, line) in zip(shown, said, widths, places, strict=True):
        pattern = int(weights[i].argmax())
        weight = float(weights[i, pattern])
        left, y = WIDE - x - wide if is_reversed else x, line * LINE
        fill = blend(look.paper, head_colour(pattern, dark=look.dark), weight)
        is_special = tokens.special[i]
        ink = ink_on(fill) if fill != look.paper else look.soft if is_special else look.ink
        style = "italic" if is_special else None
        marks.append(svg.rect(left + 0.3, y, wide - 0.6, 14, rx=2, fill=fill))
        marks.append(
            svg.text(left + wide / 2, y + 10.3, one, TOKEN, ink, text_anchor="middle", font_style=style)
        )
        if weight >= FAINT:
            marks.append(
                svg.text(left + wide / 2, y + 20.5, str(pattern), TINY, look.soft, text_anchor="middle")
            )
    return marks, lines * LINE


def _curve(weights: Table, x: float, y: float, colour: Rgb, look: Theme) -> list[str]:
    """Draw weights along the text, the most of each part of a long one."""
    count = len(weights)
    edges = np.linspace(0, count, min(count, BARS) + 1).astype(int)
    wide = CURVE / (len(edges) - 1)
    bars = [(n, float(weights[a:b].max())) for n, (a, b) in enumerate(pairwise(edges.tolist()))]
    gap = min(1.0, wide / 4)
    path = "".join(
        f"M{x + n * wide:.2f} {y + 13:.2f}v{-13 * value:.2f}h{wide - gap:.2f}v{13 * value:.2f}z"
        for n, value in bars
        if value > 0.005
    )
    base = svg.rect(x, y + 13, CURVE, 0.6, fill=look.line)
    return [base, *([svg.element("path", d=path, fill=colour)] if path else [])]
