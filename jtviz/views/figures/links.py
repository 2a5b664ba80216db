"""Queries on the left, keys on the right, and a curve for each weight between them.

Required: a curve's opacity is its weight, and what is not drawn is said. Twin: js/src/parts/links.ts.
"""

from __future__ import annotations

import numpy as np

from . import svg
from .labels import Label
from .legend import bar, swatches
from .look import Look
from .part import SMALL, TOKEN, Bar, Part, Swatches
from .shades import Array, fullest, strengths
from .shading import shaded
from .words import number, outside

FAINTEST = 1 / 128
"""The least opacity drawn."""
BACK = 0.15
"""What is left of the opacity of a curve of no marked token, where some are and none is in focus."""
ROW = 14.0
MIDDLE = 190.0
LONGEST = 120.0
PAD = 5.0
TITLE = 15.0


def draw(look: Look) -> Part:
    """Draw the links of all tokens, or of the token in focus."""
    rows, cols = look.window()
    is_focused = look.focus("query") is not None or look.focus("key") is not None
    shading = shaded(look, rows, cols) if is_focused else None
    labels = {
        role: [
            Label.of(look, role, i, size=TOKEN, room=LONGEST, shade=shading.of(role, i) if shading else None)
            for i in range(part.start, part.stop)
        ]
        for role, part in (("query", rows), ("key", cols))
    }
    left, right = (max(label.width for label in labels[role]) + 2 * PAD for role in ("query", "key"))
    curves, words = _curves(look, rows, cols, is_focused=is_focused)
    marks = [_titles(look, left)]
    marks.append(svg.group(curves, left, TITLE, fill="none", stroke_width=2.2 if is_focused else 1.1))
    for role, x, anchor in (("query", left - PAD, "end"), ("key", left + MIDDLE + PAD, "start")):
        for n, label in enumerate(labels[role]):
            y = TITLE + n * ROW
            wide = label.width + 2 * PAD
            corner = left - wide if role == "query" else left + MIDDLE
            marks += label.box(look, corner, y + 0.5, wide, ROW - 1)
            marks.append(label.text(look, x, y + ROW / 2, anchor))
    height = TITLE + ROW * max(len(labels["query"]), len(labels["key"]))
    legend: list[Bar | Swatches] = [swatches(look)]
    if shading is not None:
        legend.append(bar(look, shading.full, shading.least, "tokens are " + shading.words))
    return Part(marks, left + MIDDLE + right, height, legend, [*words, *outside(look, rows, cols)])


def _titles(look: Look, left: float) -> str:
    y, colour = TITLE - 6, look.theme.soft
    return "\n".join(
        [
            svg.text(left - PAD, y, "query", SMALL, colour, text_anchor="end"),
            svg.text(left + MIDDLE / 2, y, "looks at →", SMALL, colour, text_anchor="middle"),
            svg.text(left + MIDDLE + PAD, y, "key", SMALL, colour),
        ]
    )


def _curves(look: Look, rows: slice, cols: slice, *, is_focused: bool) -> tuple[list[str], list[str]]:
    weights = look.weights(rows, cols)
    opacity = strengths(weights, look.settings["scale"], _full(look, weights))
    drawn = np.abs(opacity) >= FAINTEST
    for axis, (role, part) in enumerate((("query", rows), ("key", cols)), 1):
        if (at := look.focus(role)) is not None:
            here = np.arange(part.start, part.stop) == at
            drawn &= here[None, :, None] if axis == 1 else here[None, None, :]
    places = np.argwhere(drawn)
    most = look.limits.most_curves(max(rows.stop - rows.start, cols.stop - cols.start))
    strongest = np.argsort(np.abs(opacity[drawn]), kind="stable")[::-1][:most]
    marks = look.marks if not is_focused and any(look.marks.values()) else None
    paths = []
    # The strongest last, on top.
    for member, row, col in places[strongest[::-1]]:
        stands_back = marks and not (rows.start + row in marks["query"] or cols.start + col in marks["key"])
        how = float(opacity[member, row, col]) * (BACK if stands_back else 1)
        paths.append(_curve(look, int(member), int(row), int(col), how))
    words = [_opacity_in_words(look, weights)]
    if marks:
        words.append("Curves of other tokens than the marked are fainter.")
    what = "of the token in focus" if is_focused else "shown"
    if len(places) > most:
        words.append(f"The {most:,} strongest of {len(places):,} weights {what} are drawn.")
    elif len(places) == 0:
        words.append(f"No weight {what} is strong enough to be drawn.")
    return paths, words


def _curve(look: Look, member: int, row: int, col: int, opacity: float) -> str:
    count = len(look.members)
    shift = (member - (count - 1) / 2) * min(1.8, (ROW - 6) / count)
    start, end = ((place + 0.5) * ROW + shift for place in (row, col))
    d = " ".join(
        svg.number(value) if isinstance(value, float) else value
        for value in (
            "M", 0.0, start, "C", MIDDLE * 0.45, start, MIDDLE * 0.55, end, MIDDLE, end,
        )
    )  # fmt: skip
    return svg.element(
        "path", d=d, stroke=look.members[member].colour, stroke_opacity=f"{abs(opacity):.3g}",
        stroke_dasharray="3 2" if opacity < 0 else None,
    )  # fmt: skip


def _full(look: Look, weights: Array) -> float | Array:
    """Return what full opacity stands for: 1 where weights are shares of one."""
    per, scale = look.settings["per"], look.settings["scale"]
    if look.choice.weighting == "raw" and per == "picture" and scale == "linear":
        return 1.0
    return fullest(weights, per) if per == "picture" else np.abs(weights).max((0, 2), keepdims=True)


def _opacity_in_words(look: Look, weights: Array) -> str:
    full, scale = _full(look, weights), look.settings["scale"]
    fully = "the largest weight of each row" if isinstance(full, np.ndarray) else number(full)
    how = {"linear": "", "sqrt": ", on a square-root scale", "log": ", on a logarithmic scale"}.get(scale)
    said = [
        "Opacity is the rank of the weight" if how is None else f"Opacity is the weight, full at {fully}{how}"
    ]
    if look.is_signed:
        said.append("dashed where it is negative")
    return ", ".join(said) + "."
