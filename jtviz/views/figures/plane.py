"""A figure of the paths of tokens through the layers, in a plane. Twin: jtviz/views/paths.py, the chart.

Required: the points are those of the layer that is shown; no name lies on another, or on a point.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from jtviz.analysis.layers.trajectories import Trajectories
from jtviz.views.paths import LINED, MOST, NAMED, RAMP, axis_label, place_colour, token_name

from . import svg
from .colour import Theme
from .lettering import width
from .part import SMALL, TOKEN, Bar, Part

LEFT = 44.0
WIDE, HIGH = 400.0, 280.0
POINT = 3.0
CLIP = "plane"
ROOM = 0.06
"""Of the paths' extent, around them."""

Table = np.ndarray[Any, np.dtype[np.floating[Any]]]
Box = tuple[float, float, float, float]


def plane(
    found: Trajectories, axes: tuple[int, int], layer: int, *, whole: bool, marked: Collection[int],
    pinned: Collection[int], look: Theme,
) -> Part:  # fmt: skip
    """Draw paths.

    Parameters
    ----------
    found : Trajectories
        The paths.
    axes : (int, int)
        Which of their dimensions.
    layer : int
        Whose points are drawn.
    whole : bool
        Whether there is room for the paths through all layers, or only for the points.
    marked, pinned : collection of int
        Tokens that stand out.
    look : Theme
        The colours.
    """
    count = len(found.tokens)
    drawn = np.unique(np.linspace(0, count - 1, min(count, MOST)).astype(int))
    at = found.paths[:, drawn][..., list(axes)].numpy().astype(float)
    ranges = [_range(values) for values in np.moveaxis(at if whole else at[layer], -1, 0)]
    (x0, x1), (y0, y1) = ranges
    across = LEFT + (at[..., 0] - x0) / (x1 - x0) * WIDE
    down = HIGH - (at[..., 1] - y0) / (y1 - y0) * HIGH
    chosen = np.flatnonzero(np.isin(drawn, [*marked, *pinned]))
    lined = np.arange(len(drawn)) if len(drawn) <= LINED else _some(chosen)
    strong = set(chosen.tolist()) or set(range(len(drawn)))
    colours = [place_colour(int(index), count) for index in drawn]
    inside: list[str] = []
    for i in lined.tolist():
        path = "L".join(f"{x:.2f} {y:.2f}" for x, y in zip(across[:, i], down[:, i], strict=True))
        opacity = 0.75 if i in strong else 0.3
        inside.append(
            svg.element(
                "path", d=f"M{path}", fill="none", stroke=colours[i], stroke_width=1, opacity=opacity,
                stroke_linejoin="round",
            )
        )  # fmt: skip
        inside.append(
            _dot(across[0, i], down[0, i], 2.2, fill=look.paper, stroke=colours[i], opacity=opacity)
        )
    # What is strong lies on what is not.
    inside += [
        _dot(
            across[layer, i], down[layer, i], POINT, fill=colours[i], stroke=look.paper,
            opacity=None if i in strong else 0.45,
        )
        for i in sorted(range(len(drawn)), key=strong.__contains__)
    ]  # fmt: skip
    rings = [i for i in chosen.tolist() if drawn[i] in pinned]
    inside += [
        _dot(across[layer, i], down[layer, i], 6.5, stroke=look.accent, stroke_width=1.5) for i in rings
    ]
    candidates = list(rings)
    candidates += lined.tolist() if len(drawn) <= NAMED else _some(chosen, NAMED).tolist()
    names = {i: token_name(found.tokens[int(drawn[i])]) for i in candidates}
    points = list(zip(across[layer].tolist(), down[layer].tolist(), strict=True))
    inside += _named(names, points, strong, rings, look)
    marks = [
        svg.element("clipPath", svg.rect(LEFT, 0, WIDE, HIGH), id=CLIP),
        *_axes(found, axes, ranges, look),
        svg.group(inside, clip_path=f"url(#{CLIP})"),
        svg.rect(LEFT, 0, WIDE, HIGH, fill="none", stroke=look.line, stroke_width=0.6),
    ]
    stops = tuple((int(c[1:3], 16), int(c[3:5], 16), int(c[5:7], 16)) for c in RAMP)
    place = Bar(stops, ((0.0, "first"), (1.0, "last")), "place of the token in the text")
    said = _said(count, len(drawn), (len(lined), len(chosen)), is_marked=len(strong) < len(drawn))
    return Part(marks, LEFT + WIDE, HIGH + 30, [place], said, indent=0)


def _said(count: int, drawn: int, lines: tuple[int, int], *, is_marked: bool) -> list[str]:
    """Return what is drawn of so many tokens."""
    said = []
    if drawn > LINED:
        some = f" ({lines[0]} of {lines[1]})" if lines[0] < lines[1] else ""
        said.append(f"The points of all are drawn, and the paths of those that are marked or pinned{some}.")
    elif is_marked:
        said.append("Strong: what is marked or pinned.")
    if drawn < count:
        said.append(f"{drawn:,} of {count:,} tokens, evenly sampled.")
    return said


def _range(values: Table) -> tuple[float, float]:
    least, most = float(values.min()), float(values.max())
    room = ROOM * ((most - least) or abs(most) or 1.0)
    return least - room, most + room


def _some(indices: Any, most: int = LINED) -> Any:
    return np.take(indices, np.linspace(0, len(indices) - 1, min(most, len(indices))).astype(int))


def _dot(x: float, y: float, r: float, **more: object) -> str:
    return svg.element("circle", cx=x, cy=y, r=r, **{"fill": "none", "stroke_width": 0.8} | more)


def _axes(
    found: Trajectories, axes: tuple[int, int], ranges: Sequence[tuple[float, float]], look: Theme
) -> list[str]:
    (x0, x1), (y0, y1) = ranges
    marks = []
    for value in ticks(x0, x1):
        x = LEFT + (value - x0) / (x1 - x0) * WIDE
        marks.append(svg.rect(x - 0.3, HIGH, 0.6, 3, fill=look.soft))
        marks.append(svg.text(x, HIGH + 12, _written(value), SMALL, look.soft, text_anchor="middle"))
    for value in ticks(y0, y1):
        y = HIGH - (value - y0) / (y1 - y0) * HIGH
        marks.append(svg.rect(LEFT - 3, y - 0.3, 3, 0.6, fill=look.soft))
        marks.append(svg.text(LEFT - 5, y + 2.8, _written(value), SMALL, look.soft, text_anchor="end"))
    first, second = (axis_label(found, axis) for axis in axes)
    marks.append(svg.text(LEFT + WIDE / 2, HIGH + 25, first, TOKEN, look.ink, text_anchor="middle"))
    turned = f"translate(9 {svg.number(HIGH / 2)}) rotate(-90)"
    marks.append(svg.text(0, 0, second, TOKEN, look.ink, text_anchor="middle", transform=turned))
    return marks


def ticks(least: float, most: float, about: int = 5) -> list[float]:
    """Return round numbers between two."""
    rough = (most - least) / about
    size = 10 ** math.floor(math.log10(rough))
    step = size * next(n for n in (1, 2, 5, 10) if n * size >= rough)
    return [n * step for n in range(math.ceil(least / step), math.floor(most / step) + 1)]


def _written(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")


def _named(
    names: dict[int, str],
    points: list[tuple[float, float]],
    strong: Collection[int],
    rings: Collection[int],
    look: Theme,
) -> list[str]:
    """Write names beside their points, on whichever side there is room; those without any are left out."""
    dots = [points[i] for i in strong]
    taken: list[Box] = [(x - POINT, y - POINT, x + POINT, y + POINT) for x, y in dots]
    marks = []
    for i, name in names.items():
        x, y = points[i]
        wide = width(name, SMALL)
        off = 9 if i in rings else 5
        corners = [(left, y + down) for left in (x + off, x - off - wide) for down in (-3, 9)]
        for left, base in corners:
            box = (left, base - 7, left + wide, base + 2)
            is_in = box[0] >= LEFT + 2 and box[2] <= LEFT + WIDE - 2 and box[1] >= 2 and box[3] <= HIGH - 2
            if is_in and not any(_meet(box, other) for other in taken):
                taken.append(box)
                ink = look.ink if i in strong else look.soft
                halo = {"stroke": look.paper, "stroke_width": 2, "paint_order": "stroke"}
                marks.append(svg.text(left, base, name, SMALL, ink, **halo, stroke_linejoin="round"))
                break
    return marks


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
