"""Linear CKA between layers as a heat map of bqplot.

Required: the picture says over how many tokens it is, and what that number alone makes of unrelated layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from jtviz.analysis.layers.similarity import Cka

from .chart import QUIET, ChartView, some

if TYPE_CHECKING:
    import bqplot

COLOURS = [
    "#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725",
]  # fmt: skip
"""Viridis: even to the eye, on light and dark paper and to the colour-blind."""

CHANCE = 0.1
"""From which on the number of tokens has to be warned of."""

EMPTY = "jtviz-cka"
_STYLE = f"<style>.{EMPTY} .heatmapcell {{ fill: transparent; }}</style>"
"""What has no number has no colour, which a browser takes for black."""

MOST = 24
"""Layers whose numbers are written as a table, at most."""


class CkaView(ChartView):
    """A cell for each pair of layers.

    Parameters
    ----------
    found : Cka
        What `jtviz.analysis.cka` returned.

    Attributes
    ----------
    found : Cka
        The numbers.
    chart : bqplot.Figure
        The heat map.

    Examples
    --------
    >>> import jtviz
    >>> found = jtviz.analysis.cka(jtviz.demo.classifier().trace("A man has a cough."))
    >>> found.view().chart.marks[0].color.shape
    (3, 3)
    """

    found: Cka

    def __init__(self, found: Cka) -> None:
        heads = ("layer", *map(str, found.columns))
        rows = [
            (str(layer), *map(_number, values))
            for layer, values in zip(found.rows, found.values.tolist(), strict=True)
        ]
        table = (heads, rows) if max(found.values.shape) <= MOST else None
        super().__init__(
            found, _meaning(found), _chart(found), _sentences(found), table, still=partial(_still, found)
        )


def _still(found: Cka) -> str:
    from .figures.grid import grid_svg

    words = [
        f"Rows are layers {_listed(found.rows)}, columns {_listed(found.columns)}.",
        *_sentences(found),
    ]
    return grid_svg(
        {"linear CKA": found.values.numpy()}, (), title="Linear CKA between layers",
        colours="linear CKA", words=words,
    )  # fmt: skip


def _chart(found: Cka) -> bqplot.Figure:
    import bqplot

    # A scale of names: layers need not follow each other.
    scales = {
        "row": bqplot.OrdinalScale(reverse=True),
        "column": bqplot.OrdinalScale(),
        "color": bqplot.ColorScale(min=0, max=1, colors=COLOURS),
    }
    values = found.values.numpy()
    heat = bqplot.GridHeatMap(
        color=values,
        row=list(map(str, found.rows)),
        column=list(map(str, found.columns)),
        scales=scales,
        stroke="transparent",
        tooltip=bqplot.Tooltip(
            fields=["row", "column", "color"],
            labels=[f"layer{_of(found, 0)}", f"layer{_of(found, 1)}", "linear CKA"],
            formats=["", "", ".3f"],
        ),
    )
    axes = [
        bqplot.Axis(
            scale=scales["row"], side="left", label=f"layer{_of(found, 0)}", label_offset="2.8em",
            tick_values=list(map(str, some(found.rows))), **QUIET,
        ),
        bqplot.Axis(
            scale=scales["column"], label=f"layer{_of(found, 1)}", label_offset="2.6em",
            tick_values=list(map(str, some(found.columns))), **QUIET,
        ),
        bqplot.ColorAxis(scale=scales["color"], side="right", tick_format=".1f", label="", **QUIET),
    ]  # fmt: skip
    figure = bqplot.Figure(
        marks=[heat],
        axes=axes,
        layout={"width": "100%", "max_width": "480px", "height": "400px", "margin": "0"},
        fig_margin={"top": 8, "bottom": 48, "left": 56, "right": 64},
        padding_x=0,
        padding_y=0,
        display_toolbar=False,
        animation_duration=0,
    )
    figure.add_class(EMPTY)
    return figure


def _of(found: Cka, place: int) -> str:
    return "" if found.models == 1 else f" of the {('first', 'second')[place]} model"


def _listed(layers: Sequence[int]) -> str:
    return f"{layers[0]} to {layers[-1]}" if len(layers) > MOST else ", ".join(map(str, layers))


def _number(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "none"


def _meaning(found: Cka) -> str:
    """Return what the cells are; nothing in it comes from a text or a model."""
    pair = "a layer of the first model and one of the second" if found.models == 2 else "two layers"
    return (
        f"{_STYLE}Each cell: linear CKA of {pair}, 1 where the tokens of one are those of the other but for "
        "rotation and scale. Layer 0 enters the first block."
    )


def _sentences(found: Cka) -> Sequence[str]:
    tokens = f"Over {found.tokens:,} tokens, in {_dimensions(found)} dimensions."
    said = [tokens + (f" {few_tokens(found)}" if few_tokens(found) else "")]
    is_flat = found.values.isnan()
    flat = [
        f"layer {layer}{_of(found, place)}"
        for place, layers in enumerate((found.rows, found.columns)[: found.models])
        for layer, whether in zip(layers, is_flat.all(1 - place).tolist(), strict=True)
        if whether
    ]
    if flat:
        said.append(f"Empty cells: the same for all tokens, and so like nothing, is {', '.join(flat)}.")
    return said


def _dimensions(found: Cka) -> str:
    first, second = found.widths
    return f"{first:,}" if first == second else f"{first:,} and {second:,}"


def few_tokens(found: Cka) -> str:
    """Return what the number of tokens makes of unrelated layers; nothing where there are enough."""
    if found.chance <= CHANCE:
        return ""
    return (
        f"These are few: so many vectors of noise, unrelated, would have a CKA of {found.chance:.2f}. Give "
        "many times more tokens than there are dimensions."
    )


def cka_view(found: Cka) -> CkaView:
    """Return alignments as a widget."""
    return CkaView(found)
