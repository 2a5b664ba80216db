"""The heat map of the heads shown together: queries down, keys across. Twin: js/src/parts/matrix.ts."""

from __future__ import annotations

import base64
import math

import numpy as np
import torch

from . import svg
from .colour import Rgb, ink_on, step_of
from .labels import Label
from .legend import bar
from .look import Look
from .part import SMALL, TOKEN, Part
from .raster import png_of
from .shades import Array, fullest, strengths
from .words import pooled_in_words

VECTORS = 64
"""Up to so many rows and columns, cells are rectangles; beyond, pixels of an image."""
LARGEST = 15.0
WIDEST, TALLEST = 400.0, 440.0
LONGEST = 84.0
TITLE = 16.0
GAP = 4.0
ROOM = 13.0
"""Points of a cell that a number needs."""
SHARP = 1024
"""An image is enlarged to about so many pixels, for readers that would blur it."""


def draw(look: Look) -> Part:
    """Draw the matrix, pooled where it has more rows or columns than there is room for."""
    rows, cols = look.rows, look.cols
    down, across = rows.stop - rows.start, cols.stop - cols.start
    cell = min(LARGEST, WIDEST / across, TALLEST / down)
    wide, high = cell * across, cell * down
    size = max(5.0, min(TOKEN, cell - 1))
    labels = {
        role: [
            Label.of(look, role, i, size=size, room=LONGEST) for i in _labelled(look, role, part, cell, size)
        ]
        for role, part in (("query", rows), ("key", cols))
    }
    left, top = (TITLE + GAP + max(label.width for label in labels[role]) for role in ("query", "key"))
    values, factor, sampled = _values(look)
    full = fullest(values, look.settings["per"])
    strength = strengths(values, look.settings["scale"], full)
    paint = _cells if max(values.shape) <= VECTORS else _image
    # A block at the edge stands for fewer tokens: the grid may be a little larger than the picture.
    steps = (high * factor / down, wide * factor / across)
    marks = [
        *_titles(look, left, top, wide, high),
        svg.group(paint(look, strength, steps, (high, wide)), left, top, shape_rendering="crispEdges"),
        svg.group(_figures(look, values, strength, cell), left, top),
        svg.group([*_mask(look, factor, steps, (high, wide)), *_outlines(look, cell, wide, high)], left, top),
    ]
    marks += [
        label.text(look, left - GAP, top + (label.index - rows.start + 0.5) * cell, "end")
        for label in labels["query"]
    ]
    for label in labels["key"]:
        x = left + (label.index - cols.start + 0.5) * cell
        turn = f"translate({svg.number(x)} {svg.number(top - GAP)}) rotate(-90)"
        marks.append(svg.element("g", label.text(look, 0, 0, "start"), transform=turn))
    of_row = isinstance(full, np.ndarray)
    most = None if of_row else float(full)
    legend = [bar(look, most, float(values.min(initial=0.0)), "weight")]
    words = [pooled_in_words(look, factor, sampled)] if factor > 1 else []
    return Part(marks, left + wide, top + high, [*legend], words)


def _values(look: Look) -> tuple[Array, int, int | None]:
    """Return the weights, how many tokens each stands for each way, and of how many rows if sampled."""
    rows, cols = look.rows, look.cols
    down, across = rows.stop - rows.start, cols.stop - cols.start
    factor = 2 ** max(0, math.ceil(math.log2(max(down, across) / look.limits.cells)))
    if factor == 1:
        return look.combined(rows, cols), 1, None
    limit = look.limits.looked_at
    while factor < down and limit < look.row_cost * math.ceil(down / factor):
        factor *= 2
    samples = max(1, limit // (look.row_cost * math.ceil(down / factor)))
    found = look.shown.pooled(rows, cols, factor=factor, pool=look.settings["pool"], samples=samples)
    return found.values[0].cpu().numpy(), factor, found.sampled


def _labelled(look: Look, role: str, part: slice, cell: float, size: float) -> list[int]:
    """Return which tokens have a label: all, or as many as there is room for and those in focus."""
    step = 1 if cell >= size - 1 else math.ceil((size + 2) / cell)
    held = {
        at for at in (look.pin(role), look.focus(role)) if at is not None and part.start <= at < part.stop
    }
    return [
        i
        for i in range(part.start, part.stop)
        if i in held or ((i - part.start) % step == 0 and all(abs(i - at) >= step for at in held))
    ]


def _colour(look: Look, strength: float) -> Rgb:
    return (look.ramp_against if strength < 0 else look.ramp)[step_of(abs(strength))]


def _cells(look: Look, strength: Array, steps: tuple[float, float], size: tuple[float, float]) -> list[str]:
    marks = [svg.rect(0, 0, size[1], size[0], fill=look.theme.paper)]
    for row, col in np.argwhere(np.abs(strength) >= 0.5 / 255):
        y, x = row * steps[0], col * steps[1]
        marks.append(
            svg.rect(
                float(x),
                float(y),
                min(steps[1], size[1] - x),
                min(steps[0], size[0] - y),
                fill=_colour(look, float(strength[row, col])),
                data_query=str(look.rows.start + row),
                data_key=str(look.cols.start + col),
            )
        )
    return marks


def _figures(look: Look, values: Array, strength: Array, cell: float) -> list[str]:
    """Write the weights into the cells, if asked for and there is room."""
    if not look.settings["annotate"] or cell < ROOM or max(values.shape) > VECTORS:
        return []
    marks = []
    for row, col in np.argwhere(np.abs(strength) >= 0.5 / 255):
        if said := digits(float(values[row, col])):
            ink = ink_on(_colour(look, float(strength[row, col])))
            x, y = float(col + 0.5) * cell, float(row + 0.5) * cell + 2
            marks.append(svg.text(x, y, said, 5.5, ink, text_anchor="middle"))
    return marks


def digits(weight: float) -> str:
    """Return a weight in two decimals without the zero in front; nothing where it would be nought."""
    size = abs(weight)
    if size < 0.005:
        return ""
    said = f"{size:.0f}" if size >= 9.95 else f"{size:.1f}" if size >= 0.995 else f"{size:.2f}"[1:]
    return f"−{said}" if weight < 0 else said


def _image(look: Look, strength: Array, steps: tuple[float, float], size: tuple[float, float]) -> list[str]:
    colours = np.array([look.ramp, look.ramp_against], np.uint8)
    places = np.floor(255 * np.abs(strength) + 0.5).astype(np.intp)
    pixels = colours[(strength < 0).astype(np.intp), places]
    times = max(1, SHARP // max(strength.shape)) if not look.limits.is_quick else 1
    data = base64.b64encode(png_of(pixels.repeat(times, 0).repeat(times, 1))).decode()
    grid = [steps[0] * strength.shape[0], steps[1] * strength.shape[1]]
    picture = svg.element(
        "image",
        width=grid[1],
        height=grid[0],
        preserveAspectRatio="none",
        style="image-rendering:pixelated",
        href=f"data:image/png;base64,{data}",
    )
    clip = svg.element("clipPath", svg.rect(0, 0, size[1], size[0]), id="edge")
    return [clip, svg.element("g", picture, clip_path="url(#edge)")]


def _mask(look: Look, factor: int, steps: tuple[float, float], size: tuple[float, float]) -> list[str]:
    """Hatch where no pattern shown can look."""
    if not look.settings["show_mask"]:
        return []
    # The end of a query word sees most, and the start of a key word is seen by most.
    starts = {role: look.axis(role).starts for role in ("query", "key")}
    down = [starts["query"][row + 1] - 1 for row in range(look.rows.start, look.rows.stop, factor)]
    across = [starts["key"][col] for col in range(look.cols.start, look.cols.stop, factor)]
    blind: torch.Tensor | None = None
    for layer in dict.fromkeys(layer for layer, _ in look.choice.members):
        found = look.trace.mask(look.choice.stage, layer=layer, head=0, rows=down, cols=across).cpu()
        blind = found if blind is None else blind & found
    if blind is None or not blind.any():
        return []
    runs = "".join(
        f"M{svg.number(start * steps[1])} {svg.number(row * steps[0])}"
        f"H{svg.number(min(stop * steps[1], size[1]))}V{svg.number(min((row + 1) * steps[0], size[0]))}"
        f"H{svg.number(start * steps[1])}Z"
        for row, start, stop in _runs(blind.numpy())
    )
    line = svg.element("path", d="M0 0V4", stroke=look.theme.line, stroke_width=0.8)
    hatch = svg.element(
        "pattern",
        line,
        id="hatch",
        width=4,
        height=4,
        patternUnits="userSpaceOnUse",
        patternTransform="rotate(45)",
    )
    return [hatch, svg.element("path", d=runs, fill="url(#hatch)", class_="mask")]


def _runs(blind: np.ndarray) -> list[tuple[int, int, int]]:
    """Return row, start and stop of each run of cells."""
    edges = np.diff(np.pad(blind.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    starts, stops = np.argwhere(edges == 1), np.argwhere(edges == -1)
    return [(int(row), int(a), int(b)) for (row, a), (_, b) in zip(starts, stops, strict=True)]


def _outlines(look: Look, cell: float, wide: float, high: float) -> list[str]:
    frame = svg.rect(0, 0, wide, high, fill="none", stroke=look.theme.line, stroke_width=0.6)
    marks = [frame]
    size = max(cell, 2.0)
    for role, part in (("query", look.rows), ("key", look.cols)):
        for at in {look.pin(role), look.focus(role)}:
            if at is None or not part.start <= at < part.stop:
                continue
            offset = (at - part.start) * cell
            box = (0.0, offset, wide, size) if role == "query" else (offset, 0.0, size, high)
            marks.append(
                svg.rect(
                    box[0],
                    box[1],
                    box[2],
                    box[3],
                    fill="none",
                    stroke=look.theme.ink,
                    stroke_width=0.8,
                    stroke_opacity=0.9 if at == look.pin(role) else 0.6,
                )
            )
    return marks


def _titles(look: Look, left: float, top: float, wide: float, high: float) -> list[str]:
    colour = look.theme.soft
    turn = f"translate({svg.number(8)} {svg.number(top + high / 2)}) rotate(-90)"
    query = svg.text(0, 0, "query", SMALL, colour, text_anchor="middle")
    return [
        svg.text(left + wide / 2, 8, "key", SMALL, colour, text_anchor="middle"),
        svg.element("g", query, transform=turn),
    ]
